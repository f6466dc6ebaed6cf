/** What the search finds: nodes by name, label, token, layer/feature, concept and the tokens their cards promote. */
import MiniSearch from "minisearch";
import type { Model } from "../model";

interface Entry {
  id: number;
  node: string;
  name: string;
  label: string;
  token: string;
  concept: string;
  promoted: string;
}

export interface Found {
  row: number;
  node: string;
}

/** Longer texts are searched by their beginning. */
const LONGEST = 300;

export class Search {
  private readonly index: MiniSearch<Entry>;

  constructor(private readonly model: Model) {
    this.index = new MiniSearch<Entry>({
      fields: ["node", "name", "label", "token", "concept", "promoted"],
      tokenize: words,
      processTerm: (term) => term,
      searchOptions: {
        boost: { node: 3, name: 3, label: 2, concept: 2, token: 1.5 },
        prefix: true,
        fuzzy: (term) => (term.length > 4 && !/[\d/@]/.test(term) ? 0.2 : false),
        combineWith: "AND",
      },
    });
    this.index.addAll(Array.from({ length: model.size }, (_, row) => entry(model, row)));
  }

  /** All nodes a query means, the best first; of equals the more influential. A node's own name comes before all. */
  find(query: string): Found[] {
    const { node } = this.model.graph.nodes;
    const asked = query.trim().toLowerCase();
    if (asked === "") return [];
    const scored = new Map<number, number>();
    for (const { id, score } of this.index.search(query)) scored.set(id as number, score);
    node.forEach((name, row) => {
      const lower = name.toLowerCase();
      if (lower === asked) scored.set(row, Infinity);
      else if (lower.startsWith(`${asked}@`)) scored.set(row, 1e9 + this.model.influence(row));
    });
    return [...scored]
      .sort(([one, score], [other, than]) => than - score || this.model.influence(other) - this.model.influence(one))
      .map(([row]) => ({ row, node: node[row] }));
  }
}

function entry(model: Model, row: number): Entry {
  const { nodes, tokens, cards } = model.graph;
  const { node, name, label, pos, concept, layer, feature } = nodes;
  const id = `${layer[row]}/${feature[row]}`;
  const card = Object.hasOwn(cards.cards, id) ? cards.cards[id] : null;
  const at = pos[row];
  return {
    id: row,
    node: node[row],
    name: name[row].slice(0, LONGEST),
    label: (label[row] ?? card?.label ?? "").slice(0, LONGEST),
    token: at === null ? "" : (tokens[at] ?? "").slice(0, LONGEST),
    concept: (concept[row] ?? "").slice(0, LONGEST),
    promoted: (card?.promoted ?? []).map(([token]) => (cards.strings[token] ?? "").slice(0, 60)).join(" "),
  };
}

/** Words, names such as 2/168@7 whole and in parts, and marks that stand alone. */
function words(text: string): string[] {
  const lower = text.toLowerCase();
  const found = new Set(lower.match(/[\p{L}\p{N}\p{M}]+/gu) ?? []);
  for (const whole of lower.split(/\s+/u)) {
    if (/[/@:]/.test(whole)) found.add(whole);
    if (/@/.test(whole)) found.add(whole.replace(/@.*/u, ""));
  }
  const all = lower.trim();
  if (found.size === 0 && all !== "") found.add(all);
  return [...found];
}
