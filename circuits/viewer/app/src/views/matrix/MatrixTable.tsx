import { useMemo } from "preact/hooks";
import type { MatrixPart } from "../../document";
import { count, percent } from "../../format";
import type { Store } from "../../store";
import { type Column, DataTable } from "../DataTable";
import { type Cell, cells, inside } from "./cells";

/** A row a cell of the matrix. */
export function MatrixTable({ store }: { store: Store }) {
  const matrix = store.model.graph.matrix as MatrixPart;
  const rows = useMemo(() => cells(matrix), [matrix]);
  return (
    <div class="cv-p-page">
      <DataTable
        caption="Pairs of members by the layers they stand in, each as a share of what moves the targets."
        columns={columns(store, matrix)}
        rows={rows}
        file="matrix"
      />
    </div>
  );
}

function columns(store: Store, matrix: MatrixPart): Column<Cell>[] {
  const held = (cell: Cell) => inside(store.model, matrix, cell).rows.length;
  return [
    { name: "layer", value: (cell) => matrix.layers[cell.low] },
    { name: "with layer", value: (cell) => matrix.layers[cell.high] },
    { name: "push", value: (cell) => (cell.up ? "up" : "down") },
    { name: "sum", numeric: true, value: (cell) => cell.value, show: (cell) => percent(cell.value) },
    { name: "pairs of these layers", numeric: true, value: (cell) => cell.pairs, show: (cell) => count(cell.pairs) },
    { name: "of this push in this file", numeric: true, value: held },
  ];
}
