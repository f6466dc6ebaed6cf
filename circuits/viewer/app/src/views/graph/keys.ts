/** Keys of the graph itself; those of the whole viewer are in `keys.ts` above. */
import { follow } from "./follow";
import { neighbour, type Way } from "./moves";
import { spoken } from "./names";
import { combinationAt, lightCombination, rowAt } from "./pointer";
import type { Scene } from "./scene";
import type { Mover } from "./zoom";

const WAYS: Record<string, Way> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  Home: "first",
  End: "last",
};

export function pressed(event: KeyboardEvent, scene: Scene, move: Mover | null): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!(byZoom(event.key, move) || byNode(event, scene, move) || byCombination(event, scene))) return;
  event.preventDefault();
  event.stopPropagation();
}

function byZoom(key: string, move: Mover | null): boolean {
  if (key === "+" || key === "=") move?.scale(1.3);
  else if (key === "-") move?.scale(1 / 1.3);
  else if (key === "0") move?.fit();
  else return false;
  return true;
}

function byNode(event: KeyboardEvent, scene: Scene, move: Mover | null): boolean {
  const row = rowAt(event);
  if (row === null) return false;
  const { store } = scene;
  const name = store.model.graph.nodes.node[row];
  const way = WAYS[event.key];
  if (way) {
    const next = neighbour(scene.layout.value, row, way);
    if (next !== null) focusRow(event, scene, move, next);
    return true;
  }
  if (event.key === "Enter" || event.key === " ") {
    if (event.shiftKey) follow(store, name);
    else store.select(name);
    store.told.value = event.shiftKey ? store.told.value : `Selected: ${spoken(store, row, scene.degrees.value.get(row))}`;
    return true;
  }
  if (event.key.toLowerCase() === "f") {
    follow(store, name);
    return true;
  }
  return false;
}

function byCombination(event: KeyboardEvent, scene: Scene): boolean {
  const combination = combinationAt(event);
  if (combination === null) return false;
  if (event.key === "Enter" || event.key === " ") {
    lightCombination(scene, combination);
    return true;
  }
  const step = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : event.key.startsWith("Arrow") ? -1 : 0;
  if (step === 0) return false;
  const all = [...(event.currentTarget as Element).querySelectorAll<SVGElement>("[data-combination]")];
  all[all.findIndex((one) => one.dataset["combination"] === String(combination)) + step]?.focus();
  return true;
}

function focusRow(event: KeyboardEvent, scene: Scene, move: Mover | null, row: number): void {
  const point = scene.layout.value.at.get(row);
  if (point) move?.reveal(point.x, point.y);
  (event.currentTarget as Element).querySelector<SVGElement>(`[data-row="${row}"]`)?.focus({ preventScroll: true });
}
