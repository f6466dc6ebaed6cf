/** The viewer's state: signals, what follows from them, and what may be done to them. */
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { AnswerPart } from "./document";
import type { Host, SharedState } from "./host";
import type { Model } from "./model";
import {
  edgesOf,
  initialEdgeThreshold,
  initialThreshold,
  MOST_COMBINATIONS,
  shownCombinations,
  shownEdges,
  shownRows,
  withNamed,
} from "./shown";

/** The shape of a view: a picture, or its twin, a table of the same things. */
export type Shape = "picture" | "table";

/** What is lit while all else is dimmed: a path, or the subgraph of an answer. */
export interface Lit {
  /** Names of nodes. */
  nodes: ReadonlySet<string>;
  /** Edges as `edgeKey` writes them. */
  edges: ReadonlySet<string>;
  /** In words, for the live region and the legend. */
  what: string;
}

/** How a group is marked besides its name: one of eight colours (`--group-0` …) and a letter. */
export interface GroupMark {
  colour: number;
  letter: string;
}

export interface Store {
  readonly model: Model;
  readonly host: Host;
  /** Which view: an id of `views/index.ts`. */
  readonly view: Signal<string>;
  readonly shape: Signal<Shape>;
  /** The node whose card is open and whose edges are lit. */
  readonly selected: Signal<string | null>;
  /** The node that has the keyboard in the graph; what P, F and Enter act on. */
  readonly focused: Signal<string | null>;
  /** The combination that is looked at, by its id in the document; the same in all views. */
  readonly combination: Signal<string | null>;
  /** The node under the pointer. */
  readonly hovered: Signal<string | null>;
  readonly pinned: Signal<ReadonlySet<string>>;
  /** Groups by name; they begin as the document's concepts. */
  readonly groups: Signal<Readonly<Record<string, readonly string[]>>>;
  readonly threshold: Signal<number>;
  /** Edges are shown from this share of their target's input on, 0 … 1. */
  readonly edgeThreshold: Signal<number>;
  /** Combinations are drawn. */
  readonly interactions: Signal<boolean>;
  /** What is lit; the graph dims all else. Its nodes and edges are shown whatever the thresholds. */
  readonly lit: Signal<Lit | null>;
  /** The answer in the side panel. */
  readonly answer: Signal<AnswerPart | null>;
  /** Which overlay is open. */
  readonly overlay: Signal<"help" | "search" | "group" | null>;
  /** A sentence for the live region: what the last action did. */
  readonly told: Signal<string>;
  /** Rows shown: by influence until the threshold is reached, tokens, targets, and what is pinned, selected or lit. */
  readonly visible: ReadonlySignal<ReadonlySet<number>>;
  /** Rows shown under the threshold alone; the layout's measure is taken from these, so that a pin moves little. */
  readonly steady: ReadonlySignal<ReadonlySet<number>>;
  /** Edges drawn: both ends shown, and above the edge threshold, or lit, or among the selected node's strongest. */
  readonly visibleEdges: ReadonlySignal<readonly number[]>;
  /** Combinations that could be drawn: their members and target are shown. The strongest first. */
  readonly possibleCombinations: ReadonlySignal<readonly number[]>;
  /** Combinations drawn: the strongest, and the selected node's. None where they are switched off. */
  readonly visibleCombinations: ReadonlySignal<readonly number[]>;
  /** Group of each node by name. */
  readonly groupOf: ReadonlySignal<ReadonlyMap<string, string>>;
  readonly groupMarks: ReadonlySignal<ReadonlyMap<string, GroupMark>>;
  select(node: string | null): void;
  togglePin(node: string): void;
}

/** An edge as a key of `Lit.edges`, by the names of its ends. */
export function edgeKey(source: string, target: string): string {
  return `${source}\u0000${target}`;
}

export function createStore(model: Model, host: Host): Store {
  const given = host.state ?? {};
  const selected = signal<string | null>(given.selected ?? null);
  const pinned = signal<ReadonlySet<string>>(new Set(given.pinned ?? []));
  const groups = signal<Readonly<Record<string, readonly string[]>>>(given.groups ?? initialGroups(model));
  const threshold = signal(given.threshold ?? initialThreshold(model));
  const lit = signal<Lit | null>(null);
  const interactions = signal(true);
  const told = signal("");

  const steady = computed(() => shownRows(model, threshold.value, []));
  const edgeThreshold = signal(initialEdgeThreshold(model, steady.value));
  const visible = computed(() =>
    withNamed(model, steady.value, [
      ...pinned.value,
      ...(selected.value ? [selected.value] : []),
      ...(lit.value?.nodes ?? []),
    ]),
  );
  const plainEdges = computed(() => shownEdges(model, visible.value, edgeThreshold.value));
  const visibleEdges = computed(() =>
    grown(plainEdges.value, [
      ...(selected.value ? ofSelected(model, visible.value, selected.value) : []),
      ...litEdges(model, lit.value),
    ]),
  );
  const possibleCombinations = computed(() => shownCombinations(model, visible.value));
  const visibleCombinations = computed(() =>
    interactions.value ? drawnCombinations(model, possibleCombinations.value, selected.value) : [],
  );
  const groupOf = computed(
    () => new Map(Object.entries(groups.value).flatMap(([name, nodes]) => nodes.map((node) => [node, name] as const))),
  );

  return {
    model,
    host,
    view: signal(given.view ?? "graph"),
    shape: signal<Shape>("picture"),
    selected,
    focused: signal<string | null>(null),
    combination: signal<string | null>(null),
    hovered: signal<string | null>(null),
    pinned,
    groups,
    threshold,
    edgeThreshold,
    interactions,
    lit,
    answer: signal<AnswerPart | null>(null),
    overlay: signal<"help" | "search" | "group" | null>(null),
    told,
    visible,
    steady,
    visibleEdges,
    possibleCombinations,
    visibleCombinations,
    groupOf,
    groupMarks: computed(() => new Map(Object.keys(groups.value).map((name, place) => [name, markOf(place)] as const))),
    select(node) {
      selected.value = node;
    },
    togglePin(node) {
      const next = new Set(pinned.value);
      const was = next.delete(node);
      if (!was) next.add(node);
      pinned.value = next;
      told.value = `${model.graph.nodes.name[model.rowOf.get(node) ?? 0]} ${was ? "no longer pinned" : "pinned"}`;
    },
  };
}

/** What of the state is shared with a notebook or the address. */
export function shared(store: Store): SharedState {
  return {
    view: store.view.value,
    selected: store.selected.value,
    pinned: [...store.pinned.value],
    groups: Object.fromEntries(Object.entries(store.groups.value).map(([name, nodes]) => [name, [...nodes]])),
    threshold: store.threshold.value,
  };
}

/** Rows of the edges that are lit. */
export function litEdges(model: Model, lit: Lit | null): number[] {
  if (!lit) return [];
  const { node } = model.graph.nodes;
  const { source, target } = model.graph.edges;
  const found: number[] = [];
  for (const name of lit.nodes)
    for (const edge of model.into[model.rowOf.get(name) ?? -1] ?? [])
      if (lit.edges.has(edgeKey(node[source[edge]], node[target[edge]]))) found.push(edge);
  return found;
}

function initialGroups(model: Model): Record<string, readonly string[]> {
  return Object.fromEntries(model.graph.concepts.map((concept) => [concept.name, concept.nodes]));
}

/** Eight colours, then again; letters A … Z, then A2 … */
function markOf(place: number): GroupMark {
  const round = Math.floor(place / 26);
  return { colour: place % 8, letter: String.fromCharCode(65 + (place % 26)) + (round ? String(round + 1) : "") };
}

function ofSelected(model: Model, rows: ReadonlySet<number>, selected: string): number[] {
  const row = model.rowOf.get(selected);
  return row === undefined ? [] : edgesOf(model, rows, row);
}

function grown(edges: readonly number[], more: readonly number[]): readonly number[] {
  if (more.length === 0) return edges;
  const all = new Set(edges);
  for (const edge of more) all.add(edge);
  return all.size === edges.length ? edges : [...all].sort((one, other) => one - other);
}

function drawnCombinations(model: Model, possible: readonly number[], selected: string | null): readonly number[] {
  const first = possible.slice(0, MOST_COMBINATIONS);
  const row = selected === null ? undefined : model.rowOf.get(selected);
  const own = new Set(row === undefined ? [] : model.combining.get(row));
  return [...first, ...possible.slice(MOST_COMBINATIONS).filter((one) => own.has(one)).slice(0, MOST_COMBINATIONS)];
}
