/** Numbers and signs for people: the same forms as the Python side (`circuits/query/text.py`). */

const MINUS = "−";

/** Three significant digits. */
export function plain(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 1e6) ? size.toExponential(1) : trimmed(size);
  return value < 0 ? MINUS + text : text;
}

/** With its sign: +1.25, −0.4. */
export function signed(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "–";
  return value > 0 ? `+${plain(value)}` : plain(value);
}

/** A share as a percentage: 12%, 0.4%. */
export function percent(share: number | null): string {
  if (share === null || !Number.isFinite(share)) return "–";
  const value = 100 * share;
  const size = Math.abs(value);
  const text = size >= 10 || size === 0 ? size.toFixed(0) : size >= 0.1 ? size.toFixed(1) : "<0.1";
  return `${value < 0 ? MINUS : ""}${text}%`;
}

/** A count with thousands apart: 12,345. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

function trimmed(size: number): string {
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return size.toFixed(digits);
}
