/** The state that goes out and comes in: the host is told of each change, and may set it. */
import { effect } from "@preact/signals";
import type { SharedState } from "../host";
import { shared, type Store } from "../store";
import { VIEWS } from "../views";

/** Sets what a host or an address says. Nodes and views that are not there are passed over. */
export function applied(store: Store, state: Partial<SharedState>): void {
  const known = (node: string) => store.model.rowOf.has(node);
  const now = shared(store);
  const { view, selected, pinned, threshold, groups } = state;
  if (view !== undefined && VIEWS.some(({ id }) => id === view)) store.view.value = view;
  if (selected !== undefined && (selected === null || known(selected))) store.selected.value = selected;
  if (pinned && !same(pinned, now.pinned)) store.pinned.value = new Set(pinned.filter(known));
  if (threshold !== undefined && threshold >= 0 && threshold <= 1) store.threshold.value = threshold;
  if (groups && !same(groups, now.groups)) store.groups.value = groups;
}

/** Ties a store to its host until the function it gives is called. */
export function tied(store: Store): () => void {
  const { host } = store;
  let last = JSON.stringify(shared(store));
  const silence = effect(() => {
    const state = shared(store);
    const told = JSON.stringify(state);
    if (told === last) return;
    last = told;
    host.changed?.(state);
  });
  const unfollow = host.follow?.((state) => applied(store, state));
  return () => {
    silence();
    unfollow?.();
  };
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
