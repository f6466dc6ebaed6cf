/** Texts inside pictures: how wide they are, and as much of them as fits. */

import { shown } from "../format";

/** Font sizes of pictures, in pixels. */
export const SIZE = 12;
export const SMALL = 11;

/** Longer texts are cut before they are measured. */
const MOST = 300;

let pen: CanvasRenderingContext2D | null | undefined;
const widths = new Map<string, number>();

/** The width of a text in pixels, in the viewer's font; about 0.57 of its size a letter where there is no canvas. */
export function widthOf(text: string, size = SIZE, bold = false): number {
  const key = `${bold ? "b" : ""}${size} ${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    width = measured(text, size, bold);
    if (widths.size > 10_000) widths.clear();
    widths.set(key, width);
  }
  return width;
}

function measured(text: string, size: number, bold: boolean): number {
  if (pen === undefined && typeof document !== "undefined") {
    pen = document.createElement("canvas").getContext("2d");
  }
  if (!pen) return 0.57 * size * text.length;
  const viewer = document.querySelector(".circuits-viewer");
  const family = viewer ? getComputedStyle(viewer).fontFamily : "sans-serif";
  pen.font = `${bold ? "bold " : ""}${size}px ${family}`;
  return pen.measureText(text).width;
}

/** As much of a text as fits into so many pixels, an ellipsis where it was cut. */
export function fitted(text: string, width: number, size = SIZE, bold = false): string {
  const whole = shown(text.length > 2 * MOST ? text.slice(0, 2 * MOST) : text);
  if (whole.length <= MOST && widthOf(whole, size, bold) <= width) return whole;
  const letters = [...whole].slice(0, MOST);
  let low = 0;
  let high = letters.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (widthOf(`${letters.slice(0, middle).join("")}…`, size, bold) <= width) low = middle;
    else high = middle - 1;
  }
  return `${letters.slice(0, low).join("").trimEnd()}…`;
}
