import { useMemo } from "preact/hooks";
import type { Store } from "../../store";
import { percent, short, signed } from "../../format";
import { type Combination, combination, KINDS } from "../combination";
import { type Column, DataTable } from "../DataTable";
import { chooseCombination, CombinationDetail } from "../Detail";
import { token } from "../naming";
import { product } from "./Grid";
import { chosenOf, HeadChoice } from "./QkView";
import { heads, type Score, sides } from "./scores";

interface Product {
  score: Score;
  one: Combination;
  query: string;
  key: string;
}

/** A row a product of the head that is chosen. */
export function QkTable({ store }: { store: Store }) {
  const { model } = store;
  const all = useMemo(() => heads(model), [model]);
  const state = chosenOf(store);
  const head = all.find((one) => one.name === state.value.head) ?? all[0];
  const rows = useMemo(
    () =>
      head.scores.flatMap((score) =>
        score.rows.map((row) => {
          const { query, others } = sides(model, row, score.at);
          return { score, one: combination(model, row), query, key: others.join(" × ") };
        }),
      ),
    [model, head],
  );
  return (
    <div class="cv-p-page">
      <HeadChoice store={store} all={all} />
      <DataTable
        caption={`Products in the attention scores of head ${head.name}: a feature at the query times one at the key.`}
        columns={columns(store)}
        rows={rows}
        file={`head-${head.name}`}
        chosen={(row) => row.one.id === store.combination.value}
      />
      <CombinationDetail store={store} hint="Select a product for its numbers." />
    </div>
  );
}

function columns(store: Store): Column<Product>[] {
  const { model } = store;
  const at = (pos: number | null) => (pos === null ? "" : short(token(model, pos), 40));
  return [
    {
      name: "product",
      value: ({ query, key }) => `${query} × ${key}`,
      show: ({ one, score }) => (
        <button
          type="button"
          class="cv-p-node"
          aria-pressed={one.id === store.combination.value}
          onClick={() => chooseCombination(store, one.row)}
        >
          <span class="cv-p-name">
            {product(store, one.row, score)}
          </span>
        </button>
      ),
    },
    { name: "query token", value: ({ score }) => at(score.at.query) },
    { name: "key token", value: ({ score }) => at(score.at.key) },
    { name: "over", value: ({ score }) => (score.at.over === null ? null : at(score.at.over)) },
    { name: "interaction", numeric: true, value: ({ one }) => one.weight, show: ({ one }) => signed(one.weight) },
    { name: "share", numeric: true, value: ({ one }) => one.share, show: ({ one }) => percent(one.share) },
    { name: "kind", value: ({ one }) => KINDS[one.kind] },
  ];
}
