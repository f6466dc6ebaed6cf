/** Combinations as diamonds, joined to their members at the left and to what they act on at the right. */
import { useMemo } from "preact/hooks";
import type { Store } from "../../store";
import { combinations } from "../combination";
import { Filters } from "../Choice";
import { CombinationDetail } from "../Detail";
import { Bipartite } from "./Bipartite";
import { counts, filterOf } from "./filter";

export const STEPS = [10, 25, 100];

export function HyperedgesView({ store }: { store: Store }) {
  const filter = filterOf(store, "hyperedges", 25);
  const { model } = store;
  const found = useMemo(() => combinations(model, filter.value), [model, filter.value]);
  return (
    <div class="cv-p-page">
      <Filters model={model} filter={filter.value} steps={STEPS} change={(next) => (filter.value = next)} />
      <p class="cv-p-counts">{counts(store, found.shown.length, found.passing)}</p>
      {found.shown.length ? (
        <Bipartite store={store} shown={found.shown} relative={found.relative} />
      ) : (
        <p class="cv-empty">No combination of this file is of this kind.</p>
      )}
      <CombinationDetail store={store} hint="Select a diamond to see what it runs through." />
    </div>
  );
}
