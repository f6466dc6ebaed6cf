import { describe, expect, it } from "vitest";
import { conceptGraph, type Flow, passing } from "../src/views/concepts/flows";
import { arrows, places } from "../src/views/concepts/places";
import { graphOf, modelOf, random, type SampleNode } from "./parts";

/** A layered graph at random: two tokens, three layers of features, one target; influence is what arrives. */
function drawn(seed: number) {
  const next = random(seed);
  const nodes: SampleNode[] = [
    { node: "tok@0", kind: "token", pos: 0 },
    { node: "tok@1", kind: "token", pos: 1 },
    { node: "bias:own", kind: "bias" },
    ...[0, 1, 2].flatMap((layer) =>
      [0, 1, 2].map((one) => ({ node: `${layer}/${one}@1`, kind: "feature" as const, layer, pos: 1, pre: next() - 0.3 })),
    ),
    { node: "logit:x", kind: "logit", pos: 1 },
  ];
  const depth = (one: SampleNode) => (one.kind === "logit" ? 9 : (one.layer ?? -1));
  const edges: [string, string, number][] = [];
  for (const one of nodes)
    for (const other of nodes)
      if (depth(one) < depth(other) && next() < 0.6) edges.push([one.node, other.node, next() - 0.4]);
  const graph = graphOf(nodes, edges);
  graph.nodes.influence = nodes.map(({ node }) => walks(graph.nodes.incoming, nodes, edges, node, () => true));
  return { nodes, edges, graph };
}

/** Brute force: the sum over all paths from a node to the target of the products of their shares. */
function walks(
  incoming: number[],
  nodes: SampleNode[],
  edges: [string, string, number][],
  from: string,
  allowed: (node: string) => boolean,
): number {
  if (from === "logit:x") return 1;
  return edges
    .filter(([source, target]) => source === from && allowed(target))
    .reduce((sum, [, target, weight]) => {
      const flow = incoming[nodes.findIndex(({ node }) => node === target)];
      return sum + (Math.abs(weight) / flow) * walks(incoming, nodes, edges, target, allowed);
    }, 0);
}

describe("what passes through a group", () => {
  it.each([1, 2, 3, 4])("counts every path once, at its last member (seed %i)", (seed) => {
    const { nodes, edges, graph } = drawn(seed);
    const model = modelOf(graph);
    const group = ["0/0@1", "0/1@1", "1/1@1", "2/2@1"];
    const wanted = group.reduce((sum, node) => sum + walks(graph.nodes.incoming, nodes, edges, node, (one) => !group.includes(one)), 0);
    const rows = group.map((node) => model.rowOf.get(node) as number);
    expect(passing(model, rows)).toBeCloseTo(wanted, 12);
    expect(passing(model, [...rows, model.rowOf.get("logit:x") as number])).toBe(1);
    const single = model.rowOf.get("1/1@1") as number;
    expect(passing(model, [single])).toBeCloseTo(graph.nodes.influence[single] as number, 12);
  });
});

describe("the graph of groups", () => {
  const groups = { low: ["0/0@1", "0/1@1"], high: ["1/1@1", "2/0@1"] };

  it.each([5, 6, 7])("sums edges as the concept graph does, pair by pair (seed %i)", (seed) => {
    const { nodes, edges, graph } = drawn(seed);
    const model = modelOf(graph);
    const { ends, flows } = conceptGraph(model, groups);
    const endOf = (node: string) =>
      node === "bias:own" ? null : groups.low.includes(node) ? "g:low" : groups.high.includes(node) ? "g:high" : node === "logit:x" ? "t:logit:x" : node.startsWith("tok") ? `w:${node}` : "o:";
    const rest = nodes.filter(({ node }) => endOf(node) === "o:").map(({ node }) => node);
    const members: Record<string, string[]> = { "g:low": groups.low, "g:high": groups.high, "o:": rest };
    const through = (id: string) =>
      members[id].reduce((sum, node) => sum + walks(graph.nodes.incoming, nodes, edges, node, (one) => !members[id].includes(one)), 0);
    const sums = new Map<string, number>();
    for (const [source, target, weight] of edges) {
      const [from, to] = [endOf(source), endOf(target)];
      if (from === null || to === null || from === to) continue;
      const row = nodes.findIndex(({ node }) => node === target);
      const unit = members[to]
        ? (Math.sign(graph.nodes.pre_activation[row] as number) * (graph.nodes.influence[row] as number)) / (graph.nodes.incoming[row] * through(to))
        : 1;
      sums.set(`${from} ${to}`, (sums.get(`${from} ${to}`) ?? 0) + weight * unit);
    }
    const found = new Map(flows.map((flow) => [`${flow.source} ${flow.target}`, flow.weight]));
    for (const [pair, value] of sums) expect(found.get(pair) ?? 0).toBeCloseTo(value, 10);
    expect(found.size).toBeLessThanOrEqual(sums.size);
    expect(ends.map(({ id }) => id).toSorted()).toEqual(["g:high", "g:low", "o:", "t:logit:x", "w:tok@0", "w:tok@1"]);
    const sizes = flows.map(({ size }) => size);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
  });

  it("takes the run's flows between what is as it was, and sums those of groups that were changed", () => {
    const { graph } = drawn(8);
    graph.concepts = [
      { name: "low", nodes: groups.low, origin: "found", influence: 0.5, total: 1, evidence: [] },
      { name: "high", nodes: ["2/0@1"], origin: "found", influence: 0.25, total: 1, evidence: [] },
    ];
    graph.concept_edges = [
      { source: "low", target: "logit:x", weight: 0.125 },
      { source: "low", target: "high", weight: 99 },
    ];
    const { ends, flows } = conceptGraph(modelOf(graph), groups);
    const run = flows.filter(({ from }) => from === "run");
    expect(run.map(({ source, target, weight }: Flow) => [source, target, weight])).toEqual([["g:low", "t:logit:x", 0.125]]);
    expect(flows.every(({ weight }) => Math.abs(weight) < 99)).toBe(true);
    expect(ends.find(({ id }) => id === "g:low")?.influence).toBe(0.5);
    expect(ends.find(({ id }) => id === "g:high")?.concept).toBeNull();
  });

  it("lays boxes apart, targets above, tokens below, and arrows on their boxes", () => {
    const model = modelOf(drawn(9).graph);
    const graph = conceptGraph(model, groups);
    const placed = places(model, graph, () => 60);
    const boxes = [...placed.boxes.values()];
    boxes.forEach((one, i) => {
      expect(one.x).toBeGreaterThanOrEqual(0);
      expect(one.x + one.width).toBeLessThanOrEqual(placed.width);
      expect(one.y + one.height).toBeLessThanOrEqual(placed.height);
      for (const other of boxes.slice(0, i)) {
        const apart = one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;
        expect(apart).toBe(true);
      }
    });
    expect(placed.rows[0]).toEqual(["t:logit:x"]);
    expect(placed.rows.at(-1)).toEqual(["w:tok@0", "w:tok@1"]);
    expect(placed.rows.flat().toSorted()).toEqual(graph.ends.map(({ id }) => id).toSorted());
    arrows(placed, graph.flows).forEach(({ x }, place) => {
      const box = placed.boxes.get(graph.flows[place].target);
      expect(box && x >= box.x && x <= box.x + box.width).toBe(true);
    });
  });
});
