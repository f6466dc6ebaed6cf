/** Nodes in words: what kind of thing one is, where it stands, and how it is marked. */
import type { NodeKind } from "../document";
import { shown } from "../format";
import type { Model } from "../model";
import { called } from "../views/naming";

/** Kind by shape, as in the pictures. */
export const SHAPES: Readonly<Record<NodeKind, string>> = {
  feature: "●",
  token: "■",
  position: "□",
  error: "◆",
  bias: "○",
  rest: "…",
  logit: "■",
};

export const KINDS: Readonly<Record<NodeKind, string>> = {
  feature: "feature",
  token: "token",
  position: "position",
  error: "error",
  bias: "constants",
  rest: "small edges",
  logit: "output",
};

/** What kind of thing a node is, for one who meets it for the first time. */
export const MEANINGS: Readonly<Record<Exclude<NodeKind, "feature">, string>> = {
  token: "A word of the prompt as it enters the model: its embedding. Paths begin here.",
  position: "The embedding of a position of the prompt: where a word stands, not which it is.",
  error: "What this layer wrote here that the dictionary does not explain. A path that begins here begins in the dark.",
  bias: "Constants of the model and the dictionary: what is added whatever the prompt says.",
  rest: "Edges too small to be kept, added up, so that nothing is missing from the sums.",
  logit: "An output that is explained: its logit, less the mean logit. Paths end here.",
};

/** The name of a node, or of what else a combination may move: a head, an attention score. */
export function nameOf(model: Model, name: string): string {
  return shown(called(model, name));
}

/** Where a node stands, for lists: “L2 · Dallas@7”; empty where it has no place, or its name says it. */
export function placeOfNode(model: Model, row: number): string {
  const { kind, layer, pos } = model.graph.nodes;
  const at = pos[row];
  if (kind[row] === "logit") return "";
  if (kind[row] === "token") return at === null ? "" : `position ${at}`;
  const parts = layer[row] === null ? [] : [`L${layer[row]}`];
  return [...parts, ...(at === null ? [] : [tokenAt(model, at)])].join(" · ");
}

/** The same with the feature's number: “2/168 · Dallas@7”. */
export function fullPlaceOf(model: Model, row: number): string {
  const { kind, layer, pos, feature } = model.graph.nodes;
  const at = pos[row];
  if (kind[row] !== "feature") return placeOfNode(model, row);
  return [`${layer[row]}/${feature[row]}`, ...(at === null ? [] : [tokenAt(model, at)])].join(" · ");
}

/** A position with its token: “Dallas@7”. */
export function tokenAt(model: Model, pos: number): string {
  const token = model.graph.tokens[pos];
  return token === undefined ? `position ${pos}` : `${shown(token.trim() || token)}@${pos}`;
}
