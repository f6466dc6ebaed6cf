import { describe, expect, it } from "vitest";
import type { Model } from "../src/model";
import { closure, shareOfAll, strongestPaths } from "../src/paths";
import { randomModel, sample } from "./sample";

/** Every path between two nodes with its share, by walking: shares anew from the document's columns. */
function allPaths(model: Model, from: number, to: number): { rows: number[]; share: number; sign: number }[] {
  const { source, target, weight } = model.graph.edges;
  const { incoming } = model.graph.nodes;
  const found: { rows: number[]; share: number; sign: number }[] = [];
  const walk = (rows: number[], share: number, sign: number) => {
    const at = rows[rows.length - 1];
    if (at === to) {
      if (rows.length > 1) found.push({ rows, share, sign });
      return;
    }
    for (let edge = 0; edge < source.length; edge++)
      if (source[edge] === at && weight[edge] !== 0)
        walk(
          [...rows, target[edge]],
          (share * Math.abs(weight[edge])) / incoming[target[edge]],
          sign * Math.sign(weight[edge]),
        );
  };
  walk([from], 1, 1);
  return found.sort((one, other) => other.share - one.share);
}

describe("strongest paths", () => {
  it.each([1, 2, 3, 4, 5])("are those found by walking all of them (graph %i)", (seed) => {
    const model = randomModel(seed, 22, 0.3);
    const to = model.rowOf.get("logit:x") as number;
    for (const name of ["tok@0", "tok@3", "n4", "n9"]) {
      const from = model.rowOf.get(name) as number;
      const all = allPaths(model, from, to);
      const found = strongestPaths(model, from, to, 4);
      expect(found.length).toBe(Math.min(4, all.length));
      found.forEach((path, rank) => {
        expect(path.share).toBeCloseTo(all[rank].share, 12);
        expect(path.rows).toEqual(all[rank].rows);
        expect(path.sign).toBe(all[rank].sign);
      });
      expect(shareOfAll(model, from, to)).toBeCloseTo(
        all.reduce((sum, path) => sum + path.share, 0),
        10,
      );
    }
  });

  it("count what was left out of the document as input", () => {
    const model = sample([{ node: "a" }, { node: "b" }], [["a", "b", -3]], { missing: { b: 1 } });
    expect(strongestPaths(model, 0, 1)).toEqual([{ rows: [0, 1], edges: [0], share: 0.75, sign: -1 }]);
  });

  it("are none against the stream, from a node to itself, or between strangers", () => {
    const model = sample([{ node: "a" }, { node: "b" }, { node: "c" }], [["a", "b", 1]]);
    expect(strongestPaths(model, 1, 0)).toEqual([]);
    expect(strongestPaths(model, 0, 0)).toEqual([]);
    expect(strongestPaths(model, 0, 2)).toEqual([]);
    expect(strongestPaths(model, 0, -1)).toEqual([]);
  });

  it("end although the graph has a cycle, which a document should not", () => {
    const model = sample(
      [{ node: "a" }, { node: "b" }, { node: "c" }],
      [
        ["a", "b", 1],
        ["b", "c", 1],
        ["c", "b", 1],
      ],
    );
    expect(strongestPaths(model, 0, 2)).toEqual([]);
  });
});

describe("what lies up- and downstream", () => {
  it("is reached along the given edges alone", () => {
    const model = sample(
      [{ node: "a" }, { node: "b" }, { node: "c" }, { node: "d" }],
      [
        ["a", "b", 1],
        ["b", "c", 1],
        ["d", "c", 1],
        ["a", "d", 1],
      ],
    );
    const down = closure(model, 0, "down", [0, 1, 2]);
    expect([...down.rows].sort()).toEqual([0, 1, 2]);
    expect(down.edges.sort()).toEqual([0, 1]);
    const up = closure(model, 2, "up", [0, 1, 2, 3]);
    expect([...up.rows].sort()).toEqual([0, 1, 2, 3]);
    expect(up.edges.sort()).toEqual([0, 1, 2, 3]);
  });
});
