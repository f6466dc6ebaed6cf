/** Query–key: which features of the query meet which features of the key in an attention score. */
import { signal, type Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { count, percent, short, signed } from "../../format";
import type { Store } from "../../store";
import { combination, KINDS } from "../combination";
import { Choice } from "../Choice";
import { chooseCombination, CombinationDetail } from "../Detail";
import { token } from "../naming";
import { sign } from "../svg";
import { type Chosen, Grid, product } from "./Grid";
import { type Head, heads, type Score } from "./scores";

const states = new WeakMap<Store, Signal<Chosen>>();

/** Which head is looked at, and which of its scores: the same in the picture and the table. */
export function chosenOf(store: Store): Signal<Chosen> {
  const found = states.get(store) ?? signal<Chosen>({ head: null, score: null });
  states.set(store, found);
  return found;
}

export function HeadChoice({ store, all }: { store: Store; all: Head[] }) {
  const state = chosenOf(store);
  return (
    <div class="cv-p-filters">
      <Choice
        name="Head"
        value={state.value.head ?? all[0].name}
        options={all.map((one) => [one.name, `${one.name} (${count(one.held)} in this file)`] as const)}
        change={(head) => (state.value = { head, score: null })}
      />
    </div>
  );
}

export function QkView({ store }: { store: Store }) {
  const all = useMemo(() => heads(store.model), [store.model]);
  const state = chosenOf(store);
  const head = all.find((one) => one.name === state.value.head) ?? all[0];
  const score = head.scores.find((one) => one.target === state.value.score) ?? null;
  return (
    <div class="cv-p-page">
      <HeadChoice store={store} all={all} />
      <p class="cv-p-counts">
        Head {head.name}: a query looks at a key by the sum of products, one feature at the query times one at the key;{" "}
        {count(head.held)} products of {count(head.scores.length)} {head.scores.length === 1 ? "score" : "scores"} are in this
        file. Blue raises the score, orange and hatched lowers it.
      </p>
      <Grid store={store} head={head} state={state} />
      {score ? <Products store={store} score={score} /> : <p class="cv-p-hint">Select a cell to see all of its products.</p>}
    </div>
  );
}

function Products({ store, score }: { store: Store; score: Score }) {
  const { model } = store;
  const { query, key, over } = score.at;
  const against = over === null ? "" : ` over ${token(model, over)}`;
  return (
    <section class="cv-p-detail" aria-label="Products of the selected score">
      <h3>
        <bdi>{`${short(token(model, query as number))} looks at ${short(token(model, key as number))}${against && short(against)}`}</bdi>
      </h3>
      <p class="cv-muted">Each with its part of the score, its kind, and its share of what moves the target.</p>
      <ul class="cv-p-list">
        {score.rows.map((row) => {
          const one = combination(model, row);
          return (
            <li key={one.id}>
              <button
                type="button"
                class="cv-p-node"
                aria-pressed={store.combination.value === one.id}
                onClick={() => chooseCombination(store, row)}
              >
                <bdi class="cv-p-name">{product(store, row, score)}</bdi>
              </button>{" "}
              <span class={sign(one.weight)}>{signed(one.weight)}</span>{" "}
              <span class="cv-muted">
                {KINDS[one.kind]}
                {one.share === null ? "" : `, ${percent(one.share)}`}
              </span>
            </li>
          );
        })}
      </ul>
      <CombinationDetail store={store} hint="Select a product for its numbers." />
    </section>
  );
}
