/** What the parts of the graph view share: its size, the layout, the transforms, and what is lit. */
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { zoomIdentity, type ZoomTransform } from "d3-zoom";
import { type Area, type Layout, layout, measure } from "../../layout";
import { litEdges, type Store } from "../../store";

/** What stands out while all else is dimmed. */
export interface Emphasis {
  rows: ReadonlySet<number>;
  edges: readonly number[];
  combinations: ReadonlySet<number>;
}

export interface Scene {
  store: Store;
  /** The stage on the page, in pixels. */
  size: Signal<Area>;
  /** What is left of the stage for the nodes, once layers and tokens have their margins. */
  margins: ReadonlySignal<Margins>;
  layout: ReadonlySignal<Layout>;
  /** Where the reader has moved the picture. */
  live: Signal<ZoomTransform>;
  /** Where it was drawn last; while moving, the drawing is only shifted. */
  drawn: Signal<ZoomTransform>;
  /** The combination under the pointer or the keyboard. */
  combination: Signal<number | null>;
  emphasis: ReadonlySignal<Emphasis | null>;
  /** The page is being printed. */
  paper: Signal<boolean>;
  /** Edges in and out of each shown node, as drawn. */
  degrees: ReadonlySignal<ReadonlyMap<number, [number, number]>>;
}

export interface Margins {
  left: number;
  right: number;
  top: number;
  bottom: number;
  /** Tokens are written aslant where columns are narrow. */
  aslant: boolean;
}

export function createScene(store: Store): Scene {
  const size = signal<Area>({ width: 0, height: 0 });
  const combination = signal<number | null>(null);
  const margins = computed(() => marginsOf(store, size.value));
  const area = computed(() => ({
    width: Math.max(1, size.value.width - margins.value.left - margins.value.right),
    height: Math.max(1, size.value.height - margins.value.top - margins.value.bottom),
  }));
  const given = computed(() => measure(store.model, store.steady.value, area.value));
  return {
    store,
    size,
    margins,
    layout: computed(() => layout(store.model, store.visible.value, area.value, given.value)),
    live: signal(zoomIdentity),
    drawn: signal(zoomIdentity),
    combination,
    paper: signal(false),
    emphasis: computed(() => emphasisOf(store, combination.value)),
    degrees: computed(() => degreesOf(store)),
  };
}

/** The transform that shows all of it. */
export function fitted(scene: Scene): ZoomTransform {
  const { size, margins, layout } = scene;
  const { left, right, top, bottom } = margins.value;
  const width = Math.max(1, size.value.width - left - right);
  const height = Math.max(1, size.value.height - top - bottom);
  const scale = Math.min(1.25, width / layout.value.width, height / layout.value.height);
  return zoomIdentity
    .translate(left + (width - scale * layout.value.width) / 2, top + (height - scale * layout.value.height) / 2)
    .scale(scale);
}

function marginsOf(store: Store, size: Area): Margins {
  const { tokens, layers } = store.model.graph;
  const aslant = size.width / Math.max(1, tokens.length) < 56;
  const narrow = size.width < 600;
  return {
    left: narrow ? 34 : layers > 0 ? 54 : 16,
    right: narrow ? 6 : 16,
    top: 10,
    bottom: aslant ? 66 : 34,
    aslant,
  };
}

function emphasisOf(store: Store, combination: number | null): Emphasis | null {
  const { model } = store;
  if (combination !== null) return ofCombination(store, combination);
  const lit = store.lit.value;
  const about = lit ? null : (store.hovered.value ?? store.selected.value);
  if (about === null) {
    if (!lit) return null;
    const rows = rowsOf(store, lit.nodes);
    return { rows, edges: litEdges(model, lit), combinations: combinationsAmong(store, rows) };
  }
  const row = model.rowOf.get(about);
  if (row === undefined) return null;
  const { source, target } = model.graph.edges;
  const edges = store.visibleEdges.value.filter((edge) => source[edge] === row || target[edge] === row);
  const rows = new Set(edges.flatMap((edge) => [source[edge], target[edge]]));
  rows.add(row);
  const own = new Set([...(model.combining.get(row) ?? [])]);
  const { target: towards } = model.graph.hyperedges;
  const combinations = new Set(store.visibleCombinations.value.filter((one) => own.has(one) || towards[one] === about));
  return { rows, edges, combinations };
}

function ofCombination(store: Store, combination: number): Emphasis {
  const { members, target } = store.model.graph.hyperedges;
  const rows = new Set(
    [...members[combination], target[combination]]
      .flatMap((name) => store.model.rowsOf(name))
      .filter((row) => store.visible.value.has(row)),
  );
  return { rows, edges: [], combinations: new Set([combination]) };
}

/** Drawn combinations whose members and target are all among the rows. */
function combinationsAmong(store: Store, rows: ReadonlySet<number>): ReadonlySet<number> {
  const { members, target } = store.model.graph.hyperedges;
  const among = (name: string) => store.model.rowsOf(name).some((row) => rows.has(row));
  return new Set(store.visibleCombinations.value.filter((one) => among(target[one]) && members[one].every(among)));
}

function rowsOf(store: Store, names: Iterable<string>): Set<number> {
  const rows = new Set<number>();
  for (const name of names) {
    const row = store.model.rowOf.get(name);
    if (row !== undefined) rows.add(row);
  }
  return rows;
}

/** Edges in and out of each node, among those drawn. */
export function degreesOf(store: Store): ReadonlyMap<number, [number, number]> {
  const { source, target } = store.model.graph.edges;
  const found = new Map<number, [number, number]>();
  const of = (row: number) => {
    const known = found.get(row) ?? [0, 0];
    found.set(row, known);
    return known;
  };
  for (const edge of store.visibleEdges.value) {
    of(target[edge])[0]++;
    of(source[edge])[1]++;
  }
  return found;
}
