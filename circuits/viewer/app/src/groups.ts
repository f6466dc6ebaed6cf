/** Groups: named sets of nodes, made by hand or by rule, and as a file for `circuits group`. */
import type { Model } from "./model";

export type Groups = Readonly<Record<string, readonly string[]>>;

/** With a group of these nodes; a node is in one group only, so others lose it, and empty ones go. */
export function grouped(groups: Groups, name: string, nodes: readonly string[]): Groups {
  const taken = new Set(nodes);
  const rest = mapped(groups, (members) => members.filter((node) => !taken.has(node)));
  return { ...rest, [name]: [...new Set([...(Object.hasOwn(rest, name) ? rest[name] : []), ...nodes])] };
}

/** With one group called otherwise, in its place; null where the name is taken or empty. */
export function renamed(groups: Groups, old: string, name: string): Groups | null {
  if (name.trim() === "" || (name !== old && Object.hasOwn(groups, name))) return null;
  return Object.fromEntries(Object.entries(groups).map(([one, nodes]) => [one === old ? name : one, nodes]));
}

export function removed(groups: Groups, name: string): Groups {
  return Object.fromEntries(Object.entries(groups).filter(([one]) => one !== name));
}

/** Without one node of one group. */
export function dropped(groups: Groups, name: string, node: string): Groups {
  return mapped(groups, (members, one) => (one === name ? members.filter((member) => member !== node) : members));
}

/** Why this cannot be the name of a new group, in a sentence; null where it can. */
export function refused(model: Model, groups: Groups, name: string): string | null {
  if (name.trim() === "") return "A group needs a name.";
  if (Object.hasOwn(groups, name)) return "There is a group of this name.";
  if (model.rowOf.has(name)) return "This is the name of a node.";
  return null;
}

/** A rule that makes groups of all nodes at once. */
export interface Rule {
  id: "run" | "label" | "feature";
  name: string;
  groups(model: Model): Groups;
}

export const RULES: readonly Rule[] = [
  {
    id: "run",
    name: "As in the run",
    groups: (model) => Object.fromEntries(model.graph.concepts.map(({ name, nodes }) => [name, nodes])),
  },
  {
    id: "label",
    name: "Same label",
    groups: (model) => gathered(model, (row) => model.graph.nodes.label[row]),
  },
  {
    id: "feature",
    name: "Same feature, all positions",
    groups: (model) =>
      gathered(model, (row) => {
        const { kind, layer, feature } = model.graph.nodes;
        return kind[row] === "feature" ? `feature ${layer[row]}/${feature[row]}` : null;
      }),
  },
];

/** Two or more nodes of one name are a group, the most influential group first. */
function gathered(model: Model, nameOf: (row: number) => string | null): Groups {
  const found = new Map<string, number[]>();
  for (let row = 0; row < model.size; row++) {
    const name = nameOf(row);
    if (!name || model.rowOf.has(name)) continue;
    const rows = found.get(name);
    if (rows) rows.push(row);
    else found.set(name, [row]);
  }
  const { node, influence } = model.graph.nodes;
  const weight = (rows: number[]) => rows.reduce((sum, row) => sum + (influence[row] ?? 0), 0);
  return Object.fromEntries(
    [...found]
      .filter(([, rows]) => rows.length > 1)
      .sort((one, other) => weight(other[1]) - weight(one[1]))
      .map(([name, rows]) => [name, rows.map((row) => node[row])]),
  );
}

/** The file that `circuits group RUN --import FILE` reads. */
export function groupFile(model: Model, groups: Groups): string {
  const concepts = Object.entries(groups).map(([name, nodes]) => [name, { nodes, by: "hand" }]);
  const told = { format: "concepts", version: 1, prompt: model.graph.prompt, concepts: Object.fromEntries(concepts) };
  return `${JSON.stringify(told, null, 1)}\n`;
}

function mapped(groups: Groups, change: (members: readonly string[], name: string) => readonly string[]): Groups {
  return Object.fromEntries(
    Object.entries(groups)
      .map(([name, members]) => [name, change(members, name)] as const)
      .filter(([, members]) => members.length > 0),
  );
}
