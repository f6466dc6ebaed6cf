import { describe, expect, it } from "vitest";
import { type Area, cellOf, layout, measure } from "../src/layout";
import type { Model } from "../src/model";
import { randomModel } from "./sample";

const AREA: Area = { width: 1200, height: 700 };
const everything = (model: Model) => Array.from({ length: model.size }, (_, row) => row);
const laid = (model: Model, rows: number[], area = AREA) => layout(model, rows, area, measure(model, rows, area));

describe("the layout", () => {
  it.each([
    [1, 12, AREA],
    [2, 80, AREA],
    [3, 400, AREA],
    [4, 80, { width: 340, height: 500 }],
    [5, 2_000, { width: 340, height: 500 }],
    [6, 60, { width: 900, height: 500 }, 70],
  ] as [number, number, Area, number?][])("lets no two nodes touch (graph %i of %i)", (seed, size, area, tokens = 5) => {
    const model = randomModel(seed, size, 0, 4, tokens);
    const points = [...laid(model, everything(model), area).at.values()];
    expect(points.length).toBe(model.size);
    let nearest = Infinity;
    for (let one = 0; one < points.length; one++)
      for (let other = 0; other < one; other++) {
        const [a, b] = [points[one], points[other]];
        nearest = Math.min(nearest, Math.hypot(a.x - b.x, a.y - b.y) - a.r - b.r);
      }
    expect(nearest).toBeGreaterThan(0);
  });

  it("puts each node in its column and its layer, tokens below and targets above", () => {
    const model = randomModel(6, 60, 0);
    const { at, columns, bands } = laid(model, everything(model));
    const { pos, layer, kind } = model.graph.nodes;
    expect(bands.map((band) => band.layer)).toEqual([4, 3, 2, 1, 0, -1]);
    for (const [row, { x, y }] of at) {
      const column = columns.find(({ left, width }) => x >= left && x < left + width);
      const band = bands.find(({ top, height }) => y >= top && y < top + height);
      expect(column?.pos).toBe(pos[row]);
      expect(band?.layer).toBe(kind[row] === "logit" ? 4 : (layer[row] ?? -1));
    }
  });

  it("orders the nodes of a cell by influence, left to right and down", () => {
    const model = randomModel(7, 200, 0);
    const { at } = laid(model, everything(model));
    const cells = new Map<string, number[]>();
    for (const row of at.keys()) {
      const { column, band } = cellOf(model, row);
      const key = `${column} ${band}`;
      cells.set(key, [...(cells.get(key) ?? []), row]);
    }
    let compared = 0;
    for (const rows of cells.values()) {
      const reading = rows.sort((one, other) => {
        const [a, b] = [at.get(one), at.get(other)];
        return (a?.y ?? 0) - (b?.y ?? 0) || (a?.x ?? 0) - (b?.x ?? 0);
      });
      const shares = reading.map((row) => model.influence(row));
      expect(shares).toEqual([...shares].sort((one, other) => other - one));
      compared += rows.length - 1;
    }
    expect(compared).toBeGreaterThan(100);
  });

  it("does not depend on the order in which nodes are given", () => {
    const model = randomModel(8, 60, 0);
    const rows = everything(model);
    const forth = laid(model, rows);
    const back = laid(model, [...rows].reverse());
    expect(rows.map((row) => back.at.get(row))).toEqual(rows.map((row) => forth.at.get(row)));
  });

  it("moves no node to another column or line where one more is pinned elsewhere", () => {
    const model = randomModel(9, 60, 0);
    const rows = everything(model);
    const given = measure(model, rows.slice(1), AREA);
    const before = layout(model, rows.slice(1), AREA, given);
    const after = layout(model, rows, AREA, given);
    for (const [row, was] of before.at) {
      const now = after.at.get(row);
      expect([now?.column, now?.band]).toEqual([was.column, was.band]);
      expect(Math.abs((now?.x ?? 0) - was.x)).toBeLessThan(given.slot + 40);
      expect(Math.abs((now?.y ?? 0) - was.y)).toBeLessThan(80);
    }
  });

  it("fills the area, and shrinks only where nodes need more", () => {
    const model = randomModel(10, 12, 0);
    const small = laid(model, everything(model));
    expect(small.width).toBeCloseTo(AREA.width, 6);
    expect(small.height).toBeCloseTo(AREA.height, 6);
    const crowded = laid(randomModel(11, 4_000, 0), Array.from({ length: 4_000 }, (_, row) => row));
    expect(crowded.width * crowded.height).toBeGreaterThan(AREA.width * AREA.height);
  });
});
