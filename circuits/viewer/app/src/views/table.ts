/** Sorting and saving of tables, apart from how they look. */

export type Cell = string | number | boolean | null;

export interface Order {
  column: number;
  /** The largest, or the last of the alphabet, first. */
  down: boolean;
}

interface Valued<Row> {
  name: string;
  value(row: Row): Cell;
}

const words = new Intl.Collator("en", { numeric: true });

/** Rows in an order; equal ones as they were, and what is unknown always last. */
export function sorted<Row>(
  rows: readonly Row[],
  columns: readonly Valued<Row>[],
  order: Order | null,
): readonly Row[] {
  const column = order && columns[order.column];
  if (!column) return rows;
  const way = order.down ? -1 : 1;
  const keyed = rows.map((row) => ({ row, key: column.value(row) }));
  keyed.sort((one, other) => {
    if (one.key === null || other.key === null) return Number(one.key === null) - Number(other.key === null);
    return way * compared(one.key, other.key);
  });
  return keyed.map(({ row }) => row);
}

/** RFC 4180: a head, a record a line, quotes doubled; numbers exact. */
export function csv<Row>(rows: readonly Row[], columns: readonly Valued<Row>[]): string {
  const lines = [columns.map((column) => field(column.name))];
  for (const row of rows) lines.push(columns.map((column) => field(column.value(row))));
  return `${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
}

function compared(one: string | number | boolean, other: string | number | boolean): number {
  if (typeof one === "string" && typeof other === "string") return words.compare(one, other);
  return Number(one) - Number(other);
}

function field(cell: Cell): string {
  const text = cell === null ? "" : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
