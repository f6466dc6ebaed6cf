import { describe, expect, it } from "vitest";
import { layout } from "../src/layout";
import { cut, placeLabels } from "../src/views/graph/labelling";
import { randomModel, sample, type SampleNode } from "./sample";

const width = (text: string) => 6 * [...text].length;
const AREA = { width: 700, height: 600 };

describe("labels", () => {
  it("name every target, also where places are narrow", () => {
    const nodes: SampleNode[] = ["a", "b", "c", "d"].map((name) => ({ node: `logit:${name}`, kind: "logit", pos: 9 }));
    const model = sample(nodes, [], { tokens: Array.from({ length: 10 }, () => "w"), layers: 2 });
    const laid = layout(model, [0, 1, 2, 3], AREA, { slot: 26, perLine: 4 });
    const labels = placeLabels(model, laid, 1, (row) => `target number ${row}`, width);
    expect(labels.map(({ text }) => text)).toEqual([0, 1, 2, 3].map((row) => `target number ${row}`));
  });

  it.each([1, 0.6, 2])("lie over no node and no other label (scale %f)", (scale) => {
    const model = randomModel(4, 120, 0);
    const rows = Array.from({ length: model.size }, (_, row) => row);
    const laid = layout(model, rows, AREA, { slot: 50, perLine: 3 });
    const labels = placeLabels(model, laid, scale, (row) => model.graph.nodes.node[row].repeat(4), width);
    expect(labels.length).toBeGreaterThan(10);
    const boxes = labels.map(({ x, y, width }) => [x * scale, y * scale - 7, (x + width) * scale, y * scale + 7]);
    for (const { x, y, r } of laid.at.values())
      boxes.push([(x - r) * scale, (y - r) * scale, (x + r) * scale, (y + r) * scale]);
    let over = 0;
    for (let one = 0; one < labels.length; one++)
      for (let other = 0; other < boxes.length; other++) {
        const [a, b] = [boxes[one], boxes[other]];
        if (one !== other && a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]) over++;
      }
    expect(over).toBe(0);
  });

  it("are cut by whole characters, and not shown where two would not fit", () => {
    expect(cut("capital of states", 60, width)).toBe("capital o…");
    expect(cut("👩🏽‍🚀".repeat(3) + "abc", 30, width).endsWith("…")).toBe(true);
    expect(cut("capital", 12, width)).toBe("");
  });
});
