/** The table every view has as its twin: sorted by click or key, a page at a time, copied or saved as CSV. */
import type { ComponentChildren } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import type { TablePart } from "../document";
import { count, short } from "../format";
import "../style/table.css";
import { useKeptFocus } from "./keptFocus";
import { csv, type Cell, type Order, sorted } from "./table";

export interface Column<Row> {
  name: string;
  /** Right aligned; sorted the largest first. */
  numeric?: boolean;
  /** What is sorted and saved: the exact value. */
  value(row: Row): Cell;
  /** What is shown; the value where absent. */
  show?(row: Row): ComponentChildren;
}

interface Props<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  /** The order to begin with; as given where absent. */
  order?: Order;
  /** The name of the saved file, without its end. */
  file?: string;
  /** Marks the row of what is selected. */
  chosen?(row: Row): boolean;
}

/** Never more rows than this in the page: a graph has tens of thousands of edges. */
export const PAGE = 200;

export function DataTable<Row>({ caption, columns, rows, order: first, file = "table", chosen }: Props<Row>) {
  const [order, setOrder] = useState<Order | null>(first ?? null);
  const [page, setPage] = useState(0);
  const held = useRef<HTMLDivElement>(null);
  useKeptFocus(held);
  const shown = useMemo(() => sorted(rows, columns, order), [rows, columns, order]);
  const last = Math.max(0, Math.ceil(shown.length / PAGE) - 1);
  const at = Math.min(page, last);
  const begin = at * PAGE;
  const sortBy = (column: number) => {
    setPage(0);
    setOrder((was) => ({
      column,
      down: was?.column === column ? !was.down : columns[column].numeric === true,
    }));
  };
  return (
    <div ref={held} class="cv-data">
      <div class="cv-data-bar">
        <span>
          {shown.length > PAGE
            ? `Rows ${count(begin + 1)}–${count(Math.min(begin + PAGE, shown.length))} of ${count(shown.length)}`
            : `${count(shown.length)} ${shown.length === 1 ? "row" : "rows"}`}
        </span>
        {last > 0 && (
          <>
            <button type="button" disabled={at === 0} onClick={() => setPage(at - 1)}>
              Previous
            </button>
            <button type="button" disabled={at === last} onClick={() => setPage(at + 1)}>
              Show more
            </button>
          </>
        )}
        <Taken name={file} text={() => csv(shown, columns)} />
      </div>
      <div class="cv-data-scroll" role="region" aria-label={caption} tabIndex={0}>
        <table>
          <caption>{caption}</caption>
          <thead>
            <tr>
              {columns.map((column, place) => (
                <Head key={place} column={column} order={order} place={place} sortBy={sortBy} />
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.slice(begin, begin + PAGE).map((row, place) => (
              <Line key={begin + place} row={row} columns={columns} chosen={chosen?.(row) ?? false} />
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** A table of the document: an answer's, a verdict's. */
export function PartTable({ part, file = "table" }: { part: TablePart; file?: string }) {
  const columns = useMemo(
    () =>
      part.columns.map((name, place) => ({
        name,
        numeric: part.numeric[place],
        value: (row: readonly Cell[]) => row[place],
      })),
    [part],
  );
  return <DataTable caption={part.caption} columns={columns} rows={part.rows} file={file} />;
}

interface HeadProps<Row> {
  column: Column<Row>;
  order: Order | null;
  place: number;
  sortBy(place: number): void;
}

function Head<Row>({ column, order, place, sortBy }: HeadProps<Row>) {
  const down = order?.column === place ? order.down : null;
  const way = down === null ? "none" : down ? "descending" : "ascending";
  return (
    <th scope="col" class={column.numeric ? "cv-number" : ""} aria-sort={way}>
      <button type="button" onClick={() => sortBy(place)}>
        {column.name}
        <span aria-hidden="true">{down === null ? "" : down ? " ▾" : " ▴"}</span>
      </button>
    </th>
  );
}

function Line<Row>({ row, columns, chosen }: { row: Row; columns: readonly Column<Row>[]; chosen: boolean }) {
  return (
    <tr class={chosen ? "cv-chosen" : ""} aria-current={chosen ? "true" : undefined}>
      {columns.map((column, place) => {
        const inside = column.show ? column.show(row) : told(column.value(row));
        const look = column.numeric ? "cv-number" : "";
        return place === 0 ? (
          <th key={place} scope="row" class={look}>
            <bdi>{inside}</bdi>
          </th>
        ) : (
          <td key={place} class={look}>
            <bdi>{inside}</bdi>
          </td>
        );
      })}
    </tr>
  );
}

/** Copies or saves what the table holds, all pages of it. */
function Taken({ name, text }: { name: string; text(): string }) {
  const [said, say] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      say("Copied");
    } catch {
      say("The browser does not allow copying here; save the file instead");
    }
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text()], { type: "text/csv;charset=utf-8" }));
    link.download = `${name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
  };
  return (
    <span class="cv-data-taken">
      <button type="button" onClick={copy}>
        Copy CSV
      </button>
      <button type="button" onClick={save}>
        Save CSV
      </button>
      <span role="status">{said}</span>
    </span>
  );
}

function told(cell: Cell): string {
  if (cell === null) return "–";
  return typeof cell === "boolean" ? (cell ? "yes" : "no") : typeof cell === "number" ? String(cell) : short(cell, 400);
}
