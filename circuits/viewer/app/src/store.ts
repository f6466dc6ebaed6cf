/** The viewer's state: signals, what follows from them, and what may be done to them. */
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { AnswerPart } from "./document";
import type { Host, SharedState } from "./host";
import type { Model } from "./model";

/** The shape of a view: a picture, or its twin, a table of the same things. */
export type Shape = "picture" | "table";

export interface Store {
  readonly model: Model;
  readonly host: Host;
  /** Which view: an id of `views/index.ts`. */
  readonly view: Signal<string>;
  readonly shape: Signal<Shape>;
  /** The node whose card is open and whose edges are lit. */
  readonly selected: Signal<string | null>;
  readonly pinned: Signal<ReadonlySet<string>>;
  /** Groups by name; they begin as the document's concepts. */
  readonly groups: Signal<Readonly<Record<string, readonly string[]>>>;
  readonly threshold: Signal<number>;
  /** Edges are shown from this share of their target's input on, 0 … 1. */
  readonly edgeThreshold: Signal<number>;
  /** Combinations are drawn. */
  readonly interactions: Signal<boolean>;
  /** Nodes of the path, or of the answer, that is lit; the graph dims all else. */
  readonly lit: Signal<{ nodes: ReadonlySet<string>; edges: ReadonlySet<string>; what: string } | null>;
  /** The answer in the side panel. */
  readonly answer: Signal<AnswerPart | null>;
  /** Which overlay is open. */
  readonly overlay: Signal<"help" | "search" | "group" | null>;
  /** A sentence for the live region: what the last action did. */
  readonly told: Signal<string>;
  /** Rows shown under the thresholds: by influence until the share is reached, and all that are pinned. */
  readonly visible: ReadonlySignal<ReadonlySet<number>>;
  /** Edges shown: both ends visible, share above the edge threshold. */
  readonly visibleEdges: ReadonlySignal<readonly number[]>;
  /** Group of each node by name. */
  readonly groupOf: ReadonlySignal<ReadonlyMap<string, string>>;
  select(node: string | null): void;
  togglePin(node: string): void;
}

export function createStore(model: Model, host: Host): Store {
  const given = host.state ?? {};
  const view = signal(given.view ?? "graph");
  const shape = signal<Shape>("picture");
  const selected = signal<string | null>(given.selected ?? null);
  const pinned = signal<ReadonlySet<string>>(new Set(given.pinned ?? []));
  const groups = signal<Readonly<Record<string, readonly string[]>>>(given.groups ?? initialGroups(model));
  const threshold = signal(given.threshold ?? initialThreshold(model));
  const edgeThreshold = signal(0.02);
  const told = signal("");

  const visible = computed(() => shownRows(model, threshold.value, pinned.value, selected.value));
  const visibleEdges = computed(() => {
    const rows = visible.value;
    const { source, target } = model.graph.edges;
    const found: number[] = [];
    for (let edge = 0; edge < source.length; edge++)
      if (rows.has(source[edge]) && rows.has(target[edge]) && model.share(edge) >= edgeThreshold.value) found.push(edge);
    return found;
  });
  const groupOf = computed(
    () => new Map(Object.entries(groups.value).flatMap(([name, nodes]) => nodes.map((node) => [node, name] as const))),
  );

  return {
    model,
    host,
    view,
    shape,
    selected,
    pinned,
    groups,
    threshold,
    edgeThreshold,
    interactions: signal(true),
    lit: signal<{ nodes: ReadonlySet<string>; edges: ReadonlySet<string>; what: string } | null>(null),
    answer: signal<AnswerPart | null>(null),
    overlay: signal<"help" | "search" | "group" | null>(null),
    told,
    visible,
    visibleEdges,
    groupOf,
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

function initialGroups(model: Model): Record<string, readonly string[]> {
  return Object.fromEntries(model.graph.concepts.map((concept) => [concept.name, concept.nodes]));
}

/** So many nodes that a screen can hold them: about 60 besides targets. */
function initialThreshold(model: Model, most = 60): number {
  const shares = sortedInfluence(model);
  const whole = shares.reduce((sum, [, share]) => sum + share, 0);
  const kept = shares.slice(0, most).reduce((sum, [, share]) => sum + share, 0);
  return whole > 0 ? Math.min(1, Math.ceil((100 * kept) / whole) / 100) : 1;
}

function sortedInfluence(model: Model): [number, number][] {
  return model.graph.nodes.influence
    .map((share, row) => [row, share ?? 0] as [number, number])
    .sort((one, other) => other[1] - one[1]);
}

function shownRows(
  model: Model,
  threshold: number,
  pinned: ReadonlySet<string>,
  selected: string | null,
): ReadonlySet<number> {
  const order = sortedInfluence(model);
  const whole = order.reduce((sum, [, share]) => sum + share, 0);
  const rows = new Set<number>();
  let reached = 0;
  for (const [row, share] of order) {
    if (reached >= threshold * whole && threshold < 1) break;
    if (share > 0 || threshold >= 1) rows.add(row);
    reached += share;
  }
  model.graph.nodes.kind.forEach((kind, row) => {
    if (kind === "logit" || kind === "token") rows.add(row);
  });
  for (const name of [...pinned, ...(selected ? [selected] : [])]) {
    const row = model.rowOf.get(name);
    if (row !== undefined) rows.add(row);
  }
  return rows;
}
