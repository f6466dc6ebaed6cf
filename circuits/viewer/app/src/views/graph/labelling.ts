/** Which nodes get their label beside them, and how much of it: the most influential first, none over another. */
import type { Layout } from "../../layout";
import type { Model } from "../../model";

export interface Label {
  row: number;
  text: string;
  /** Its begin, on the node's own line, in the layout's units. */
  x: number;
  y: number;
  width: number;
}

/** In pixels on the screen, whatever the scale. */
export const FONT = 11;
const HEIGHT = 14;
/** A label has this much room at most, and where there is less than the least, none. */
const LONGEST = 168;
const LEAST = 34;
const AWAY = 5;
/** What the bold type of targets takes more. */
const BOLD = 8;

/** Puts labels to the right of nodes, those of targets to the left where they fit there alone. `width` gives a text's width in pixels at `FONT`. */
export function placeLabels(
  model: Model,
  layout: Layout,
  scale: number,
  textOf: (row: number) => string,
  width: (text: string) => number,
): Label[] {
  const lines = new Lines();
  for (const { x, y, r } of layout.at.values())
    lines.add(y * scale - r * scale, y * scale + r * scale, (x - r) * scale - 2, (x + r) * scale + 2);
  const placed: Label[] = [];
  // seen from afar, only what matters most is named: else the room at a row's end would go to its least node
  for (const row of inOrder(model, layout).slice(0, 60 + 420 * scale * scale)) {
    const text = textOf(row);
    const point = layout.at.get(row);
    if (!point || text === "") continue;
    const begin = (point.x + point.r) * scale + AWAY;
    const top = point.y * scale - HEIGHT / 2;
    const end = Math.min(begin + LONGEST, lines.next(top, top + HEIGHT, begin) - 4, layout.width * scale + 8);
    const room = end - begin;
    const whole = width(text);
    if (model.graph.nodes.kind[row] === "logit" && room < whole + BOLD) {
      const right = (point.x - point.r) * scale - AWAY;
      const wide = Math.min(whole + BOLD, LONGEST);
      if (right - wide > 0 && !lines.covered(top, top + HEIGHT, right - wide, right)) {
        lines.add(top, top + HEIGHT, right - wide, right);
        const fits = whole <= LONGEST - BOLD ? text : cut(text, LONGEST - BOLD, width);
        placed.push({ row, text: fits, x: (right - wide) / scale, y: point.y, width: wide / scale });
        continue;
      }
    }
    if (room < Math.min(LEAST, whole)) continue;
    const fits = whole <= room ? text : cut(text, room, width);
    if (fits === "") continue;
    lines.add(top, top + HEIGHT, begin, begin + Math.min(room, whole));
    placed.push({ row, text: fits, x: begin / scale, y: point.y, width: Math.min(room, whole) / scale });
  }
  return placed;
}

/** The longest beginning that fits with an ellipsis. */
export function cut(text: string, room: number, width: (text: string) => number): string {
  const letters = [...text];
  let least = 0;
  let most = letters.length;
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (width(`${letters.slice(0, middle).join("")}…`) <= room) least = middle;
    else most = middle - 1;
  }
  return least < 2 ? "" : `${letters.slice(0, least).join("").trimEnd()}…`;
}

function inOrder(model: Model, layout: Layout): number[] {
  const first = (row: number) => Number(model.graph.nodes.kind[row] === "logit");
  return [...layout.at.keys()].sort(
    (one, other) => first(other) - first(one) || model.influence(other) - model.influence(one) || one - other,
  );
}

/** What stands where, looked up by lines of the screen. */
class Lines {
  private readonly lines = new Map<number, { top: number; bottom: number; left: number; right: number }[]>();

  add(top: number, bottom: number, left: number, right: number): void {
    for (let line = Math.floor(top / HEIGHT); line <= Math.floor(bottom / HEIGHT); line++) {
      const known = this.lines.get(line);
      if (known) known.push({ top, bottom, left, right });
      else this.lines.set(line, [{ top, bottom, left, right }]);
    }
  }

  /** Whether anything stands in a box. */
  covered(top: number, bottom: number, left: number, right: number): boolean {
    for (let line = Math.floor(top / HEIGHT); line <= Math.floor(bottom / HEIGHT); line++)
      for (const one of this.lines.get(line) ?? [])
        if (one.right > left && one.left < right && one.top < bottom && one.bottom > top) return true;
    return false;
  }

  /** Where the next thing to the right begins; the place itself if something stands across it. */
  next(top: number, bottom: number, from: number): number {
    let found = Infinity;
    for (let line = Math.floor(top / HEIGHT); line <= Math.floor(bottom / HEIGHT); line++)
      for (const one of this.lines.get(line) ?? [])
        if (one.right > from && one.top < bottom && one.bottom > top) found = Math.min(found, Math.max(one.left, from));
    return found;
  }
}
