/** How nodes and combinations of the graph are called, in full and beside their mark. */
import { chance, percent, plain, short, signed } from "../../format";
import type { Model } from "../../model";
import type { Store } from "../../store";

/** “feature L2 'Texas', at “ Dallas”, influence 12%, 3 in, 5 out”. */
export function spoken(store: Store, row: number, [into, out]: readonly [number, number] = [0, 0]): string {
  const { nodes } = store.model.graph;
  const name = short(nodes.name[row], 120);
  const kind = kindName(store.model, row);
  // names of tokens and targets are quoted already; an error's says its layer, as its kind does
  const quoted = nodes.kind[row] === "feature" ? ` '${name}'` : ` ${name}`;
  const parts = [nodes.kind[row] === "error" ? kind : kind + quoted];
  const token = store.model.token(row);
  if (token !== null && nodes.kind[row] !== "token") parts.push(`at “${short(token)}”`);
  if (nodes.influence[row] !== null && nodes.kind[row] !== "logit") parts.push(`influence ${percent(nodes.influence[row])}`);
  parts.push(`${into} in, ${out} out`);
  const group = store.groupOf.value.get(nodes.node[row]);
  if (group) parts.push(`group ${short(group)}`);
  if (store.pinned.value.has(nodes.node[row])) parts.push("pinned");
  return parts.join(", ");
}

/** “feature L2”, “error L3”, “target”. */
export function kindName(model: Model, row: number): string {
  const { kind, layer } = model.graph.nodes;
  const word = kind[row] === "logit" ? "target" : kind[row];
  return layer[row] === null ? word : `${word} L${layer[row]}`;
}

/** What stands beside a node: nothing where tokens along the axis say it, or where it would say nothing. */
export function beside(model: Model, row: number, scale = 1): string {
  const { kind, layer } = model.graph.nodes;
  if (kind[row] === "token" || kind[row] === "position") return "";
  // from afar its shape must do: the room is for what has a name
  if (kind[row] === "error") return scale < 0.55 ? "" : "error";
  const name = short(model.graph.nodes.name[row], 80);
  if (kind[row] === "logit") {
    const target = model.graph.targets.find((one) => one.node === model.graph.nodes.node[row]);
    return target?.probability == null ? name : `${name} ${chance(target.probability)}`;
  }
  // the layer is told by the axis
  return kind[row] === "feature" && name.startsWith(`${layer[row]}/`) ? name.slice(name.indexOf("/") + 1) : name;
}

const GATES = { and: "AND", or: "OR", inhibit: "INH", xor: "XOR", additive: "ADD", other: "MIX" } as const;

/** The kind of a combination in three letters. */
export function gateWord(model: Model, combination: number): string {
  const { gate, channel } = model.graph.hyperedges;
  const known = gate[combination];
  return known === null ? channel[combination].toUpperCase() : GATES[known];
}

/** “AND of Dallas × capital towards “ Austin”: +0.53 (0.41 to 0.65)”. */
export function combinationName(model: Model, combination: number): string {
  const { text, target, weight, low, high } = model.graph.hyperedges;
  const row = model.rowOf.get(target[combination]);
  const towards = short(row === undefined ? target[combination] : model.graph.nodes.name[row], 80);
  const interval =
    low[combination] === null || high[combination] === null
      ? ""
      : ` (${plain(low[combination])} to ${plain(high[combination])})`;
  const members = short(text[combination], 200);
  return `${gateWord(model, combination)} of ${members} towards ${towards}: ${signed(weight[combination])}${interval}`;
}
