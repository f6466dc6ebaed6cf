/**
 * What the viewer is given: one JSON document, made by `circuits/viewer/document.py`.
 *
 * Tables are columns: arrays of one length, a row the same place in each. Names of columns and their
 * meanings are those of `circuits/schema.py`. Numbers are the run's own, not rounded; float32 ones are the
 * shortest decimals that are them. A number that is unknown, or not finite, is null.
 */
export interface ViewerDocument {
  format: "circuits-viewer";
  version: 1;
  title: string;
  graph: GraphPart;
  /** The second graph of a comparison, and how its nodes stand to the first's. */
  against: GraphPart | null;
  diff: DiffPart | null;
  /** The answer the document was made with; its target is the graph's. */
  answer: AnswerPart | null;
}

export interface GraphPart {
  /** How the run is called: the folder's name, or "graph". */
  name: string;
  prompt: string;
  /** By position. */
  tokens: string[];
  model: string;
  dictionary: string;
  /** Layers of the model, so far as the graph knows: 0 … layers − 1. */
  layers: number;
  /** The first is what is explained: influence and totals speak of it. Then the run's other outputs. */
  targets: TargetPart[];
  /** What the whole run holds; the tables here may hold less. */
  totals: { nodes: number; edges: number; hyperedges: number; combinations: number; cards: number };
  /** What was left out of this document and by which rule, in sentences; empty if nothing was. */
  left_out: string[];
  nodes: NodeTable;
  edges: EdgeTable;
  hyperedges: HyperedgeTable;
  /** What a member of a hyperedge that is no node consists of: name to node names. */
  players: Record<string, string[]>;
  concepts: ConceptPart[];
  concept_edges: { source: string; target: string; weight: number }[];
  /** All pairs of the run by the layers of their two members, as shares; null where there are none. */
  matrix: MatrixPart | null;
  paths: PathPart[];
  cards: CardsPart;
  verdicts: VerdictPart[];
  /** Name and text: model, dictionary, versions, fingerprints, seeds, settings, timings. */
  facts: [string, string][];
  /** The command that made the run. */
  command: string | null;
}

export interface TargetPart {
  node: string;
  /** As on the page: " Austin". */
  text: string;
  probability: number | null;
  /** Its value (logit, less the mean logit). */
  value: number | null;
}

export type NodeKind = "feature" | "token" | "position" | "error" | "bias" | "rest" | "logit";

export interface NodeTable {
  node: string[];
  kind: NodeKind[];
  /** Null where a node has none; tokens are drawn below layer 0, targets above the last. */
  layer: (number | null)[];
  pos: (number | null)[];
  feature: (number | null)[];
  activation: (number | null)[];
  pre_activation: (number | null)[];
  /** Share of the first target reached through it, 1 for that target itself. */
  influence: (number | null)[];
  /** The whole effect on the target along all paths, signed, in its units. */
  total: (number | null)[];
  /** What flows into it in the run: Σ |weight| of all its edges but constants', also those left out here. */
  incoming: number[];
  label: (string | null)[];
  /** The name for people: a label, " Dallas", error of layer 3; at most 80 characters. */
  name: string[];
  concept: (string | null)[];
}

export interface EdgeTable {
  /** Rows of the node table. Sorted by |weight| over the target's `incoming`, times the target's influence, largest first. */
  source: number[];
  target: number[];
  weight: number[];
}

export type Gate = "and" | "or" | "inhibit" | "xor" | "additive" | "other";

export interface HyperedgeTable {
  hyperedge: string[];
  /** Names of nodes, or of players. */
  members: string[][];
  /** Members for people: Dallas × capital. */
  text: string[];
  target: string[];
  order: number[];
  index: string[];
  weight: number[];
  low: (number | null)[];
  high: (number | null)[];
  /** What the members do together. */
  effect: (number | null)[];
  gate: (Gate | null)[];
  channel: ("output" | "mlp" | "qk")[];
  estimated: boolean[];
  /** Share of what moves its target; null where unknown. */
  share: (number | null)[];
  /** Shares of it by mediating node or head, the largest first: name and weight. */
  via: [string, number][][];
}

export interface ConceptPart {
  name: string;
  nodes: string[];
  /** Who made it: "given", "found", "words". */
  origin: string;
  influence: number;
  total: number | null;
  /** Evidence, a line each: stability, label enrichment, concept test. */
  evidence: string[];
}

export interface MatrixPart {
  /** Labels of rows and columns, bottom up: "words", "L0", … */
  layers: string[];
  /**
   * [row][column], row ≥ column: the shares of what moves the target (as `HyperedgeTable.share`) of pairs that
   * push up and of pairs that push down, summed, none negative; and how many pairs.
   */
  up: number[][];
  down: number[][];
  pairs: number[][];
}

export interface PathPart {
  /** Node names from source to target. */
  nodes: string[];
  /** Its signed effect on the target, in the target's units. */
  effect: number;
  share: number;
}

/** Cards of features, by "layer/feature". */
export interface CardsPart {
  /** Tokens that contexts and lists name by their place here. */
  strings: string[];
  cards: Record<string, CardPart>;
}

export interface CardPart {
  label: string | null;
  /** Held-out precision and recall of the label. */
  precision: number | null;
  recall: number | null;
  /** Share of tokens at which it is on, and its largest activation. */
  frequency: number;
  maximum: number;
  /** Tokens by tenth of twice `half`, the last bar open. */
  bars: number[];
  half: number;
  promoted: [number, number][];
  suppressed: [number, number][];
  /** Values are activations in 255ths of `maximum`, whole numbers; `fifth` is 5 for the largest, else 1 to 4. */
  contexts: { tokens: number[]; values: number[]; at: number; fifth: number }[];
}

export interface VerdictPart {
  claim: string;
  kind: string;
  members: string[];
  target: string;
  held: string;
  predicted: number | null;
  measured: number | null;
  tolerance: number | null;
  holds: boolean | null;
}

/** An answer as `ask` gives it; tables are columns. */
export interface AnswerPart {
  question: string;
  finding: string[];
  trust: string | null;
  tables: Record<string, TablePart>;
  highlight: { nodes: string[]; edges: [string, string][] };
  code: string;
}

export interface TablePart {
  caption: string;
  columns: string[];
  /** Whether a column is a number, by column. */
  numeric: boolean[];
  /** Cells as shown, by row. */
  rows: string[][];
  /** The same cells as exact values, for sorting and reading by programs. */
  values: (string | number | boolean | null)[][];
}

export interface DiffPart {
  /** The two columns: positions of the first and of the second prompt that stand for each other; null: no partner. */
  positions: [number | null, number | null][];
  /** Rows of `graph.nodes` and `against.nodes` that are the same node (layer, feature, aligned position). */
  pairs: [number, number][];
  /** By row of each graph's nodes: how the node stands in the other. */
  here: DiffMark[];
  there: DiffMark[];
  /** Change of the whole effect on the target (second less first) by pair. */
  change: (number | null)[];
  /** The contrast in sentences. */
  finding: string[];
}

/** In both; only in this one; in the other run but not among the nodes shown. */
export type DiffMark = "both" | "only" | "unshown";
