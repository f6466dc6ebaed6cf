import { useMemo } from "preact/hooks";
import type { DiffPart } from "../../document";
import { short, signed } from "../../format";
import type { Model } from "../../model";
import type { Store } from "../../store";
import { type Column, DataTable } from "../DataTable";
import { token } from "../naming";
import { DiffDetail } from "./DiffDetail";
import { counts, Finding, nameOf, open, runNames, stateOf, WHERE } from "./DiffView";
import { type Merged, merge } from "./merge";

/** A row a node of either graph. */
export function DiffTable({ store }: { store: Store }) {
  const { model } = store;
  const diff = model.document.diff as DiffPart;
  const all = useMemo(() => merge(model, diff), [model, diff]);
  const [first, second] = runNames(model);
  const one = all.find(({ id }) => id === stateOf(store).value.open) ?? null;
  return (
    <div class="cv-p-page">
      <Finding lines={diff.finding} />
      <DataTable
        caption={`Nodes of the first graph (${short(first)}) and of the second (${short(second)}), with their whole effect on the target in each. ${counts(all, all)}`}
        columns={columns(store, diff)}
        rows={all}
        order={{ column: 7, down: true }}
        file="diff"
        chosen={({ id }) => id === stateOf(store).value.open}
      />
      {one && <DiffDetail store={store} all={all} one={one} />}
    </div>
  );
}

function columns(store: Store, diff: DiffPart): Column<Merged>[] {
  const { model } = store;
  const name = (one: Merged) => (one.here !== null ? model.graph.nodes.node[one.here] : (model.against as Model).graph.nodes.node[one.there as number]);
  const at = ({ column }: Merged) => {
    if (column === null) return "";
    const [here, there] = diff.positions[column];
    return here !== null ? token(model, here) : token(model.against as Model, there as number);
  };
  return [
    {
      name: "node",
      value: nameOf.bind(null, model),
      show: (one) => (
        <button type="button" class="cv-p-node" onClick={() => open(store, one)}>
          <span class="cv-p-name">{short(nameOf(model, one), 80)}</span>
        </button>
      ),
    },
    { name: "id", value: name, show: (one) => short(name(one), 40) },
    { name: "token", value: at, show: (one) => short(at(one) || "–", 40) },
    { name: "where", value: ({ where }) => WHERE[where] },
    { name: "first", numeric: true, value: ({ effects }) => effects[0], show: ({ effects }) => signed(effects[0]) },
    { name: "second", numeric: true, value: ({ effects }) => effects[1], show: ({ effects }) => signed(effects[1]) },
    { name: "change", numeric: true, value: ({ change }) => change, show: ({ change }) => signed(change) },
    { name: "size of the change", numeric: true, value: ({ change }) => (change === null ? null : Math.abs(change)), show: ({ change }) => signed(change === null ? null : Math.abs(change)).replace("+", "") },
  ];
}
