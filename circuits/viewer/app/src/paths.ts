/**
 * Paths through the graph. A path's share is the product of its edges' shares, each |weight| over all that
 * flows into the edge's target; over all paths these sum to the influence of the source on the target.
 */
import type { Model } from "./model";

export interface Path {
  /** Rows of nodes, from source to target. */
  rows: number[];
  edges: number[];
  share: number;
  /** +1 or −1: the product of the signs of its weights. */
  sign: number;
}

/** A way to a node: its share, the edge it came by, and which of that edge's source's ways it goes on from. */
interface Step {
  share: number;
  edge: number;
  rank: number;
}

/**
 * The strongest paths between two nodes, the strongest first; none where nothing leads from one to the other.
 * One pass in topological order keeps the best few ways to each node: exact, since shares only multiply.
 */
export function strongestPaths(model: Model, from: number, to: number, most = 3): Path[] {
  const { source } = model.graph.edges;
  const between = reached(model, from, to);
  if (!between) return [];
  const ways = new Map<number, Step[]>([[from, [{ share: 1, edge: -1, rank: -1 }]]]);
  for (const row of model.topological()) {
    if (row === from || !between.has(row)) continue;
    const best: Step[] = [];
    for (const edge of model.into[row]) {
      const share = model.shares[edge];
      if (share <= 0) continue;
      const before = ways.get(source[edge]) ?? [];
      for (let rank = 0; rank < before.length; rank++)
        if (!inserted(best, { share: before[rank].share * share, edge, rank }, most)) break;
    }
    if (best.length > 0) ways.set(row, best);
  }
  return (ways.get(to) ?? []).map((_, rank) => traced(model, ways, to, rank));
}

/** The share of all paths between two nodes together: the influence of the one on the other. */
export function shareOfAll(model: Model, from: number, to: number): number {
  const { source } = model.graph.edges;
  const shares = new Map<number, number>([[from, 1]]);
  for (const row of model.topological()) {
    if (row === from) continue;
    let sum = 0;
    for (const edge of model.into[row]) sum += (shares.get(source[edge]) ?? 0) * model.shares[edge];
    if (sum > 0) shares.set(row, sum);
    if (row === to) break;
  }
  return shares.get(to) ?? 0;
}

/** All that lies upstream or downstream of a node along the given edges, itself included: rows and edges. */
export function closure(
  model: Model,
  row: number,
  way: "up" | "down",
  edges: Iterable<number>,
): { rows: Set<number>; edges: number[] } {
  const { source, target } = model.graph.edges;
  const next = new Map<number, number[]>();
  for (const edge of edges) {
    const end = way === "down" ? source[edge] : target[edge];
    const known = next.get(end);
    if (known) known.push(edge);
    else next.set(end, [edge]);
  }
  const rows = new Set([row]);
  const found: number[] = [];
  for (const at of rows)
    for (const edge of next.get(at) ?? []) {
      found.push(edge);
      rows.add(way === "down" ? target[edge] : source[edge]);
    }
  return { rows, edges: found };
}

/** The rows on ways from one node to another, or null where there is no way. */
function reached(model: Model, from: number, to: number): ReadonlySet<number> | null {
  const { source, target } = model.graph.edges;
  const below = new Set([from]);
  for (const at of below) for (const edge of model.outOf[at]) if (model.shares[edge] > 0) below.add(target[edge]);
  if (!below.has(to) || from === to) return null;
  const between = new Set([to]);
  for (const at of between)
    for (const edge of model.into[at]) if (model.shares[edge] > 0 && below.has(source[edge])) between.add(source[edge]);
  return between;
}

/** Puts a step in its place among the best few; whether it was good enough. */
function inserted(best: Step[], step: Step, most: number): boolean {
  let place = best.length;
  while (place > 0 && best[place - 1].share < step.share) place--;
  if (place >= most) return false;
  best.splice(place, 0, step);
  if (best.length > most) best.pop();
  return true;
}

function traced(model: Model, ways: ReadonlyMap<number, Step[]>, to: number, rank: number): Path {
  const { source, weight } = model.graph.edges;
  const rows = [to];
  const edges: number[] = [];
  let sign = 1;
  const whole = ways.get(to)?.[rank].share ?? 0;
  let step = ways.get(to)?.[rank];
  while (step && step.edge >= 0) {
    edges.unshift(step.edge);
    rows.unshift(source[step.edge]);
    if (weight[step.edge] < 0) sign = -sign;
    step = ways.get(source[step.edge])?.[step.rank];
  }
  return { rows, edges, share: whole, sign };
}
