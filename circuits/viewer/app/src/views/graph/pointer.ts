/** What pointer and focus mean: which node or combination they are on, and what a press does. */
import { combinationName } from "./names";
import { follow } from "./follow";
import type { Scene } from "./scene";

function held(event: Event, name: string): number | null {
  const element = event.target instanceof Element ? event.target.closest(`[data-${name}]`) : null;
  const value = element?.getAttribute(`data-${name}`);
  return value === null || value === undefined ? null : Number(value);
}

export function rowAt(event: Event): number | null {
  return held(event, "row") ?? held(event, "label");
}

export function combinationAt(event: Event): number | null {
  return held(event, "combination");
}

/** The pointer, or the focus, comes to something. */
export function entered(event: Event, scene: Scene): void {
  const { store } = scene;
  const row = rowAt(event);
  const name = row === null ? null : store.model.graph.nodes.node[row];
  const combination = combinationAt(event);
  if (event.type === "focusin") {
    if (name !== null) store.focused.value = name;
    scene.combination.value = combination;
    return;
  }
  store.hovered.value = name;
  scene.combination.value = combination;
}

export function left(scene: Scene): void {
  scene.store.hovered.value = null;
  scene.combination.value = null;
}

/** A click selects, and with Shift follows; on the ground it lets go. */
export function picked(event: MouseEvent, scene: Scene): void {
  const { store } = scene;
  const row = rowAt(event);
  const combination = combinationAt(event);
  if (row !== null) {
    const name = store.model.graph.nodes.node[row];
    store.focused.value = name;
    if (event.shiftKey) follow(store, name);
    else store.select(name);
  } else if (combination !== null) lightCombination(scene, combination);
  else if (store.lit.value !== null) store.lit.value = null;
  else store.select(null);
}

/** Lights the members and the target of a combination, and says what it is. */
export function lightCombination({ store }: Scene, combination: number): void {
  const { members, target } = store.model.graph.hyperedges;
  const { node } = store.model.graph.nodes;
  const names = [...members[combination], target[combination]]
    .flatMap((name) => store.model.rowsOf(name))
    .filter((row) => store.visible.value.has(row))
    .map((row) => node[row]);
  const what = combinationName(store.model, combination);
  store.lit.value = { nodes: new Set(names), edges: new Set(), what };
  store.told.value = what;
}
