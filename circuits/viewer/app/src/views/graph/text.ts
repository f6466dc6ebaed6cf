/** Widths of texts in pixels, at the size of labels. */
import { FONT } from "./labelling";

const known = new Map<string, number>();
let context: CanvasRenderingContext2D | null | undefined;

export function textWidth(text: string): number {
  const before = known.get(text);
  if (before !== undefined) return before;
  context ??= document.createElement("canvas").getContext("2d");
  if (context) context.font = `${FONT}px system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif`;
  const width = context ? context.measureText(text).width : text.length * FONT * 0.6;
  if (known.size > 20_000) known.clear();
  known.set(text, width);
  return width;
}
