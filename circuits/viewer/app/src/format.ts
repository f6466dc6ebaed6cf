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

/** A probability as a percentage; one below 1 is never told as 100%. */
export function chance(value: number): string {
  return value < 1 && value >= 0.995 ? `${Math.min(99.9, Math.floor(1_000 * value) / 10)}%` : percent(value);
}

/** A count with thousands apart: 12,345. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

function trimmed(size: number): string {
  const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return size.toFixed(digits);
}

const NAMED: Readonly<Record<number, string>> = {
  0x00ad: "SHY",
  0x061c: "ALM",
  0x200b: "ZWSP",
  0x200e: "LRM",
  0x200f: "RLM",
  0x2028: "LS",
  0x2029: "PS",
  0x202a: "LRE",
  0x202b: "RLE",
  0x202c: "PDF",
  0x202d: "LRO",
  0x202e: "RLO",
  0x2060: "WJ",
  0x2066: "LRI",
  0x2067: "RLI",
  0x2068: "FSI",
  0x2069: "PDI",
  0xfeff: "BOM",
};

// Control, bidirectional and other characters without a shape of their own; joiners stay: scripts need them.
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]|\p{Surrogate}|\p{Noncharacter_Code_Point}/gu;

/**
 * A text of the run as it may stand on the page: what has no shape, or would turn the text around it, is made
 * visible (␀ ␛ ⏎ ⇥ ⟨RLO⟩); nothing is “⟨empty⟩” and mere spaces are ␣. Every text that comes from a document
 * goes through here.
 */
export function shown(text: string): string {
  if (text === "") return "⟨empty⟩";
  if (/^ +$/.test(text)) return "␣".repeat(text.length);
  return text.replace(UNSEEN, visible);
}

/** The same, at most so many characters, for where no style can cut it: names for ears, text in pictures. */
export function short(text: string, most = 60): string {
  const seen = shown(text.length > 4 * most ? text.slice(0, 4 * most) : text);
  const characters = [...seen];
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : seen;
}

function visible(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (character === "\n") return "⏎";
  if (character === "\t") return "⇥";
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `⟨${NAMED[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}⟩`;
}
