/** The mark of a node: its kind is its shape. Also for legends, cards and lists. */
import type { NodeKind } from "../../document";
import "../../style/glyph.css";

/** ● feature, ◆ error, ■ token, target and position, a bar for biases, a ring for the rest; `r` is half the height. */
export function Glyph({ kind, r }: { kind: NodeKind; r: number }) {
  return <path class={`cv-glyph cv-kind-${kind}`} d={outline(kind, r)} />;
}

export function outline(kind: NodeKind, r: number): string {
  const s = round(r * 0.9);
  switch (kind) {
    case "error":
      return polygon([0, -r * 1.15], [r * 1.15, 0], [0, r * 1.15], [-r * 1.15, 0]);
    case "token":
    case "position":
    case "logit":
      return polygon([-s, -s], [s, -s], [s, s], [-s, s]);
    case "bias":
      return polygon([-r * 1.1, -r * 0.45], [r * 1.1, -r * 0.45], [r * 1.1, r * 0.45], [-r * 1.1, r * 0.45]);
    default:
      return `M${round(-r)},0a${round(r)},${round(r)} 0 1,0 ${round(2 * r)},0a${round(r)},${round(r)} 0 1,0 ${round(-2 * r)},0`;
  }
}

/** A glyph on its own, for a line of text. */
export function KindMark({ kind }: { kind: NodeKind }) {
  return (
    <svg class="cv-g-mark" width="12" height="12" viewBox="-6 -6 12 12" aria-hidden="true">
      <Glyph kind={kind} r={4.6} />
    </svg>
  );
}

function polygon(...points: [number, number][]): string {
  return `M${points.map(([x, y]) => `${round(x)},${round(y)}`).join("L")}Z`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
