/** The strongest combinations side by side: who is in each, how much it makes up, how sure that is. */
import { useMemo } from "preact/hooks";
import type { Store } from "../../store";
import { Filters } from "../Choice";
import { CombinationDetail } from "../Detail";
import { counts, filterOf } from "../hyperedges/filter";
import { upset } from "./columns";
import { Plot } from "./Plot";

export const STEPS = [12, 25, 100];

export function UpsetView({ store }: { store: Store }) {
  const filter = filterOf(store, "upset", 12);
  const found = useMemo(() => upset(store.model, filter.value), [store.model, filter.value]);
  return (
    <div class="cv-p-page">
      <Filters model={store.model} filter={filter.value} steps={STEPS} change={(next) => (filter.value = next)} />
      <p class="cv-p-counts">{counts(store, found.columns.length, found.passing)}</p>
      {found.columns.length ? (
        <Plot store={store} plot={found} />
      ) : (
        <p class="cv-empty">No combination of this file is of this kind.</p>
      )}
      <CombinationDetail store={store} hint="Select a column to see what the combination runs through." />
    </div>
  );
}
