/** Edges as curves, and their drawing on a canvas. */
import type { Layout } from "../../layout";
import type { Model } from "../../model";

/** An edge as it is drawn: from the top of its source to the bottom of its target. */
export interface Curve {
  edge: number;
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  /** Sideways, where it would run straight through what stands between. */
  bulge: number;
  /** Which of `WIDTHS`. */
  wide: number;
  /** Which of `FAINT`: by how much of the target's own influence comes along it. */
  faint: number;
  /** Up is solid and blue, down dashed and orange. */
  up: boolean;
}

/** What is drawn with, read from the style sheet's variables. */
export interface Palette {
  positive: string;
  negative: string;
}

/** The window on the picture: its size in pixels, how far the transform shifts and scales it, pixels a pixel. */
export interface Window {
  width: number;
  height: number;
  x: number;
  y: number;
  k: number;
  dense: number;
}

/** Line widths, in pixels; a few, so that edges of one width are drawn in one stroke. */
export const WIDTHS = [0.6, 0.9, 1.3, 1.8, 2.4, 3.1, 4];
/** Opacities: edges are sorted by importance, and the less important are fainter. */
export const FAINT = [0.62, 0.42, 0.27];
export const DASH = [5, 3.5];

/** Its width by its share: a fiftieth is thin, a half is broad. */
export function widthOf(share: number): number {
  return Math.min(WIDTHS.length - 1, Math.round((WIDTHS.length - 1) * Math.sqrt(Math.min(1, share * 1.6))));
}

/** So many edges have their width; where there are more, the less important are hairs, which are drawn fast. */
const MOST_WIDE = 1_200;

/** The curves of edges, the strongest last, so that they lie above. */
export function curves(model: Model, layout: Layout, edges: readonly number[]): Curve[] {
  const { source, target, weight } = model.graph.edges;
  const found: Curve[] = [];
  for (let place = edges.length - 1; place >= 0; place--) {
    const edge = edges[place];
    const from = layout.at.get(source[edge]);
    const to = layout.at.get(target[edge]);
    if (!from || !to) continue;
    const rank = place / edges.length;
    found.push({
      edge,
      x0: from.x,
      y0: from.y - from.r,
      x1: to.x,
      y1: to.y + to.r,
      bulge: Math.abs(from.x - to.x) < 3 ? -Math.min(46, 6 + 0.16 * Math.abs(from.y - to.y)) : 0,
      wide: place < MOST_WIDE ? widthOf(model.shares[edge]) : 0,
      faint: rank < 0.12 ? 0 : rank < 0.4 ? 1 : 2,
      up: weight[edge] >= 0,
    });
  }
  return found;
}

/** Draws curves, all of one width and sign in one stroke; those outside the window are passed over. */
export function paintCurves(
  context: CanvasRenderingContext2D,
  list: readonly Curve[],
  window: Window,
  palette: Palette,
  strong: boolean,
): number {
  const inside = culled(list, window);
  context.setTransform(window.dense, 0, 0, window.dense, 0, 0);
  context.clearRect(0, 0, window.width, window.height);
  context.lineCap = "butt";
  // among many edges each is fainter
  const crowd = Math.min(1, Math.max(0.2, Math.sqrt(400 / Math.max(1, list.length))));
  for (const bucket of buckets(inside)) {
    const { up, wide, faint } = bucket[0];
    context.strokeStyle = up ? palette.positive : palette.negative;
    const hair = list.length > MOST_WIDE && wide === 0;
    context.lineWidth = hair ? 0.9 / window.dense : strong ? Math.max(1.3, 0.9 * WIDTHS[wide]) : WIDTHS[wide];
    context.globalAlpha = strong ? 0.95 : FAINT[faint] * crowd;
    context.setLineDash(up ? [] : DASH);
    trace(context, bucket, window);
  }
  context.globalAlpha = 1;
  context.setLineDash([]);
  return inside.length;
}

/** Curves of one look each, the faint and thin first. */
function buckets(list: readonly Curve[]): Curve[][] {
  const found: Curve[][] = [];
  for (const curve of list) {
    const place = ((FAINT.length - 1 - curve.faint) * WIDTHS.length + curve.wide) * 2 + Number(curve.up);
    (found[place] ??= []).push(curve);
  }
  return found.filter((bucket) => bucket !== undefined);
}

/** So many curves go into one stroke: one path of all would be slow, and a stroke each too. */
const AT_ONCE = 64;

function trace(context: CanvasRenderingContext2D, list: readonly Curve[], { x, y, k }: Window): void {
  let waiting = 0;
  for (const curve of list) {
    if (waiting === 0) context.beginPath();
    const x0 = curve.x0 * k + x;
    const y0 = curve.y0 * k + y;
    const x1 = curve.x1 * k + x;
    const y1 = curve.y1 * k + y;
    const bend = bendOf(y0, y1);
    const bulge = curve.bulge * k;
    context.moveTo(x0, y0);
    context.bezierCurveTo(x0 + bulge, y0 - bend, x1 + bulge, y1 + bend, x1, y1);
    if (++waiting === AT_ONCE) {
      context.stroke();
      waiting = 0;
    }
  }
  if (waiting > 0) context.stroke();
}

/** How far a curve leaves upwards before it turns. */
export function bendOf(y0: number, y1: number): number {
  return Math.max(14, Math.abs(y0 - y1) * 0.45);
}

/** A curve as the outline of a path, in the layout's units. */
export function pathOf({ x0, y0, x1, y1, bulge }: Curve): string {
  const bend = bendOf(y0, y1);
  const points = [x0, y0, x0 + bulge, y0 - bend, x1 + bulge, y1 + bend, x1, y1].map((value) => value.toFixed(1));
  return `M${points[0]},${points[1]}C${points.slice(2).join(",")}`;
}

function culled(list: readonly Curve[], { x, y, k, width, height }: Window): readonly Curve[] {
  return list.filter((curve) => {
    const x0 = curve.x0 * k + x;
    const x1 = curve.x1 * k + x;
    const y0 = curve.y0 * k + y;
    const y1 = curve.y1 * k + y;
    return !((x0 < 0 && x1 < 0) || (x0 > width && x1 > width) || (y0 < 0 && y1 < -14) || (y0 > height && y1 > height));
  });
}
