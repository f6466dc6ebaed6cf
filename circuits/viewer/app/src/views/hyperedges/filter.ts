/** Which combinations a view shows: the same in its picture and in its table. */
import { type Signal, signal } from "@preact/signals";
import { count } from "../../format";
import type { Store } from "../../store";
import { ALL, type Filter } from "../combination";

const filters = new WeakMap<Store, Map<string, Signal<Filter>>>();

/** The filter of a view; it begins with so many combinations. */
export function filterOf(store: Store, view: string, most: number): Signal<Filter> {
  const known = filters.get(store) ?? new Map<string, Signal<Filter>>();
  filters.set(store, known);
  const found = known.get(view) ?? signal<Filter>({ channel: ALL, order: ALL, kind: ALL, most });
  known.set(view, found);
  return found;
}

/** How many are shown, of how many in the file and in the run. */
export function counts(store: Store, shown: number, passing: number): string {
  const { totals, hyperedges } = store.model.graph;
  const held = hyperedges.order.filter((order) => order >= 2).length;
  const of = passing === held ? "" : ` of ${count(passing)} that match,`;
  return `${count(shown)}${of} of ${count(held)} combinations in this file; the run has ${count(totals.combinations)}.`;
}
