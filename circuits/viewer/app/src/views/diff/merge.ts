/** Two graphs laid over one another: every node of either has one place, and what it brings in each. */
import type { DiffPart, NodeKind } from "../../document";
import type { Model } from "../../model";

/** In both graphs, only in one, or also in the other's run but not among its nodes in this file. */
export type Where = "both" | "first" | "second" | "first shown" | "second shown";

export interface Merged {
  /** Unique: the row in the first graph, else the row in the second. */
  id: string;
  where: Where;
  /** Rows of the two graphs' node tables. */
  here: number | null;
  there: number | null;
  kind: NodeKind;
  /** A place in `DiffPart.positions`; null for what stands at no token. */
  column: number | null;
  /** The layer; −1 for tokens, the number of layers for targets. */
  level: number;
  /** The whole effect on the target in each graph; 0 where the graph has no such node, null where unknown. */
  effects: [number | null, number | null];
  /** Second less first. */
  change: number | null;
}

/** All nodes of both graphs, in the order of the first, then those only the second has. */
export function merge(model: Model, diff: DiffPart): Merged[] {
  const other = model.against as Model;
  const partner = new Map(diff.pairs.map(([here, there], pair) => [here, { there, pair }] as const));
  const found = model.graph.nodes.node.map((_, here): Merged => {
    const both = partner.get(here);
    const where = both ? "both" : diff.here[here] === "unshown" ? "first shown" : "first";
    return {
      id: `a${here}`,
      where,
      here,
      there: both ? both.there : null,
      ...standing(model, here, column(diff, 0, model.graph.nodes.pos[here])),
      ...effects(model, other, where, here, both?.there ?? null, both ? diff.change[both.pair] : null),
    };
  });
  const taken = new Set(diff.pairs.map(([, there]) => there));
  other.graph.nodes.node.forEach((_, there) => {
    if (taken.has(there)) return;
    const where = diff.there[there] === "unshown" ? "second shown" : "second";
    found.push({
      id: `b${there}`,
      where,
      here: null,
      there,
      ...standing(other, there, column(diff, 1, other.graph.nodes.pos[there])),
      ...effects(model, other, where, null, there, null),
    });
  });
  return found;
}

function column(diff: DiffPart, side: 0 | 1, pos: number | null): number | null {
  const found = pos === null ? -1 : diff.positions.findIndex((pair) => pair[side] === pos);
  return found < 0 ? null : found;
}

function standing(model: Model, row: number, at: number | null): Pick<Merged, "kind" | "column" | "level"> {
  const { kind, layer } = model.graph.nodes;
  if (kind[row] !== "logit") return { kind: kind[row], column: at, level: layer[row] ?? -1 };
  const { positions } = (model.document.diff as DiffPart) ?? { positions: [] };
  return { kind: kind[row], column: at ?? Math.max(0, lastOf(positions)), level: Math.max(model.graph.layers, 1) };
}

/** The column of the last token: outputs are said after it. */
function lastOf(positions: DiffPart["positions"]): number {
  let best = -1;
  positions.forEach(([here], place) => {
    if (here !== null && (best < 0 || here >= (positions[best][0] ?? -1))) best = place;
  });
  return best;
}

function effects(
  model: Model,
  other: Model,
  where: Where,
  here: number | null,
  there: number | null,
  told: number | null,
): Pick<Merged, "effects" | "change"> {
  const first = here === null ? (where === "second" ? 0 : null) : model.graph.nodes.total[here];
  const second = there === null ? (where === "first" ? 0 : null) : other.graph.nodes.total[there];
  const change = told ?? (first === null || second === null ? null : second - first);
  return { effects: [first, second], change };
}

/** What is drawn: no constants; the nodes that change most, and all tokens and targets. */
export function chosen(all: readonly Merged[], most: number): Merged[] {
  const placed = all.filter(({ column: at }) => at !== null);
  const always = placed.filter(({ kind }) => kind === "token" || kind === "logit");
  const rest = placed.filter(({ kind }) => kind !== "token" && kind !== "logit");
  const size = (one: Merged) => Math.abs(one.change ?? 0);
  return [...always, ...rest.sort((one, other) => size(other) - size(one)).slice(0, most)];
}

/** An edge of either graph between merged nodes, with its weight in each. */
export interface Change {
  source: string;
  target: string;
  weights: [number, number];
}

/** The edges into and out of a merged node, those that change most first. */
export function changes(model: Model, all: readonly Merged[], of: Merged): Change[] {
  const ids = [0, 1].map((side) => new Map(all.map((one) => [side ? one.there : one.here, one.id] as const)));
  const found = new Map<string, Change>();
  [model, model.against as Model].forEach((graph, side) => {
    const row = side ? of.there : of.here;
    if (row === null) return;
    const { source, target, weight } = graph.graph.edges;
    for (const edge of [...graph.into[row], ...graph.outOf[row]]) {
      const [from, to] = [ids[side].get(source[edge]), ids[side].get(target[edge])];
      if (from === undefined || to === undefined) continue;
      const change = found.get(`${from} ${to}`) ?? { source: from, target: to, weights: [0, 0] };
      change.weights[side] += weight[edge];
      found.set(`${from} ${to}`, change);
    }
  });
  const size = ({ weights }: Change) => Math.max(Math.abs(weights[0]), Math.abs(weights[1]), Math.abs(weights[1] - weights[0]));
  return [...found.values()].sort((one, other) => size(other) - size(one));
}
