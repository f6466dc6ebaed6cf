/** What of a document is shown under the thresholds: pure functions, so that counts can be tested. */
import type { Model } from "./model";

/** Most combinations drawn at once besides those of the selected node; a picture of hundreds says nothing. */
export const MOST_COMBINATIONS = 12;

/** So many of the strongest edges of the selected node are drawn each way, whatever the edge threshold. */
const OF_SELECTED = 8;

/** Nodes by influence until `threshold` of all influence is reached; tokens, targets and `kept` always. */
export function shownRows(model: Model, threshold: number, kept: Iterable<string>): ReadonlySet<number> {
  const rows = new Set<number>();
  const enough = threshold * model.whole;
  let reached = 0;
  for (const row of model.byInfluence) {
    const share = model.influence(row);
    if (threshold < 1 && (reached >= enough || share <= 0)) break;
    rows.add(row);
    reached += share;
  }
  model.graph.nodes.kind.forEach((kind, row) => {
    if (kind === "logit" || kind === "token") rows.add(row);
  });
  return withNamed(model, rows, kept);
}

/** The same set where it holds all that is named, else a larger one. */
export function withNamed(
  model: Model,
  rows: ReadonlySet<number>,
  names: Iterable<string>,
): ReadonlySet<number> {
  let grown: Set<number> | null = null;
  for (const name of names) {
    const row = model.rowOf.get(name);
    if (row !== undefined && !rows.has(row)) (grown ??= new Set(rows)).add(row);
  }
  return grown ?? rows;
}

/** Edges between shown nodes that make up at least `least` of their target's input, the strongest first. */
export function shownEdges(model: Model, rows: ReadonlySet<number>, least: number): number[] {
  const { source, target } = model.graph.edges;
  const found: number[] = [];
  for (let edge = 0; edge < source.length; edge++)
    if (model.shares[edge] >= least && rows.has(source[edge]) && rows.has(target[edge])) found.push(edge);
  return found;
}

/** The strongest edges of a node to shown nodes, each way. */
export function edgesOf(model: Model, rows: ReadonlySet<number>, row: number, most = OF_SELECTED): number[] {
  const { source, target } = model.graph.edges;
  const into = model.into[row].filter((edge) => rows.has(source[edge])).slice(0, most);
  return into.concat(model.outOf[row].filter((edge) => rows.has(target[edge])).slice(0, most));
}

/**
 * Combinations that can be drawn: two members or more, the target and all members shown; one that consists
 * of several nodes is shown where one of these is. The strongest first, and merely additive ones last.
 */
export function shownCombinations(model: Model, rows: ReadonlySet<number>): number[] {
  const table = model.graph.hyperedges;
  const seen = (name: string) => model.rowsOf(name).some((row) => rows.has(row));
  const found: number[] = [];
  for (let one = 0; one < table.hyperedge.length; one++)
    if (table.members[one].length > 1 && seen(table.target[one]) && table.members[one].every(seen)) found.push(one);
  const size = (one: number) => table.share[one] ?? 0;
  const flat = (one: number) => Number(table.gate[one] === "additive");
  return found.sort(
    (one, other) =>
      flat(one) - flat(other) ||
      size(other) - size(one) ||
      Math.abs(table.weight[other]) - Math.abs(table.weight[one]) ||
      one - other,
  );
}

/** So many nodes that a screen can hold them. */
export function initialThreshold(model: Model, most = 50): number {
  if (model.whole <= 0) return 1;
  const kept = model.byInfluence.slice(0, most).reduce((sum, row) => sum + model.influence(row), 0);
  return Math.min(1, Math.ceil((100 * kept) / model.whole) / 100);
}

/** The largest of a few shares that leaves about two and a half edges a node: more is a thicket. */
export function initialEdgeThreshold(model: Model, rows: ReadonlySet<number>): number {
  const steps = [0.1, 0.07, 0.05, 0.035, 0.025, 0.0175, 0.0125, 0.009, 0.006, 0.003, 0.001];
  return steps.find((least) => shownEdges(model, rows, least).length >= 2.5 * rows.size) ?? 0;
}
