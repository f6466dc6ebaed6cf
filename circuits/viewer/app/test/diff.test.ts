import { describe, expect, it } from "vitest";
import type { DiffPart } from "../src/document";
import { changes, chosen, merge } from "../src/views/diff/merge";
import { places } from "../src/views/diff/places";
import { graphOf, modelOf, random, type SampleNode } from "./parts";

/** Two graphs at random over the same features, some only in one; tokens aligned from the end, one more in the second. */
function drawn(seed: number) {
  const next = random(seed);
  const positions: DiffPart["positions"] = [
    [null, 0],
    [0, 1],
    [1, 2],
  ];
  const graph = (shift: number, part: number) => {
    const nodes: SampleNode[] = [0, 1, 2].slice(0, 2 + shift).map((pos) => ({ node: `tok@${pos}`, kind: "token", pos, total: next() }));
    for (let layer = 0; layer < 2; layer++)
      for (let feature = 0; feature < 6; feature++)
        if (next() < part) nodes.push({ node: `${layer}/${feature}@${1 + shift}`, kind: "feature", layer, pos: 1 + shift, total: next() - 0.5 });
    nodes.push({ node: "bias:own", kind: "bias", total: next() }, { node: shift ? "logit:y" : "logit:x", kind: "logit", total: next() });
    const edges: [string, string, number][] = [];
    for (const one of nodes.filter(({ kind }) => kind !== "logit"))
      for (const other of nodes) if (((one.layer ?? -1) < (other.layer ?? -1) || other.kind === "logit") && next() < 0.5) edges.push([one.node, other.node, next() - 0.5]);
    const made = graphOf(nodes, edges);
    return { nodes, edges, graph: { ...made, tokens: ["", "a", "b"].slice(1 - shift) } };
  };
  const [first, second] = [graph(0, 0.7), graph(1, 0.7)];
  const same = (node: string) => (node === "logit:x" ? "logit:y" : node.replace(/@(\d)$/, (_, at) => `@${Number(at) + 1}`));
  const pairs = first.nodes.flatMap(({ node }, here): [number, number][] => {
    const there = second.nodes.findIndex((one) => one.node === same(node));
    return there < 0 ? [] : [[here, there]];
  });
  const change = pairs.map(([here, there]) => (second.nodes[there].total as number) - (first.nodes[here].total as number));
  const here = first.nodes.map((_, row) => (pairs.some(([one]) => one === row) ? ("both" as const) : ("only" as const)));
  const there = second.nodes.map((_, row) => (pairs.some(([, one]) => one === row) ? ("both" as const) : ("only" as const)));
  const diff: DiffPart = { positions, pairs, here, there, change, finding: [] };
  const model = modelOf(first.graph, { against: second.graph, diff });
  return { first, second, same, diff, model };
}

describe("two graphs merged", () => {
  it.each([1, 2, 3])("hold every node of either once, with both effects (seed %i)", (seed) => {
    const { first, second, same, diff, model } = drawn(seed);
    const found = merge(model, diff);
    const wanted = new Map<string, [number | null, number | null]>();
    for (const { node, total } of first.nodes) wanted.set(same(node), [total as number, 0]);
    for (const { node, total } of second.nodes) wanted.set(node, [wanted.get(node)?.[0] ?? 0, total as number]);
    const names = found.map(({ here, there }) => (there === null ? same(first.nodes[here as number].node) : second.nodes[there].node));
    expect(names.toSorted()).toEqual([...wanted.keys()].toSorted());
    found.forEach((one, place) => {
      const [a, b] = wanted.get(names[place]) as [number, number];
      expect(one.effects).toEqual([a, b]);
      expect(one.change).toBeCloseTo(b - a, 12);
      expect(one.where).toBe(one.here === null ? "second" : one.there === null ? "first" : "both");
      const pos = /@(\d)$/.exec(names[place]);
      if (pos) expect(one.column).toBe(Number(pos[1]));
    });
    expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
  });

  it("know that a node may be in the other run though not in the file", () => {
    const { diff, model } = drawn(4);
    const row = diff.here.indexOf("only");
    diff.here[row] = "unshown";
    const one = merge(model, diff).find(({ here }) => here === row);
    expect(one).toMatchObject({ where: "first shown", change: null, there: null });
    expect(one?.effects[1]).toBeNull();
    const other = diff.there.indexOf("only");
    diff.there[other] = "unshown";
    const two = merge(model, diff).find(({ here, there }) => here === null && there === other);
    expect(two).toMatchObject({ where: "second shown", change: null });
    expect(two?.effects[0]).toBeNull();
  });

  it("take the change of what is in both from the document", () => {
    const { diff, model } = drawn(4);
    diff.change[1] = 42;
    expect(merge(model, diff).find(({ here }) => here === diff.pairs[1][0])?.change).toBe(42);
  });

  it.each([5, 6])("tell of each edge its weight in either (seed %i)", (seed) => {
    const { first, second, same, diff, model } = drawn(seed);
    const all = merge(model, diff);
    const byId = new Map(all.map((one) => [one.id, one]));
    const name = (id: string) => {
      const { here, there } = byId.get(id) as (typeof all)[number];
      return there === null ? same(first.nodes[here as number].node) : second.nodes[there].node;
    };
    for (const one of all) {
      const me = name(one.id);
      const wanted = new Map<string, [number, number]>();
      const add = (key: string, side: 0 | 1, weight: number) => {
        const held = wanted.get(key) ?? [0, 0];
        held[side] += weight;
        wanted.set(key, held);
      };
      for (const [source, target, weight] of first.edges) if ([same(source), same(target)].includes(me)) add(`${same(source)} ${same(target)}`, 0, weight);
      for (const [source, target, weight] of second.edges) if ([source, target].includes(me)) add(`${source} ${target}`, 1, weight);
      const found = changes(model, all, one).map(({ source, target, weights }) => [`${name(source)} ${name(target)}`, weights] as const);
      expect(new Map(found)).toEqual(wanted);
      expect(found.length).toBe(wanted.size);
    }
  });

  it("draw what changes most, all tokens and targets, each line in its cell and none over another", () => {
    const { diff, model } = drawn(7);
    const all = merge(model, diff);
    const shown = chosen(all, 4);
    const features = shown.filter(({ kind }) => kind === "feature");
    const sizes = all.filter(({ kind }) => kind === "feature").map(({ change }) => Math.abs(change as number));
    expect(features.map(({ change }) => Math.abs(change as number))).toEqual(sizes.sort((a, b) => b - a).slice(0, 4));
    expect(shown.filter(({ kind }) => kind === "token").length).toBe(3);
    expect(shown.some(({ kind }) => kind === "bias")).toBe(false);
    const at = places(shown, [20, 20, 20]);
    expect(at.at.size).toBe(shown.length);
    expect(at.lanes.flat().toSorted()).toEqual(shown.map(({ id }) => id).toSorted());
    const spots = [...at.at].map(([id, { x, y }]) => ({ id, x, y }));
    for (const one of spots)
      for (const other of spots) if (one.id !== other.id && one.x === other.x) expect(Math.abs(one.y - other.y)).toBeGreaterThanOrEqual(17);
    for (const one of shown) {
      const band = at.bands.find(({ level }) => level === one.level) as (typeof at.bands)[number];
      const { y } = at.at.get(one.id) as { y: number };
      expect(y > band.top && y < band.top + band.height).toBe(true);
    }
    // in a pane, what is shared stands at the same height
    const pane = places(shown, [20, 20, 20], ({ here }) => here !== null);
    for (const [id, { y }] of pane.at) expect(y).toBe(at.at.get(id)?.y);
  });
});
