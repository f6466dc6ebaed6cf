/** Combinations inside attention scores, by head, query and key. */
import type { Model } from "../../model";
import { attention, type Attention } from "../naming";

/** One cell of a head's grid: a score, or log-odds of two keys. */
export interface Score {
  target: string;
  at: Attention;
  /** Rows of the hyperedge table, the largest |weight| first. */
  rows: number[];
}

export interface Head {
  /** "5.3" */
  name: string;
  scores: Score[];
  /** How many combinations the document has of it. */
  held: number;
  /** The sum of its combinations' shares of what moves the target. */
  strength: number;
}

/** The heads whose scores, or log-odds, have combinations in the document; the strongest first. */
export function heads(model: Model): Head[] {
  const table = model.graph.hyperedges;
  const found = new Map<string, Map<string, Score>>();
  table.target.forEach((target, row) => {
    const at = table.channel[row] === "qk" ? attention(target) : null;
    if (!at || at.query === null || at.key === null) return;
    const name = `${at.layer}.${at.head}`;
    const scores = found.get(name) ?? new Map<string, Score>();
    found.set(name, scores);
    const score = scores.get(target) ?? { target, at, rows: [] };
    scores.set(target, score);
    score.rows.push(row);
  });
  const size = (row: number) => Math.abs(table.weight[row]);
  const known = (row: number) => table.share[row] ?? 0;
  const made = [...found].map(([name, scores]) => {
    const all = [...scores.values()];
    for (const score of all) score.rows.sort((one, other) => size(other) - size(one) || one - other);
    const rows = all.flatMap((score) => score.rows);
    return { name, scores: all, held: rows.length, strength: rows.reduce((sum, row) => sum + known(row), 0) };
  });
  return made.sort((one, other) => other.strength - one.strength || other.held - one.held || one.name.localeCompare(other.name));
}

/** Columns and rows of a head's grid: keys (and pairs of keys) by position, queries by position. */
export function grid(head: Head): { queries: number[]; keys: [number, number | null][] } {
  const queries = new Set(head.scores.map(({ at }) => at.query as number));
  const keys = new Map(head.scores.map(({ at }) => [`${at.key}-${at.over ?? ""}`, [at.key, at.over] as [number, number | null]]));
  const single = (pair: [number, number | null]) => Number(pair[1] !== null);
  return {
    queries: [...queries].sort((one, other) => one - other),
    keys: [...keys.values()].sort((a, b) => single(a) - single(b) || a[0] - b[0] || (a[1] ?? 0) - (b[1] ?? 0)),
  };
}

/** The member that stands at the query, and the others: at the key, and of triples the value's. */
export function sides(model: Model, row: number, at: Attention): { query: string; others: string[] } {
  const members = model.graph.hyperedges.members[row];
  const position = (name: string) => {
    const found = model.rowOf.get(name);
    return found === undefined ? null : model.graph.nodes.pos[found];
  };
  const [first, ...rest] = members;
  // Pairs are written query first; where only another member is at the query, that one is it.
  const swapped = position(first) !== at.query && at.query !== at.key ? members.findIndex((one) => position(one) === at.query) : 0;
  return swapped > 0 ? { query: members[swapped], others: members.filter((_, i) => i !== swapped) } : { query: first, others: rest };
}
