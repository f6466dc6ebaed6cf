/** Combinations as the views show them: hyperedges of order 2 and more, the strongest first. */
import type { Gate } from "../document";
import { percent, signed } from "../format";
import type { Model } from "../model";

export type Kind = Gate | "undecided";

/** What stands in a diamond, by kind: as in the figures. */
export const SIGNS: Record<Kind, string> = {
  and: "&",
  or: "∨",
  inhibit: "⊣",
  xor: "⊕",
  additive: "+",
  other: "∗",
  undecided: "?",
};

/** Kinds in words. */
export const KINDS: Record<Kind, string> = {
  and: "and",
  or: "or",
  inhibit: "inhibits",
  xor: "xor",
  additive: "additive",
  other: "other",
  undecided: "undecided",
};

export const CHANNELS = { output: "towards the output", mlp: "inside features", qk: "in attention" } as const;

export interface Combination {
  /** Its row in the document's table. */
  row: number;
  id: string;
  members: string[];
  target: string;
  text: string;
  order: number;
  kind: Kind;
  channel: keyof typeof CHANNELS;
  estimated: boolean;
  weight: number;
  share: number | null;
  /** What is drawn, with its interval: weight, or the share with the weight's sign where units differ. */
  value: number;
  low: number;
  high: number;
  /** Whether there is an interval to draw. */
  unsure: boolean;
}

export interface Filter {
  channel: string;
  order: string;
  kind: string;
  /** The most that are shown. */
  most: number;
}

export const ALL = "all";

export interface Combinations {
  shown: Combination[];
  /** How many pass the filter. */
  passing: number;
  /** Whether values are shares, since their units differ. */
  relative: boolean;
}

/**
 * The combinations that pass a filter. If all act on one node they are drawn in its units, else as shares of
 * what moves the target, with the weight's sign; those of unknown share are then left out.
 */
export function combinations(model: Model, filter: Filter): Combinations {
  const table = model.graph.hyperedges;
  const rows = table.hyperedge.map((_, row) => row).filter((row) => table.order[row] >= 2 && table.weight[row] !== 0);
  const passing = rows.filter(
    (row) =>
      (filter.channel === ALL || table.channel[row] === filter.channel) &&
      (filter.order === ALL || table.order[row] === Number(filter.order)) &&
      (filter.kind === ALL || (table.gate[row] ?? "undecided") === filter.kind),
  );
  const sorted = passing.sort((one, other) => (table.share[other] ?? -1) - (table.share[one] ?? -1) || one - other);
  const head = sorted.slice(0, filter.most);
  const relative = new Set(head.map((row) => table.target[row])).size > 1 && head.some((row) => table.share[row] !== null);
  return {
    shown: head.map((row) => combination(model, row, relative)),
    passing: passing.length,
    relative,
  };
}

/** One combination; with `relative`, its value is its share with the weight's sign. */
export function combination(model: Model, row: number, relative = false): Combination {
  const table = model.graph.hyperedges;
  const weight = table.weight[row];
  const share = table.share[row];
  const scale = !relative ? 1 : share === null ? 0 : share / Math.abs(weight);
  const [low, high] = [table.low[row] ?? weight, table.high[row] ?? weight];
  return {
    row,
    id: table.hyperedge[row],
    members: table.members[row],
    target: table.target[row],
    text: table.text[row],
    order: table.order[row],
    kind: table.gate[row] ?? "undecided",
    channel: table.channel[row],
    estimated: table.estimated[row],
    weight,
    share,
    value: weight * scale,
    low: low * scale,
    high: high * scale,
    unsure: low < high,
  };
}

/** A value as it stands beside its bar; an unknown share is told as the weight. */
export function valueText(one: Combination, relative: boolean): string {
  if (!relative) return signed(one.value);
  return one.share === null ? signed(one.weight) : `${one.value < 0 ? "−" : "+"}${percent(Math.abs(one.value))}`;
}

/** Where the weight lies: “+8.75 to +9.05”, “exact”. */
export function intervalText(model: Model, row: number): string {
  const { low, high, estimated } = model.graph.hyperedges;
  const [from, to] = [low[row], high[row]];
  if (from === null || to === null) return estimated[row] ? "unknown" : "exact";
  if (from === to) return estimated[row] ? "estimated" : "exact";
  const ends = [signed(from), signed(to)];
  return ends[0] === ends[1] ? "exact to 3 digits" : `${ends[0]} to ${ends[1]}`;
}

/** A combination in one sentence: for its tip and its accessible name. */
export function sentence(model: Model, one: Combination): string {
  const way = one.weight > 0 ? "together push up" : "together push down";
  const part = one.share === null ? "" : `, ${percent(one.share)} of what moves the target`;
  return `${one.text}: ${KINDS[one.kind]}, ${way} by ${signed(one.weight)} (${intervalText(model, one.row)})${part}`;
}
