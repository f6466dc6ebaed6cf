/** Roving focus: one node, and one combination, is where the Tab key enters the graph. */
import type { Scene } from "./scene";

/** The focused node, else the selected one, else the first target, so far as shown. */
export function entry(scene: Scene): number | null {
  const { store } = scene;
  const { at } = scene.layout.value;
  for (const name of [store.focused.value, store.selected.value]) {
    const row = name === null ? undefined : store.model.rowOf.get(name);
    if (row !== undefined && at.has(row)) return row;
  }
  const { kind } = store.model.graph.nodes;
  for (const row of at.keys()) if (kind[row] === "logit") return row;
  for (const row of at.keys()) return row;
  return null;
}
