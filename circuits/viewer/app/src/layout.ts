/**
 * Token × layer: where each node stands. The axes are the domain's, so nothing is searched for: a column a
 * position, a row a layer, tokens below the first and targets above the last; nodes of one cell beside each
 * other by influence, on several lines where there are many. A pure function: the same nodes, the same places.
 */
import type { Model } from "./model";

export interface Area {
  width: number;
  height: number;
}

/** How closely nodes stand: taken once from the steady nodes, so that one more moves the others little. */
export interface Measure {
  /** Width of a node's place; the label stands in it, beside the node. */
  slot: number;
  /** Most nodes beside each other in a cell. */
  perLine: number;
}

export interface Column {
  /** A position, or null for the gutter of what stands at none: biases, the rest. */
  pos: number | null;
  left: number;
  width: number;
  /** Places beside each other. */
  slots: number;
}

export interface Band {
  /** A layer; −1 for the tokens, the number of layers for the targets. */
  layer: number;
  top: number;
  height: number;
  /** Whether anything stands in it. */
  filled: boolean;
}

export interface Layout {
  width: number;
  height: number;
  columns: Column[];
  /** From the top, the targets, down to the tokens. */
  bands: Band[];
  /** Middle of each node by its row. */
  at: ReadonlyMap<number, Point>;
}

export interface Point {
  x: number;
  y: number;
  /** Its size: half its height. */
  r: number;
  /** Its column and band, and its place in its cell, for the keyboard. */
  column: number;
  band: number;
  place: number;
}

/** Half the height of the smallest and of the largest node, in pixels at scale 1. */
export const SMALLEST = 5.5;
export const LARGEST = 10;
/** Height of a line of nodes; more than a node's, so that none touch. */
export const LINE = 25;
/** Widths of a node's place that are tried, the roomiest first; the last is room for the node alone. */
const SLOTS = [132, 104, 76, 50, 26];
/** A place of this width holds a label. */
const NAMEABLE = 76;
const MOST_TARGET_LINES = 5;
const EMPTY_BAND = 12;
const BAND_PADDING = 10;
const GAP = 12;
const LONG_PROMPT = 20;
/** About the width of a letter of a token. */
const LETTER = 7;

/** Half a node's height: its area grows with its influence. */
export function radius(influence: number, most: number): number {
  return most > 0 ? SMALLEST + (LARGEST - SMALLEST) * Math.sqrt(Math.max(0, Math.min(1, influence / most))) : SMALLEST;
}

/** The roomiest measure with which the nodes fit an area, or else the one that needs shrinking least. */
export function measure(model: Model, rows: Iterable<number>, area: Area): Measure {
  const counts = new Map<string, { column: number; band: number; size: number }>();
  for (const row of rows) {
    const { column, band } = cellOf(model, row);
    const key = `${column} ${band}`;
    const known = counts.get(key);
    if (known) known.size++;
    else counts.set(key, { column, band, size: 1 });
  }
  const cells = [...counts.values()];
  const fullest = Math.max(1, ...cells.map((cell) => cell.size));
  let best: Measure = { slot: SLOTS[0], perLine: 1 };
  let scale = 0;
  for (const slot of SLOTS) {
    for (let perLine = 1; perLine <= fullest; perLine++) {
      const needs = extent(model, cells, { slot, perLine });
      const fits = Math.min(1, area.width / needs.width, area.height / needs.height);
      // a roomier place is worth a little shrinking
      if (fits > scale * 1.15 + 1e-9) {
        scale = fits;
        best = { slot, perLine };
      }
    }
    if (scale > 0.85) break;
  }
  return best;
}

/** Places of nodes. What the measure leaves of the area is shared among columns and rows that hold something. */
export function layout(model: Model, rows: Iterable<number>, area: Area, given: Measure): Layout {
  const cells = new Map<number, Map<number, number[]>>();
  let most = 0;
  for (const row of rows) {
    const { column, band } = cellOf(model, row);
    const bands = cells.get(column) ?? new Map<number, number[]>();
    cells.set(column, bands);
    const cell = bands.get(band);
    if (cell) cell.push(row);
    else bands.set(band, [row]);
    most = Math.max(most, model.influence(row));
  }
  // where one side must be shrunk to fit, the other has the more room
  const least = [placedColumns(model, cells, 0, given), placedBands(model, cells, 0, given)] as const;
  const shrunk = Math.max(1, ends(least[0].at(-1)) / area.width, ends(least[1].at(-1)) / area.height);
  const columns = placedColumns(model, cells, area.width * shrunk, given);
  const bands = placedBands(model, cells, area.height * shrunk, given);
  const at = new Map<number, Point>();
  columns.forEach((column, place) => {
    for (const [layer, cell] of cells.get(column.pos ?? -1) ?? []) {
      const band = model.graph.layers - layer;
      cell.sort((one, other) => model.influence(other) - model.influence(one) || one - other);
      placeCell(cell, column, bands[band], lineOf(model, layer, cell.length, given), shrunk).forEach((point, order) =>
        at.set(cell[order], {
          ...point,
          r: model.graph.nodes.kind[cell[order]] === "logit" ? LARGEST : radius(model.influence(cell[order]), most),
          column: place,
          band,
          place: order,
        }),
      );
    }
  });
  return { width: ends(columns.at(-1)), height: ends(bands.at(-1)), columns, bands, at };
}

/** Where the last column or band ends. */
function ends(last: Column | Band | undefined): number {
  if (last === undefined) return 1;
  return "left" in last ? last.left + last.width : last.top + last.height;
}

/** Column (position, −1 the gutter) and band (layer, −1 tokens, `layers` targets) of a node. */
export function cellOf(model: Model, row: number): { column: number; band: number } {
  const { kind, layer, pos } = model.graph.nodes;
  const last = Math.max(0, model.graph.tokens.length - 1);
  if (kind[row] === "logit") return { column: clamped(pos[row] ?? last, 0, last), band: model.graph.layers };
  const column = pos[row] === null ? -1 : clamped(pos[row], 0, last);
  const at = layer[row];
  return { column, band: at === null ? -1 : clamped(at, 0, model.graph.layers - 1) };
}

function clamped(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}

/** A column's least width: its fullest line; where it holds its token alone, or nothing, the token's text. */
function columnWidth(model: Model, column: number, held: Held, { slot, perLine }: Measure): number {
  const { tokens } = model.graph;
  const text = column < 0 ? 4 : Math.min(9, tokens[column]?.trim().length ?? 0);
  // of a long prompt tokens are written aslant: a column needs room for its mark alone, or for none
  const long = held.any ? 2 * LARGEST + 2 : GAP;
  const token = tokens.length > LONG_PROMPT ? long : Math.max(LINE, text * LETTER) + 2 * GAP;
  return held.features ? Math.max(token, Math.min(held.fullest, perLine) * slot + GAP) : token;
}

/** How full a column is, and whether more than tokens stand in it. */
interface Held {
  fullest: number;
  any: boolean;
  features: boolean;
}

function bandHeight(fullest: number, perLine: number): number {
  return fullest === 0 ? EMPTY_BAND : Math.ceil(fullest / perLine) * LINE + BAND_PADDING;
}

/** Targets must be named: where places have no room for a label, they stand on more lines than features do. */
function lineOf(model: Model, layer: number, size: number, { slot, perLine }: Measure): number {
  if (layer < model.graph.layers || slot >= NAMEABLE || size > 2 * MOST_TARGET_LINES) return perLine;
  return Math.min(perLine, size > MOST_TARGET_LINES ? 2 : 1);
}

function extent(model: Model, cells: { column: number; band: number; size: number }[], given: Measure) {
  const wide = new Map<number, Held>();
  const high = new Map<number, number>();
  for (const { column, band, size } of cells) {
    const held = wide.get(column) ?? { fullest: 1, any: true, features: false };
    wide.set(column, { any: true, fullest: Math.max(held.fullest, size), features: held.features || band >= 0 });
    high.set(band, Math.max(high.get(band) ?? 0, size));
  }
  let width = 0;
  for (const [column, held] of wide) width += columnWidth(model, column, held, given);
  let height = 0;
  for (let band = -1; band <= model.graph.layers; band++) {
    const size = high.get(band) ?? 0;
    height += bandHeight(size, lineOf(model, band, size, given));
  }
  return { width, height };
}

function placedColumns(
  model: Model,
  cells: ReadonlyMap<number, ReadonlyMap<number, number[]>>,
  whole: number,
  given: Measure,
): Column[] {
  const least: { pos: number | null; width: number; slots: number; held: number }[] = [];
  for (let pos = cells.has(-1) ? -1 : 0; pos < Math.max(1, model.graph.tokens.length); pos++) {
    const bands = [...(cells.get(pos) ?? [])];
    const fullest = Math.max(1, ...bands.map(([, cell]) => cell.length));
    const features = bands.some(([band]) => band >= 0);
    const slots = Math.min(fullest, given.perLine);
    least.push({
      pos: pos < 0 ? null : pos,
      width: columnWidth(model, pos, { fullest, any: bands.length > 0, features }, given),
      slots,
      // what is left over goes where labels are
      held: features ? bands.reduce((sum, [, cell]) => sum + cell.length, 0) : 0.15 / Math.max(1, model.graph.tokens.length / LONG_PROMPT),
    });
  }
  const spare = Math.max(0, whole - least.reduce((sum, one) => sum + one.width, 0));
  const held = least.reduce((sum, one) => sum + one.held, 0);
  let left = 0;
  return least.map((one) => {
    const width = one.width + (held > 0 ? (spare * one.held) / held : 0);
    left += width;
    return { pos: one.pos, left: left - width, width, slots: one.slots };
  });
}

function placedBands(
  model: Model,
  cells: ReadonlyMap<number, ReadonlyMap<number, number[]>>,
  whole: number,
  given: Measure,
): Band[] {
  const fullest = new Map<number, number>();
  for (const bands of cells.values())
    for (const [band, cell] of bands) fullest.set(band, Math.max(fullest.get(band) ?? 0, cell.length));
  const least: Band[] = [];
  for (let layer = model.graph.layers; layer >= -1; layer--) {
    const size = fullest.get(layer) ?? 0;
    least.push({ layer, top: 0, height: bandHeight(size, lineOf(model, layer, size, given)), filled: size > 0 });
  }
  const spare = Math.max(0, whole - least.reduce((sum, band) => sum + band.height, 0));
  const filled = least.filter((band) => band.filled).length;
  let top = 0;
  for (const band of least) {
    if (band.filled) band.height += spare / filled;
    band.top = top;
    top += band.height;
  }
  return least;
}

/** Lines around the middle of the band, the most influential first; nodes at the left of their places. */
function placeCell(cell: number[], column: Column, band: Band, perLine: number, shrunk: number) {
  const room = (column.width - GAP) / column.slots;
  const lines = Math.ceil(cell.length / perLine);
  const line = Math.min(LINE * 1.5 * shrunk, (band.height - BAND_PADDING) / lines);
  const top = band.top + band.height / 2 - (line * (lines - 1)) / 2;
  return cell.map((_, order) => ({
    x: column.left + GAP / 2 + LARGEST + 2 + (order % perLine) * room,
    y: top + Math.floor(order / perLine) * line,
  }));
}
