/** Token × layer: a line for each node, in the cell of its token and its layer. */
import type { Merged } from "./merge";

export interface Line {
  x: number;
  y: number;
  /** Of its column. */
  width: number;
}

export interface Placed {
  at: Map<string, Line>;
  /** Columns that hold something wide; the left edge and width of each by its place in the positions. */
  columns: { left: number; width: number }[];
  /** Bands from the top: the level, its top and height. */
  bands: { level: number; top: number; height: number }[];
  /** Ids by column, from above. */
  lanes: string[][];
  width: number;
  height: number;
}

export const LINE = 18;
/** Columns with nodes: the fewer, the wider, so that names can be read. */
const WIDEST = 290;
export const LEAST = 232;
const ROOM = 900;
/** Beside the text of a token. */
const TOKEN = 30;
const LEFT = 34;
const TOP = 8;
const PAD = 12;
/** Room for the tokens below. */
const FOOT = 42;

/**
 * Places of nodes. The same for the merged picture and for both panes, so that what is the same stands at the
 * same height: bands are as high as their fullest cell in either. `tokens` are the widths of the tokens' texts.
 */
export function places(shown: readonly Merged[], tokens: readonly number[], show: (one: Merged) => boolean = () => true): Placed {
  const cells = new Map<string, Merged[]>();
  for (const one of shown) {
    const key = `${one.column} ${one.level}`;
    cells.set(key, [...(cells.get(key) ?? []), one]);
  }
  const size = ({ effects }: Merged) => Math.max(Math.abs(effects[0] ?? 0), Math.abs(effects[1] ?? 0));
  for (const cell of cells.values()) cell.sort((one, other) => size(other) - size(one));
  const wide = tokens.map((_, place) => shown.some((one) => one.column === place && one.level >= 0));
  const narrow = tokens.map((width, place) => (wide[place] ? 0 : width + TOKEN));
  const many = wide.filter(Boolean).length;
  const room = (ROOM - LEFT - narrow.reduce((sum, width) => sum + width, 0)) / Math.max(1, many);
  const full = Math.max(LEAST, Math.min(WIDEST, room));
  let left = LEFT;
  const placed = wide.map((is, place) => {
    const width = is ? full : narrow[place];
    left += width;
    return { left: left - width, width };
  });
  const levels = [...new Set(shown.map(({ level }) => level))].filter((level) => level >= 0).sort((a, b) => b - a);
  let top = TOP;
  const bands = levels.map((level) => {
    const fullest = Math.max(...[...cells].map(([key, cell]) => (key.endsWith(` ${level}`) ? cell.length : 0)));
    const height = fullest * LINE + PAD;
    top += height;
    return { level, top: top - height, height };
  });
  bands.push({ level: -1, top, height: FOOT });
  const at = new Map<string, Line>();
  for (const cell of cells.values())
    cell.forEach((one, order) => {
      const band = bands.find(({ level }) => level === one.level);
      const column = placed[one.column ?? 0];
      if (!band || !show(one)) return;
      const from = band.top + (one.level < 0 ? 12 : (band.height - cell.length * LINE) / 2 + LINE / 2);
      at.set(one.id, { x: column.left + 12, y: from + order * LINE, width: column.width });
    });
  const lanes = placed.map((_, place) =>
    shown
      .filter((one) => one.column === place && at.has(one.id))
      .map(({ id }) => id)
      .sort((one, other) => (at.get(one) as Line).y - (at.get(other) as Line).y),
  );
  return { at, columns: placed, bands, lanes, width: left + 8, height: top + FOOT };
}
