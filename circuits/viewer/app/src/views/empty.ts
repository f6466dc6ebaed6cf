/** Why a view has nothing to show, and which command makes it. */
import type { Model } from "../model";
import { heads } from "./qk/scores";

const interact = (model: Model, more = "") => `circuits interact ${model.graph.name}${more}`;

/** Told by the view itself, for groups may be made by hand in the graph. */
export function concepts(model: Model, groups: number): string | null {
  if (groups > 0) return null;
  return `There are no groups yet. Find them with: circuits group ${model.graph.name} --save; or pin nodes in the graph with P and group them with G.`;
}

/** Whether there are combinations at all: order 1 is no combination. */
export function combinations(model: Model): string | null {
  const { order, weight } = model.graph.hyperedges;
  if (order.some((one, row) => one >= 2 && weight[row] !== 0)) return null;
  if (model.graph.totals.hyperedges > 0) return "None of the run's combinations is in this file: it bears on no target.";
  return `This run has no combinations yet. Find them with: ${interact(model)}`;
}

export function matrix(model: Model): string | null {
  const { matrix: given } = model.graph;
  if (given && [...given.up, ...given.down].some((row) => row.some((value) => value !== 0))) return null;
  return combinations(model) ?? `This run has combinations, but no pairs that bear on its targets. Find them with: ${interact(model)}`;
}

export function qk(model: Model): string | null {
  if (heads(model).length) return null;
  return `No combinations in attention scores are in this file. Find them, where the trace was kept, with: ${interact(model, " --channel qk")}`;
}

export function diff(model: Model): string | null {
  if (model.against && model.document.diff) return null;
  return `This file holds one run. Compare it with another with: circuits report ${model.graph.name} --against RUN2 -o compared.html`;
}
