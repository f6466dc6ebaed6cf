/** Documents for tests: a few words of each node and edge, the rest filled in. */
import type { GraphPart, NodeKind, ViewerDocument } from "../src/document";
import { Model } from "../src/model";

export interface SampleNode {
  node: string;
  kind?: NodeKind;
  layer?: number | null;
  pos?: number | null;
  influence?: number | null;
}

export type SampleEdge = [string, string, number];

export interface SampleCombination {
  members: string[];
  target: string;
  weight?: number;
  share?: number | null;
  gate?: "and" | "or" | "inhibit" | "xor" | "additive" | "other" | null;
}

/** `incoming` is the sum of the given edges, plus `missing` by node name: parts that the document leaves out. */
export function sample(
  nodes: SampleNode[],
  edges: SampleEdge[],
  more: { tokens?: string[]; layers?: number; combinations?: SampleCombination[]; missing?: Record<string, number> } = {},
): Model {
  const row = new Map(nodes.map(({ node }, place) => [node, place]));
  const incoming = nodes.map(({ node }) => more.missing?.[node] ?? 0);
  for (const [, target, weight] of edges) incoming[row.get(target) as number] += Math.abs(weight);
  const all = more.combinations ?? [];
  const blank = <T>(value: T) => nodes.map(() => value);
  const graph: GraphPart = {
    name: "sample",
    prompt: (more.tokens ?? ["a"]).join(""),
    tokens: more.tokens ?? ["a"],
    model: "",
    dictionary: "",
    layers: more.layers ?? 1,
    targets: nodes.filter(({ kind }) => kind === "logit").map(({ node }) => ({ node, text: node, probability: 0.5, value: 1 })),
    totals: { nodes: nodes.length, edges: edges.length, hyperedges: all.length, combinations: all.length, cards: 0 },
    left_out: [],
    nodes: {
      node: nodes.map(({ node }) => node),
      kind: nodes.map(({ kind }) => kind ?? "feature"),
      layer: nodes.map(({ layer }) => layer ?? null),
      pos: nodes.map(({ pos }) => pos ?? null),
      feature: blank(null),
      activation: blank(null),
      pre_activation: blank(null),
      influence: nodes.map(({ influence }) => influence ?? null),
      total: blank(null),
      incoming,
      label: blank(null),
      name: nodes.map(({ node }) => node),
      concept: blank(null),
    },
    edges: {
      source: edges.map(([source]) => row.get(source) as number),
      target: edges.map(([, target]) => row.get(target) as number),
      weight: edges.map(([, , weight]) => weight),
    },
    hyperedges: {
      hyperedge: all.map((_, place) => `h${place}`),
      members: all.map(({ members }) => members),
      text: all.map(({ members }) => members.join(" × ")),
      target: all.map(({ target }) => target),
      order: all.map(({ members }) => members.length),
      index: all.map(() => "FSII"),
      weight: all.map(({ weight }) => weight ?? 1),
      low: all.map(() => null),
      high: all.map(() => null),
      effect: all.map(() => null),
      gate: all.map(({ gate }) => gate ?? null),
      channel: all.map(() => "mlp" as const),
      estimated: all.map(() => false),
      share: all.map(({ share }) => share ?? null),
      via: all.map(() => []),
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
  };
  const document: ViewerDocument = {
    format: "circuits-viewer",
    version: 1,
    title: "sample",
    graph,
    against: null,
    diff: null,
    answer: null,
  };
  return new Model(document);
}

/** Numbers between 0 and 1 that are the same at each run. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A random graph: words, layers of features, a target; every edge upwards. */
export function randomModel(seed: number, size = 40, density = 0.3, layers = 4, tokens = 5): Model {
  const next = random(seed);
  const nodes: SampleNode[] = [];
  for (let pos = 0; pos < tokens; pos++)
    nodes.push({ node: `tok@${pos}`, kind: "token", pos, influence: next() * 0.1 });
  for (let one = 0; one < size; one++) {
    const kind = next() < 0.15 ? "error" : "feature";
    nodes.push({
      node: `n${one}`,
      kind,
      layer: Math.floor(next() * layers),
      pos: Math.floor(next() * tokens),
      influence: next() ** 3,
    });
  }
  nodes.push({ node: "bias:own", kind: "bias", influence: 0 });
  nodes.push({ node: "logit:x", kind: "logit", pos: tokens - 1, influence: 0 });
  const height = ({ kind, layer }: SampleNode) => (kind === "logit" ? layers : (layer ?? -1));
  const edges: SampleEdge[] = [];
  for (const source of nodes)
    for (const target of nodes)
      if (height(source) < height(target) && next() < density)
        edges.push([source.node, target.node, (next() - 0.35) * 2]);
  // rows in no particular order: nothing may rely on one
  nodes.sort(() => next() - 0.5);
  return sample(nodes, edges, { tokens: Array.from({ length: tokens }, (_, pos) => ` w${pos}`), layers });
}
