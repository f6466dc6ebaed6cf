import { describe, expect, it } from "vitest";
import { csv, sorted } from "../src/views/table";

const columns = [
  { name: "name", value: (row: [string, number | null]) => row[0] },
  { name: 'share, "of all"', value: (row: [string, number | null]) => row[1] },
];
const rows: [string, number | null][] = [
  ["layer 10", 0.5],
  ["layer 9", null],
  ['a "b",\nc', 0.1 + 0.2],
];

describe("tables", () => {
  it("sort numbers by size and put what is unknown last, whichever way", () => {
    const names = (down: boolean) => sorted(rows, columns, { column: 1, down }).map((row) => row[0]);
    expect(names(true)).toEqual(["layer 10", 'a "b",\nc', "layer 9"]);
    expect(names(false)).toEqual(['a "b",\nc', "layer 10", "layer 9"]);
  });

  it("sort text with numbers in it as people would", () => {
    expect(sorted(rows, columns, { column: 0, down: false }).map((row) => row[0])).toEqual([
      'a "b",\nc',
      "layer 9",
      "layer 10",
    ]);
  });

  it("stay as given without an order", () => {
    expect(sorted(rows, columns, null)).toBe(rows);
  });

  it("are saved with exact numbers, quoted where they must be", () => {
    expect(csv(rows, columns)).toBe(
      'name,"share, ""of all"""\r\nlayer 10,0.5\r\nlayer 9,\r\n"a ""b"",\nc",0.30000000000000004\r\n',
    );
  });
});
