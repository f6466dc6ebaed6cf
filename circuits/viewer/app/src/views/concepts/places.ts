/** Where the boxes of the concept graph stand: tokens below, groups above them by layer, targets on top. */
import type { Model } from "../../model";
import type { ConceptGraph, End, Flow } from "./flows";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Placed {
  boxes: Map<string, Box>;
  /** Ids of the boxes of each row, from the left, the targets first. */
  rows: string[][];
  width: number;
  height: number;
}

const GAP = 22;
const BETWEEN = 58;
const MARGIN = 14;
/** The most groups beside each other. */
const MOST = 4;
/** Groups whose mean layers differ by less stand beside each other. */
const LEVEL = 0.6;
const LOWEST = 44;
const HIGHEST = 40;

/** Boxes as wide as `widthOf` says; those of groups the higher, the more passes through them. */
export function places(model: Model, { ends }: ConceptGraph, widthOf: (end: End) => number): Placed {
  const largest = Math.max(...ends.map((end) => (boxed(end) ? (end.influence ?? 0) : 0)), 1e-300);
  const tall = (end: End) => (boxed(end) ? LOWEST + HIGHEST * Math.sqrt((end.influence ?? 0) / largest) : 26);
  const tokens = ends.filter((end) => end.kind === "token").sort((one, other) => at(model, one, "pos") - at(model, other, "pos"));
  const rows = [ends.filter((end) => end.kind === "target"), ...levels(model, ends.filter(boxed)), tokens].filter((row) => row.length);
  const wide = (row: End[], gap: number) => row.reduce((sum, end) => sum + widthOf(end) + gap, -gap);
  const gapOf = (row: End[]) => (row[0].kind === "token" ? 8 : GAP);
  const width = Math.max(420, ...rows.map((row) => wide(row, gapOf(row)))) + 2 * MARGIN;
  const boxes = new Map<string, Box>();
  let top = MARGIN;
  let groups = 0;
  for (const row of rows) {
    const height = Math.max(...row.map(tall));
    // A row narrower than the picture is spread, but not so far that it falls apart.
    const spare = (width - 2 * MARGIN - wide(row, gapOf(row))) / (row.length + 1);
    const gap = gapOf(row) + Math.min(spare, 60);
    const margin = (width - wide(row, gap)) / 2;
    let left = margin + (boxed(row[0]) ? aside(row.length, margin - MARGIN, groups++) : 0);
    for (const end of row) {
      boxes.set(end.id, { x: left, y: top + (height - tall(end)) / 2, width: widthOf(end), height: tall(end) });
      left += widthOf(end) + gap;
    }
    top += height + BETWEEN;
  }
  return { boxes, rows: rows.map((row) => row.map((end) => end.id)), width, height: top - BETWEEN + MARGIN };
}

/** Rows of one or two boxes stand aside in turn, so that what flows past them is not hidden behind them. */
function aside(many: number, room: number, turn: number): number {
  return many > 2 ? 0 : Math.min(room, 70) * (turn % 2 ? 1 : -1);
}

function boxed(end: End): boolean {
  return end.kind === "group" || end.kind === "other";
}

/** Rows of groups from the top: the highest mean layer first, within a row by mean token. */
function levels(model: Model, groups: End[]): End[][] {
  const known = new Map(groups.map((end) => [end.id, at(model, end, "layer")]));
  const layer = (end: End) => known.get(end.id) as number;
  const rows: End[][] = [];
  for (const end of [...groups].sort((one, other) => layer(other) - layer(one))) {
    const last = rows[rows.length - 1];
    if (last && last.length < MOST && layer(last[0]) - layer(end) < LEVEL) last.push(end);
    else rows.push([end]);
  }
  for (const row of rows) row.sort((one, other) => at(model, one, "pos") - at(model, other, "pos"));
  return rows;
}

/** The mean layer, or token, of a group's nodes, by their influence. */
function at(model: Model, end: End, column: "layer" | "pos"): number {
  const values = model.graph.nodes[column];
  let [sum, whole] = [0, 0];
  for (const row of end.rows) {
    const weight = model.influence(row) + 1e-9;
    sum += weight * (values[row] ?? -1);
    whole += weight;
  }
  return whole > 0 ? sum / whole : -1;
}

export interface Arrow {
  line: string;
  /** Its point. */
  x: number;
  y: number;
}

/** Arrows from the tops of boxes to the feet of others; those of one box side by side, in the order of their far ends. */
export function arrows(placed: Placed, flows: readonly Flow[]): Arrow[] {
  const leaving = ports(placed, flows, "source", "target");
  const coming = ports(placed, flows, "target", "source");
  return flows.map((flow, place) => {
    const [from, to] = [placed.boxes.get(flow.source) as Box, placed.boxes.get(flow.target) as Box];
    const [x1, y1, x2, y2] = [leaving[place], from.y, coming[place], to.y + to.height + 7];
    // What leads down or sideways swings out above its source and below its target.
    const bend = y1 - y2 > 20 ? (y1 - y2) / 2 : 46;
    return { line: `M${x1},${y1}C${x1},${y1 - bend},${x2},${y2 + bend},${x2},${y2}`, x: x2, y: y2 };
  });
}

/** Where on its near box each flow begins, or ends. */
function ports({ boxes }: Placed, flows: readonly Flow[], near: "source" | "target", far: "source" | "target"): number[] {
  const found = new Array<number>(flows.length).fill(0);
  const middle = (id: string) => (boxes.get(id) as Box).x + (boxes.get(id) as Box).width / 2;
  for (const [id, box] of boxes) {
    const mine = flows.flatMap((flow, place) => (flow[near] === id ? [place] : []));
    mine.sort((one, other) => middle(flows[one][far]) - middle(flows[other][far]));
    const step = Math.min(22, (box.width - 28) / Math.max(1, mine.length - 1));
    mine.forEach((place, order) => (found[place] = middle(id) + (order - (mine.length - 1) / 2) * step));
  }
  return found;
}
