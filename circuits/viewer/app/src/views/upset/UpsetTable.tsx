import { useMemo } from "preact/hooks";
import type { Store } from "../../store";
import { CombinationTable } from "../CombinationTable";
import { Filters } from "../Choice";
import { CombinationDetail } from "../Detail";
import { counts, filterOf } from "../hyperedges/filter";
import { upset } from "./columns";
import { STEPS } from "./UpsetView";

export function UpsetTable({ store }: { store: Store }) {
  const filter = filterOf(store, "upset", 12);
  const found = useMemo(() => upset(store.model, filter.value), [store.model, filter.value]);
  return (
    <div class="cv-p-page">
      <Filters model={store.model} filter={filter.value} steps={STEPS} change={(next) => (filter.value = next)} />
      <CombinationTable
        store={store}
        caption={`The columns of the UpSet plot. ${counts(store, found.columns.length, found.passing)}`}
        rows={found.columns}
        file="upset"
      />
      <CombinationDetail store={store} hint="Select a combination to see what it runs through." />
    </div>
  );
}
