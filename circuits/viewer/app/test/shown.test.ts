import { describe, expect, it } from "vitest";
import { createStore, edgeKey } from "../src/store";
import { edgesOf, initialThreshold, shownCombinations, shownEdges, shownRows } from "../src/shown";
import { randomModel, sample } from "./sample";

const four = () =>
  sample(
    [
      { node: "tok@0", kind: "token", pos: 0, influence: 0.1 },
      { node: "a", layer: 0, pos: 0, influence: 0.5 },
      { node: "b", layer: 0, pos: 0, influence: 0.3 },
      { node: "c", layer: 0, pos: 0, influence: 0.1 },
      { node: "bias:own", kind: "bias", influence: 0 },
      { node: "logit:x", kind: "logit", pos: 0 },
    ],
    [
      ["tok@0", "a", 1],
      ["a", "logit:x", 6],
      ["b", "logit:x", -3],
      ["c", "logit:x", 1],
    ],
    {
      combinations: [
        { members: ["a", "b"], target: "logit:x", share: 0.1, gate: "additive" },
        { members: ["a", "b"], target: "logit:x", share: 0.02, gate: "and" },
        { members: ["a", "c"], target: "logit:x", share: 0.2, gate: "or" },
        { members: ["a"], target: "logit:x", share: 0.9 },
      ],
    },
  );

describe("what is shown", () => {
  it("is nodes by influence until the threshold is reached, tokens and targets besides", () => {
    const model = four();
    const names = (threshold: number, kept: string[] = []) =>
      [...shownRows(model, threshold, kept)].map((row) => model.graph.nodes.node[row]).sort();
    expect(names(0)).toEqual(["logit:x", "tok@0"]);
    expect(names(0.5)).toEqual(["a", "logit:x", "tok@0"]);
    expect(names(0.51)).toEqual(["a", "b", "logit:x", "tok@0"]);
    expect(names(0.5, ["c", "nowhere"])).toEqual(["a", "c", "logit:x", "tok@0"]);
    expect(names(1)).toEqual(["a", "b", "bias:own", "c", "logit:x", "tok@0"]);
  });

  it("is edges between shown nodes that make up enough of their target's input", () => {
    const model = four();
    const all = shownRows(model, 1, []);
    expect(shownEdges(model, all, 0.3)).toEqual([0, 1, 2]);
    expect(shownEdges(model, all, 0.31)).toEqual([0, 1]);
    expect(shownEdges(model, shownRows(model, 0.5, []), 0)).toEqual([0, 1]);
    expect(edgesOf(model, all, 5, 2)).toEqual([1, 2]);
  });

  it("is combinations of two or more whose members and target are shown, the merely additive last", () => {
    const model = four();
    expect(shownCombinations(model, shownRows(model, 1, []))).toEqual([2, 1, 0]);
    expect(shownCombinations(model, shownRows(model, 0.6, []))).toEqual([1, 0]);
  });

  it("begins with about as many nodes as a screen holds", () => {
    const model = randomModel(3, 500, 0.02);
    const rows = shownRows(model, initialThreshold(model), []);
    expect(rows.size).toBeGreaterThanOrEqual(50);
    expect(rows.size).toBeLessThan(65);
  });
});

describe("the store", () => {
  it("shows what is selected, pinned or lit whatever the thresholds", () => {
    const store = createStore(four(), { kind: "report", state: { threshold: 0.5 } });
    store.edgeThreshold.value = 0.9;
    expect(store.visible.value.size).toBe(3);
    expect(store.visibleEdges.value).toEqual([0]);
    store.select("c");
    expect(store.visible.value.size).toBe(4);
    expect(store.visibleEdges.value).toEqual([0, 3]);
    store.select(null);
    store.togglePin("c");
    store.lit.value = { nodes: new Set(["b", "logit:x"]), edges: new Set([edgeKey("b", "logit:x")]), what: "b" };
    expect(store.visible.value.size).toBe(5);
    expect(store.visibleEdges.value).toEqual([0, 2]);
    store.togglePin("c");
    store.lit.value = null;
    expect(store.visible.value).toBe(store.steady.value);
  });

  it("draws no combinations where they are switched off", () => {
    const store = createStore(four(), { kind: "report", state: { threshold: 1 } });
    expect(store.visibleCombinations.value).toEqual([2, 1, 0]);
    store.interactions.value = false;
    expect(store.visibleCombinations.value).toEqual([]);
  });
});
