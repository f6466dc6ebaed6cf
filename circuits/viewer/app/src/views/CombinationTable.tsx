/** Combinations as a table: the twin of the pictures that show them. */
import { percent, short, signed } from "../format";
import type { Store } from "../store";
import { CHANNELS, type Combination, intervalText, KINDS } from "./combination";
import { type Column, DataTable } from "./DataTable";
import { chooseCombination } from "./Detail";
import { called } from "./naming";

interface Props {
  store: Store;
  caption: string;
  rows: readonly Combination[];
  file: string;
}

/** A row a combination; the first column selects it. */
export function CombinationTable({ store, caption, rows, file }: Props) {
  return (
    <DataTable
      caption={caption}
      columns={columns(store)}
      rows={rows}
      file={file}
      chosen={(one) => one.id === store.combination.value}
    />
  );
}

function columns(store: Store): Column<Combination>[] {
  const { model } = store;
  const { effect, index, via } = model.graph.hyperedges;
  return [
    {
      name: "combination",
      value: (one) => one.text,
      show: (one) => (
        <button
          type="button"
          class="cv-p-node"
          aria-pressed={one.id === store.combination.value}
          onClick={() => chooseCombination(store, one.row)}
        >
          <span class="cv-p-name">{short(one.text)}</span>
        </button>
      ),
    },
    { name: "kind", value: (one) => KINDS[one.kind] },
    { name: "acts on", value: (one) => one.target, show: (one) => short(called(model, one.target)) },
    { name: "interaction", numeric: true, value: (one) => one.weight, show: (one) => signed(one.weight) },
    { name: "interval", value: (one) => intervalText(model, one.row) },
    { name: "share", numeric: true, value: (one) => one.share, show: (one) => percent(one.share) },
    { name: "effect", numeric: true, value: (one) => effect[one.row], show: (one) => signed(effect[one.row]) },
    { name: "members", numeric: true, value: (one) => one.order },
    { name: "where", value: (one) => CHANNELS[one.channel] },
    { name: "index", value: (one) => index[one.row] },
    { name: "estimated", value: (one) => one.estimated },
    {
      name: "via",
      value: (one) => via[one.row].map(([name, part]) => `${name} ${part}`).join("; "),
      show: (one) => viaText(store, one.row),
    },
  ];
}

function viaText(store: Store, row: number): string {
  const { via, weight } = store.model.graph.hyperedges;
  const told = via[row].slice(0, 2).map(([name, part]) => `${short(called(store.model, name), 40)} ${percent(part / weight[row])}`);
  const more = via[row].length - told.length;
  return told.length ? told.join(", ") + (more > 0 ? ` and ${more} more` : "") : "–";
}
