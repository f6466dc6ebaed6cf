import { useMemo } from "preact/hooks";
import type { Store } from "../../store";
import { combinations } from "../combination";
import { CombinationTable } from "../CombinationTable";
import { Filters } from "../Choice";
import { CombinationDetail } from "../Detail";
import { counts, filterOf } from "./filter";
import { STEPS } from "./HyperedgesView";

export function HyperedgesTable({ store }: { store: Store }) {
  const filter = filterOf(store, "hyperedges", 25);
  const found = useMemo(() => combinations(store.model, filter.value), [store.model, filter.value]);
  return (
    <div class="cv-p-page">
      <Filters model={store.model} filter={filter.value} steps={STEPS} change={(next) => (filter.value = next)} />
      <CombinationTable
        store={store}
        caption={`What members do together beyond what fewer of them do. ${counts(store, found.shown.length, found.passing)}`}
        rows={found.shown}
        file="combinations"
      />
      <CombinationDetail store={store} hint="Select a combination to see what it runs through." />
    </div>
  );
}
