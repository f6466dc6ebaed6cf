/** Following influence over several steps: the strongest paths, then all that lies down- or upstream. */
import { count, percent, short } from "../../format";
import type { Model } from "../../model";
import { closure, type Path, shareOfAll, strongestPaths } from "../../paths";
import { edgeKey, type Store } from "../../store";

/** So many paths are lit. */
const MOST_PATHS = 3;

/** What the last press of F lit, so that the next goes on from it. */
const steps = new WeakMap<Store, { key: string; step: number; what: string }>();

/**
 * From the selected node to another one: the strongest paths between them, whichever lies upstream. From a node
 * on its own: to the target; pressed again all that lies downstream, then upstream, then nothing.
 */
export function follow(store: Store, node: string): void {
  const { model } = store;
  const selected = store.selected.value;
  const other = selected !== null && selected !== node ? selected : null;
  const key = `${other ?? ""}\u0000${node}`;
  const before = steps.get(store);
  const going = before?.key === key && store.lit.value?.what === before.what;
  const step = going ? before.step + 1 : 0;
  const row = model.rowOf.get(node);
  if (row === undefined) return;
  if (other === null && step === 0) store.select(node);
  if (step === 0) {
    if (other !== null) between(store, model.rowOf.get(other) ?? row, row);
    else toTarget(store, row);
  } else if (step < 3) whole(store, row, step === 1 ? "down" : "up");
  else {
    store.lit.value = null;
    store.told.value = "Nothing is followed any more";
  }
  steps.set(store, { key, step: step % 3 === 0 && step > 0 ? -1 : step, what: store.lit.value?.what ?? "" });
}

function between(store: Store, one: number, other: number): void {
  const { model } = store;
  const forth = strongestPaths(model, one, other, MOST_PATHS);
  if (forth.length > 0) return lightPaths(store, forth);
  const back = strongestPaths(model, other, one, MOST_PATHS);
  if (back.length > 0) return lightPaths(store, back);
  store.lit.value = null;
  store.told.value = `No path leads between ${nameOf(model, one)} and ${nameOf(model, other)}`;
}

/** Towards the first of the targets, the one that is explained, that anything leads to. */
function toTarget(store: Store, row: number): void {
  const { model } = store;
  for (const { node } of model.graph.targets) {
    const found = strongestPaths(model, row, model.rowOf.get(node) ?? -1, MOST_PATHS);
    if (found.length > 0) return lightPaths(store, found);
  }
  store.lit.value = null;
  store.told.value = `No path leads from ${nameOf(model, row)} to a target`;
}

/** Lights paths of two same ends and tells their share. */
export function lightPaths(store: Store, paths: readonly Path[]): void {
  const { model } = store;
  const { rows } = paths[0];
  const [from, to] = [rows[0], rows[rows.length - 1]];
  const all = percent(shareOfAll(model, from, to));
  const through = rows.slice(1, -1).map((row) => nameOf(model, row));
  const way = through.length > 0 ? ` through ${through.join(", ")}` : ", directly";
  const much = paths.length === 1 ? "The one path" : `The strongest of ${paths.length} paths lit`;
  const what =
    `${much} from ${nameOf(model, from)} to ${nameOf(model, to)} runs${way}: ${percent(paths[0].share)} of what ` +
    `moves it; all paths together ${all}`;
  light(store, paths.flatMap((path) => path.rows), paths.flatMap((path) => path.edges), what);
}

function whole(store: Store, row: number, way: "up" | "down"): void {
  const { rows, edges } = closure(store.model, row, way, store.visibleEdges.value);
  const nodes = rows.size === 1 ? "no node" : rows.size === 2 ? "1 node" : `${count(rows.size - 1)} nodes`;
  light(store, rows, edges, `${way === "up" ? "Upstream" : "Downstream"} of ${nameOf(store.model, row)} among what is shown: ${nodes}`);
}

function light(store: Store, rows: Iterable<number>, edges: Iterable<number>, what: string): void {
  const { node } = store.model.graph.nodes;
  const { source, target } = store.model.graph.edges;
  store.lit.value = {
    nodes: new Set([...rows].map((row) => node[row])),
    edges: new Set([...edges].map((edge) => edgeKey(node[source[edge]], node[target[edge]]))),
    what,
  };
  store.told.value = what;
}

function nameOf(model: Model, row: number): string {
  return short(model.graph.nodes.name[row], 80);
}
