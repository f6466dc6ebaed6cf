/** What members and targets of combinations are called, and where they stand. */
import { plain } from "../format";
import type { Model } from "../model";

/** A head, an attention score or the log-odds of two keys: their names in `circuits/schema.py`. */
export interface Attention {
  what: "head" | "score" | "odds";
  layer: number;
  head: number;
  query: number | null;
  key: number | null;
  /** The other key of log-odds. */
  over: number | null;
}

const ATTENTION = /^(head|score|odds):(\d+)\.(\d+)(?:@(\d+),(\d+)(?:-(\d+))?)?$/;

export function attention(name: string): Attention | null {
  const found = ATTENTION.exec(name);
  if (!found) return null;
  const number = (text: string | undefined) => (text === undefined ? null : Number(text));
  return {
    what: found[1] as Attention["what"],
    layer: Number(found[2]),
    head: Number(found[3]),
    query: number(found[4]),
    key: number(found[5]),
    over: number(found[6]),
  };
}

/** A token with its place where it occurs more than once: " is", " John"@9. */
export function token(model: Model, pos: number): string {
  const text = model.graph.tokens[pos];
  if (text === undefined) return `position ${pos}`;
  const often = model.graph.tokens.filter((other) => other === text).length > 1;
  return `"${text}"${often ? `@${pos}` : ""}`;
}

/** The name for people of a node, a player, a head, a score or log-odds. */
export function called(model: Model, name: string): string {
  const row = model.rowOf.get(name);
  if (row !== undefined) return model.graph.nodes.name[row];
  const seen = attention(name);
  if (!seen) return name;
  const { query, key, over } = seen;
  const head = `head ${seen.layer}.${seen.head}`;
  if (query === null || key === null) return head;
  const looks = `${token(model, query)} → ${token(model, key)}`;
  if (over !== null) return `log-odds in ${head}, ${looks} over ${token(model, over)}`;
  return seen.what === "score" ? `score of ${head}, ${looks}` : `${head}, ${looks}`;
}

/** A name with the token it stands at, where the name does not say it: say capitals · " is". */
export function placed(model: Model, name: string): string {
  const row = model.rowOf.get(name);
  if (row === undefined) return called(model, name);
  const { kind, pos, layer } = model.graph.nodes;
  const said = model.graph.nodes.name[row];
  const at = pos[row];
  if (kind[row] !== "feature" && kind[row] !== "error") return said;
  const where = at === null ? "" : ` · ${token(model, at)}`;
  const told = at !== null && said.includes(`"${model.graph.tokens[at]}"`);
  return `${said}${told ? "" : where}${layer[row] === null ? "" : ` · L${layer[row]}`}`;
}

/** A name with its layer alone, where the token is told already: say capitals · L1. */
export function layered(model: Model, name: string): string {
  const layer = model.graph.nodes.layer[model.rowOf.get(name) ?? -1] ?? null;
  return `${called(model, name)}${layer === null ? "" : ` · L${layer}`}`;
}

/** The level of token and positional embeddings. */
export const WORDS = -1;

/** The levels a member stands in (layers, or `WORDS`), and which part of it in each. */
export function levels(model: Model, member: string): Map<number, number> {
  const rows = model.rowsOf(member);
  const found = new Map<number, number>();
  for (const row of rows) {
    const level = model.graph.nodes.layer[row] ?? WORDS;
    found.set(level, (found.get(level) ?? 0) + 1 / rows.length);
  }
  return found;
}

/** Layer, then position, of a member: means over what it consists of. */
export function standing(model: Model, member: string): [number, number] {
  const rows = model.rowsOf(member);
  if (!rows.length) return [Number.POSITIVE_INFINITY, 0];
  const mean = (values: (number | null)[]) => {
    const known = rows.map((row) => values[row]).filter((value): value is number => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : WORDS;
  };
  return [mean(model.graph.nodes.layer), mean(model.graph.nodes.pos)];
}

/** Names in the order of layers, from the highest down if so wished, then tokens. */
export function inOrder(model: Model, names: Iterable<string>, down = false): string[] {
  const way = down ? -1 : 1;
  const known = [...new Set(names)].map((name) => ({ name, at: standing(model, name) }));
  return known.sort((a, b) => way * compared(a.at[0], b.at[0]) || a.at[1] - b.at[1]).map(({ name }) => name);
}

/** What its value is measured in: in the logit of " Austin". */
export function unit(model: Model, target: string): string {
  const found = model.graph.targets.find((one) => one.node === target);
  return found ? `in the logit of ${found.text}` : `in ${called(model, target)}`;
}

/** A probability in words, or nothing. */
export function chance(value: number | null): string {
  return value === null ? "" : `p = ${plain(value)}`;
}

/** Apart from −, this is right for what stands nowhere (infinity) too. */
function compared(one: number, other: number): number {
  return one < other ? -1 : Number(one > other);
}
