/** The graph of groups: what passes through each, and what flows between groups, tokens and targets. */
import type { Model } from "../../model";

/** The name of what is in no group; groups of that name are told apart by their marks, which are not names. */
export const OTHER = "other";

export interface End {
  /** A letter for what it is, then its name: unique. */
  id: string;
  kind: "group" | "other" | "token" | "target";
  name: string;
  /** Rows of the node table. */
  rows: number[];
  /** Share of the target that passes through it, every path counted once; null where unknown. */
  influence: number | null;
  /** The document's concept, where the group is still as it was there. */
  concept: number | null;
}

export interface Flow {
  source: string;
  target: string;
  /** Into a target its part of the target's value; into a group a signed share of what flows into it. */
  weight: number;
  /** |weight| as a share of the target that is explained. */
  size: number;
  /** Whether the run's concept graph has it, or it was summed here from edges of the file. */
  from: "run" | "file";
}

export interface ConceptGraph {
  ends: End[];
  /** The largest first. */
  flows: Flow[];
}

/** The graph of these groups (name to node names). A node in several groups counts for the last. */
export function conceptGraph(model: Model, groups: Readonly<Record<string, readonly string[]>>): ConceptGraph {
  const ends = endsOf(model, groups);
  const endOf = new Int32Array(model.size).fill(-1);
  ends.forEach((end, place) => end.rows.forEach((row) => (endOf[row] = place)));
  const sums = summed(model, ends, endOf);
  const covered = new Map(runFlows(model, ends).map((flow) => [`${flow.source}\u0000${flow.target}`, flow]));
  for (const flow of sums) {
    const key = `${flow.source}\u0000${flow.target}`;
    if (!covered.has(key)) covered.set(key, flow);
  }
  const flows = [...covered.values()].filter((flow) => flow.size > 0 && Number.isFinite(flow.size));
  return { ends, flows: flows.sort((one, other) => other.size - one.size) };
}

function endsOf(model: Model, groups: Readonly<Record<string, readonly string[]>>): End[] {
  const { kind } = model.graph.nodes;
  const owner = new Map<number, string>();
  for (const [name, nodes] of Object.entries(groups))
    for (const node of nodes) {
      const row = model.rowOf.get(node);
      if (row !== undefined) owner.set(row, name);
    }
  const members = new Map<string, number[]>(Object.keys(groups).map((name) => [name, []]));
  const rest: number[] = [];
  const alone: End[] = [];
  for (let row = 0; row < model.size; row++) {
    const name = owner.get(row);
    const node = model.graph.nodes.node[row];
    if (name !== undefined) members.get(name)?.push(row);
    else if (kind[row] === "logit" || model.graph.targets.some((one) => one.node === node)) {
      // The numbers speak of the first target; of the run's other outputs only if these are of its making.
      if (node !== model.graph.targets[0]?.node && !model.influence(row)) continue;
      alone.push({ id: `t:${node}`, kind: "target", name: node, rows: [row], influence: null, concept: null });
    } else if (kind[row] === "token")
      alone.push({ id: `w:${node}`, kind: "token", name: node, rows: [row], influence: model.graph.nodes.influence[row], concept: null });
    else if (kind[row] !== "bias" && kind[row] !== "rest") rest.push(row);
  }
  const made: End[] = [...members].map(([name, rows]) => {
    const concept = unchanged(model, name, groups[name]);
    const influence = concept === null ? passing(model, rows) : model.graph.concepts[concept].influence;
    return { id: `g:${name}`, kind: "group", name, rows, influence, concept };
  });
  if (rest.length)
    made.push({ id: "o:", kind: "other", name: OTHER, rows: rest, influence: passing(model, rest), concept: null });
  return [...made, ...alone];
}

/** The place of the document's concept of a name, where it still has the same nodes. */
function unchanged(model: Model, name: string, nodes: readonly string[]): number | null {
  const place = model.graph.concepts.findIndex((one) => one.name === name);
  if (place < 0) return null;
  const held = new Set(model.graph.concepts[place].nodes);
  return held.size === new Set(nodes).size && nodes.every((node) => held.has(node)) ? place : null;
}

/**
 * The share of the first target that passes through a set, every path counted once, at its last member:
 * Σ over members s and nodes v outside of share(s → v) · r(v), r(v) being what reaches the target from v past the
 * set. From the edges of the document, so a lower bound where some were left out.
 */
export function passing(model: Model, rows: readonly number[]): number {
  const inside = new Uint8Array(model.size);
  for (const row of rows) inside[row] = 1;
  const reach = new Float64Array(model.size);
  const asked = model.rowOf.get(model.graph.targets[0]?.node ?? "");
  if (asked !== undefined) reach[asked] = 1;
  const { target } = model.graph.edges;
  let whole = asked !== undefined && inside[asked] ? 1 : 0;
  for (const row of order(model).toReversed()) {
    let sum = 0;
    for (const edge of model.outOf[row]) if (!inside[target[edge]]) sum += model.shares[edge] * reach[target[edge]];
    if (inside[row]) whole += sum;
    else reach[row] += sum;
  }
  return whole;
}

const orders = new WeakMap<Model, number[]>();

/** Rows so that every edge runs forward (Kahn 1962); of what lies on a circle the table's order. */
function order(model: Model): number[] {
  const known = orders.get(model);
  if (known) return known;
  const { target } = model.graph.edges;
  const waiting = model.into.map((edges) => edges.length);
  const found = waiting.flatMap((count, row) => (count === 0 ? [row] : []));
  for (const row of found) for (const edge of model.outOf[row]) if (--waiting[target[edge]] === 0) found.push(target[edge]);
  const held = new Set(found);
  waiting.forEach((_, row) => held.has(row) || found.push(row));
  orders.set(model, found);
  return found;
}

/** Sums over the document's edges between different ends. */
function summed(model: Model, ends: readonly End[], endOf: Int32Array): Flow[] {
  const { source, target, weight } = model.graph.edges;
  const { pre_activation, influence, incoming } = model.graph.nodes;
  const sums = new Map<number, number>();
  for (let edge = 0; edge < weight.length; edge++) {
    const [from, to] = [endOf[source[edge]], endOf[target[edge]]];
    if (from < 0 || to < 0 || from === to) continue;
    const row = target[edge];
    let scale = 1;
    if (grouped(ends[to])) {
      const below = incoming[row] * (ends[to].influence ?? 0);
      scale = below > 0 ? (((pre_activation[row] ?? 0) < 0 ? -1 : 1) * (influence[row] ?? 0)) / below : 0;
    }
    const key = from * ends.length + to;
    sums.set(key, (sums.get(key) ?? 0) + weight[edge] * scale);
  }
  return [...sums].map(([key, value]) => {
    const [from, to] = [ends[Math.floor(key / ends.length)], ends[key % ends.length]];
    return { source: from.id, target: to.id, weight: value, size: sizeOf(model, to, value), from: "file" };
  });
}

/** The run's own flows, between ends that are still as they were. */
function runFlows(model: Model, ends: readonly End[]): Flow[] {
  const as = new Map<string, End>();
  for (const end of ends) if (end.kind !== "other" && (end.kind !== "group" || end.concept !== null)) as.set(end.name, end);
  return model.graph.concept_edges.flatMap(({ source, target, weight }) => {
    const [from, to] = [as.get(source), as.get(target)];
    return from && to ? [{ source: from.id, target: to.id, weight, size: sizeOf(model, to, weight), from: "run" as const }] : [];
  });
}

function grouped(end: End): boolean {
  return end.kind === "group" || end.kind === "other";
}

function sizeOf(model: Model, to: End, weight: number): number {
  if (grouped(to)) return Math.abs(weight) * (to.influence ?? 0);
  const row = to.rows[0];
  const { incoming, influence } = model.graph.nodes;
  const arriving = influence[row] ?? (model.graph.targets[0]?.node === to.name ? 1 : 0);
  return incoming[row] > 0 ? (Math.abs(weight) / incoming[row]) * arriving : 0;
}
