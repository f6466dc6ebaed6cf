/** Small documents for tests: made by hand, or drawn at random from a seed. */
import type { GraphPart, HyperedgeTable, NodeKind, ViewerDocument } from "../src/document";
import { Model } from "../src/model";

export interface SampleNode {
  node: string;
  kind: NodeKind;
  layer?: number | null;
  pos?: number | null;
  influence?: number | null;
  pre?: number | null;
  total?: number | null;
}

export interface SampleHyperedge {
  members: string[];
  target: string;
  weight: number;
  share?: number | null;
  low?: number;
  high?: number;
  channel?: "output" | "mlp" | "qk";
  gate?: HyperedgeTable["gate"][number];
  order?: number;
}

/** A graph of these nodes, edges (source, target, weight) and hyperedges; incoming sums are those of the edges. */
export function graphOf(
  nodes: SampleNode[],
  edges: [string, string, number][],
  hyperedges: SampleHyperedge[] = [],
  more: Partial<GraphPart> = {},
): GraphPart {
  const row = new Map(nodes.map(({ node }, place) => [node, place]));
  const incoming = nodes.map(({ node }) =>
    edges.filter(([, target]) => target === node).reduce((sum, [, , weight]) => sum + Math.abs(weight), 0),
  );
  const rows = <T>(pick: (one: SampleHyperedge, place: number) => T) => hyperedges.map(pick);
  return {
    name: "run/sample",
    prompt: "a b c",
    tokens: ["a", " b", " c"],
    model: "model",
    dictionary: "dictionary",
    layers: 3,
    targets: nodes
      .filter(({ kind }) => kind === "logit")
      .map(({ node }) => ({ node, text: node.slice(6), probability: 0.5, value: 1 })),
    totals: { nodes: nodes.length, edges: edges.length, hyperedges: hyperedges.length, combinations: hyperedges.length, cards: 0 },
    left_out: [],
    nodes: {
      node: nodes.map(({ node }) => node),
      kind: nodes.map(({ kind }) => kind),
      layer: nodes.map(({ layer }) => layer ?? null),
      pos: nodes.map(({ pos }) => pos ?? null),
      feature: nodes.map(({ kind }, place) => (kind === "feature" ? place : null)),
      activation: nodes.map(() => 1),
      pre_activation: nodes.map(({ pre }) => pre ?? 1),
      influence: nodes.map(({ influence }) => influence ?? null),
      total: nodes.map(({ total }) => total ?? null),
      incoming,
      label: nodes.map(() => null),
      name: nodes.map(({ node }) => node),
      concept: nodes.map(() => null),
    },
    edges: {
      source: edges.map(([source]) => row.get(source) as number),
      target: edges.map(([, target]) => row.get(target) as number),
      weight: edges.map(([, , weight]) => weight),
    },
    hyperedges: {
      hyperedge: rows((_, place) => `h${place}`),
      members: rows((one) => one.members),
      text: rows((one) => one.members.join(" × ")),
      target: rows((one) => one.target),
      order: rows((one) => one.order ?? one.members.length),
      index: rows(() => "SII"),
      weight: rows((one) => one.weight),
      low: rows((one) => one.low ?? one.weight),
      high: rows((one) => one.high ?? one.weight),
      effect: rows(() => null),
      gate: rows((one) => one.gate ?? null),
      channel: rows((one) => one.channel ?? "output"),
      estimated: rows(() => false),
      share: rows((one) => (one.share === undefined ? Math.abs(one.weight) / 10 : one.share)),
      via: rows(() => []),
    },
    players: {},
    concepts: [],
    concept_edges: [],
    matrix: null,
    paths: [],
    cards: { strings: [], cards: {} },
    verdicts: [],
    facts: [],
    command: null,
    ...more,
  };
}

export function modelOf(graph: GraphPart, more: Partial<ViewerDocument> = {}): Model {
  return new Model({ format: "circuits-viewer", version: 1, title: "sample", graph, against: null, diff: null, answer: null, ...more });
}

/** Numbers of 0 … 1 from a seed (mulberry32): the same in every run. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
