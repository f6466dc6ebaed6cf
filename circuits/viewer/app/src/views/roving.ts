/** Moving by arrows among the marks of a picture: one of them is in the order of tabs, arrows move to the others. */

/** Marks in lanes: within a lane arrows move one by one, across lanes to the nearest mark. */
export interface Lanes {
  /** Lanes lie side by side as rows (across: up and down) or as columns (across: left and right). */
  along: "row" | "column";
  lanes: string[][];
  /** Where a mark stands along its lane. */
  place(mark: string): number;
}

/** The mark a key leads to from another; null where the key leads nowhere. */
export function step({ along, lanes, place }: Lanes, from: string, key: string): string | null {
  const at = lanes.findIndex((lane) => lane.includes(from));
  if (at < 0) return null;
  const lane = lanes[at];
  const index = lane.indexOf(from);
  const [back, forth, before, after] =
    along === "row"
      ? ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]
      : ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"];
  if (key === back) return lane[index - 1] ?? null;
  if (key === forth) return lane[index + 1] ?? null;
  if (key === "Home") return index > 0 ? lane[0] : null;
  if (key === "End") return index < lane.length - 1 ? lane[lane.length - 1] : null;
  if (key !== before && key !== after) return null;
  const direction = key === after ? 1 : -1;
  for (let next = at + direction; next >= 0 && next < lanes.length; next += direction)
    if (lanes[next].length) return nearest(lanes[next], place(from), place);
  return null;
}

function nearest(lane: string[], at: number, place: (mark: string) => number): string {
  return lane.reduce((best, mark) => (Math.abs(place(mark) - at) < Math.abs(place(best) - at) ? mark : best));
}

/** All marks, and the first that can be reached by Tab. */
export function first({ lanes }: Lanes): string | null {
  return lanes.find((lane) => lane.length)?.[0] ?? null;
}

export const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);
