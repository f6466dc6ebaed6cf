import { describe, expect, it } from "vitest";
import { ALL, combinations, intervalText, valueText } from "../src/views/combination";
import { places } from "../src/views/hyperedges/places";
import { cells, inside } from "../src/views/matrix/cells";
import { attention, called, token } from "../src/views/naming";
import { grid, heads, sides } from "../src/views/qk/scores";
import { first, type Lanes, step } from "../src/views/roving";
import { fitted, widthOf } from "../src/views/text";
import { upset } from "../src/views/upset/columns";
import { graphOf, modelOf, random, type SampleHyperedge, type SampleNode } from "./parts";

const NODES: SampleNode[] = [
  { node: "tok@0", kind: "token", pos: 0 },
  { node: "tok@1", kind: "token", pos: 1 },
  { node: "0/1@0", kind: "feature", layer: 0, pos: 0 },
  { node: "0/2@2", kind: "feature", layer: 0, pos: 2 },
  { node: "1/3@1", kind: "feature", layer: 1, pos: 1 },
  { node: "2/4@2", kind: "feature", layer: 2, pos: 2 },
  { node: "logit:x", kind: "logit", pos: 2 },
];
const any = { channel: ALL, order: ALL, kind: ALL, most: 1000 };

/** Pairs and triples at random, of every kind and channel. */
function drawn(seed: number, count: number): SampleHyperedge[] {
  const next = random(seed);
  const sources = NODES.slice(0, 6).map(({ node }) => node);
  const pick = <T>(all: readonly T[]) => all[Math.floor(next() * all.length)];
  return Array.from({ length: count }, () => {
    const members = [...new Set([pick(sources), pick(sources), pick(sources)])].slice(0, 1 + Math.ceil(2 * next()));
    const weight = Math.round(40 * (next() - 0.5)) / 10;
    return {
      members,
      weight,
      target: pick(["logit:x", "1/3@1", "score:0.1@2,0", "score:0.1@2,1", "score:1.0@1,0", "odds:0.1@2,1-0"]),
      share: next() < 0.2 ? null : next(),
      gate: pick(["and", "or", "inhibit", "xor", "additive", "other", null] as const),
      channel: pick(["output", "mlp", "qk"] as const),
    };
  });
}

describe("combinations", () => {
  const model = modelOf(graphOf(NODES, [], drawn(1, 60)));
  const { hyperedges } = model.graph;

  it("of order 1 or weight 0 are none; the others are all there, by share, unknown ones last", () => {
    const { shown, passing } = combinations(model, any);
    const wanted = hyperedges.order.flatMap((order, row) => (order >= 2 && hyperedges.weight[row] !== 0 ? [row] : []));
    expect(wanted.length).toBeLessThan(60);
    expect([...shown].map(({ row }) => row).sort((a, b) => a - b)).toEqual(wanted);
    expect(passing).toBe(wanted.length);
    const shares = shown.map(({ share }) => share);
    const known = shares.filter((share) => share !== null);
    expect(shares.slice(0, known.length)).toEqual([...known].sort((a, b) => (b as number) - (a as number)));
  });

  it.each([
    [{ channel: "qk" }, (row: number) => hyperedges.channel[row] === "qk"],
    [{ order: "3" }, (row: number) => hyperedges.order[row] === 3],
    [{ kind: "undecided" }, (row: number) => hyperedges.gate[row] === null],
    [{ kind: "xor", channel: "mlp" }, (row: number) => hyperedges.gate[row] === "xor" && hyperedges.channel[row] === "mlp"],
  ])("pass the filter %o one by one", (filter, holds) => {
    const rows = combinations(model, { ...any, ...filter }).shown.map(({ row }) => row);
    const all = combinations(model, any).shown.map(({ row }) => row);
    expect(rows).toEqual(all.filter(holds));
  });

  it("are in the target's units where all act on one, else shares with the weight's sign", () => {
    const pairs: SampleHyperedge[] = [
      { members: ["tok@0", "tok@1"], target: "logit:x", weight: -4, share: 0.2, low: -5, high: -2 },
      { members: ["tok@0", "0/1@0"], target: "logit:x", weight: 2, share: 0.1 },
    ];
    const alone = combinations(modelOf(graphOf(NODES, [], pairs)), any);
    expect(alone.relative).toBe(false);
    expect(alone.shown.map(({ value, low, high }) => [value, low, high])).toEqual([
      [-4, -5, -2],
      [2, 2, 2],
    ]);
    const mixed = combinations(modelOf(graphOf(NODES, [], [pairs[0], { ...pairs[1], target: "1/3@1" }])), any);
    expect(mixed.relative).toBe(true);
    expect(mixed.shown[0].value).toBeCloseTo(-0.2);
    expect([mixed.shown[0].low, mixed.shown[0].high]).toEqual([-0.25, -0.1]);
    expect(valueText(mixed.shown[0], true)).toBe("−20%");
    expect(intervalText(modelOf(graphOf(NODES, [], pairs)), 0)).toBe("−5.00 to −2.00");
  });

  it("have names and diamonds apart from one another, whatever their number", () => {
    const { shown } = combinations(model, any);
    const at = places(model, shown);
    for (const heights of [at.members, at.diamonds, at.targets].map((all) => [...all.values()].sort((a, b) => a - b)))
      heights.forEach((height, place) => {
        if (place) expect(height - heights[place - 1]).toBeGreaterThanOrEqual(22);
        expect(height).toBeGreaterThan(0);
        expect(height).toBeLessThan(at.height);
      });
    expect(new Set(at.members.keys())).toEqual(new Set(shown.flatMap(({ members }) => members)));
  });
});

describe("the UpSet plot", () => {
  it("has a column for each combination of known share, a row for each member and target, in order of mention", () => {
    const model = modelOf(graphOf(NODES, [], drawn(2, 40)));
    const plot = upset(model, any);
    expect(plot.relative).toBe(true);
    const wanted = combinations(model, any).shown.filter(({ share }) => share !== null);
    expect(plot.columns.map(({ id }) => id)).toEqual(wanted.map(({ id }) => id));
    const mentioned: string[] = [];
    for (const { members } of wanted) for (const one of members) if (!mentioned.includes(one)) mentioned.push(one);
    expect(plot.members).toEqual(mentioned);
    expect(plot.targets.toSorted()).toEqual([...new Set(wanted.map(({ target }) => target))].toSorted());
  });
});

describe("the matrix", () => {
  it("has a cell for each sum that is not 0, above the diagonal what pushes up", () => {
    const matrix = {
      layers: ["words", "L0", "L3"],
      up: [[1], [0, 2], [3, 0, 0]],
      down: [[0.5], [4, 0], [0, 0, 6]],
      pairs: [[9], [8, 7], [6, 0, 4]],
    };
    const found = cells(matrix).map(({ x, y, up, value, pairs }) => [x, y, up, value, pairs]);
    expect(found).toEqual([
      [0, 0, true, 1, 9],
      [0, 0, false, 0.5, 9],
      [1, 0, false, 4, 8],
      [1, 1, true, 2, 7],
      [0, 2, true, 3, 6],
      [2, 2, false, 6, 4],
    ]);
  });

  it("finds in each cell the pairs with a member, or part of a concept, in each of its layers", () => {
    const pairs = drawn(3, 80).filter(({ weight }) => weight !== 0);
    pairs.push({ members: ["both", "1/3@1"], target: "logit:x", weight: 1, share: 0.5 });
    const players = { both: ["tok@0", "2/4@2"] };
    const size = (fill: number) => Array.from({ length: 4 }, (_, row) => Array.from({ length: row + 1 }, () => fill));
    const matrix = { layers: ["words", "L0", "L1", "L2"], up: size(1), down: size(1), pairs: size(1) };
    const model = modelOf(graphOf(NODES, [], pairs, { players, matrix }));
    const level: Record<string, string[]> = { both: ["words", "L2"] };
    for (const { node, layer } of NODES) level[node] = [layer === undefined ? "words" : `L${layer}`];
    let all = 0;
    for (const cell of cells(matrix)) {
      const ends = [matrix.layers[cell.low], matrix.layers[cell.high]];
      const wanted = pairs.flatMap(({ members, weight, share }, row) => {
        if (members.length !== 2 || !share || weight > 0 !== cell.up) return [];
        const met = level[members[0]].some((one) => level[members[1]].some((other) => [one, other].toSorted().join() === ends.toSorted().join()));
        return met ? [row] : [];
      });
      expect([...inside(model, matrix, cell).rows].sort((a, b) => a - b)).toEqual(wanted);
      all += wanted.length;
    }
    expect(all).toBeGreaterThan(20);
  });
});

describe("query and key", () => {
  const rows = drawn(4, 80);
  const model = modelOf(graphOf(NODES, [], rows));

  it("groups what acts on scores by head and score, each once", () => {
    const wanted = new Map<string, number[]>();
    rows.forEach(({ channel, target }, row) => {
      if (channel === "qk" && /^(score|odds):/.test(target)) wanted.set(target, [...(wanted.get(target) ?? []), row]);
    });
    const found = heads(model).flatMap(({ name, scores }) => scores.map((score) => [name, score] as const));
    expect(found.length).toBe(wanted.size);
    for (const [name, { target, rows: held }] of found) {
      expect(target.split(/[:@]/)[1]).toBe(name);
      expect([...held].sort((a, b) => a - b)).toEqual(wanted.get(target));
      const sizes = held.map((row) => Math.abs(rows[row].weight));
      expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    }
  });

  it("lays a head's scores on a grid of queries by keys, log-odds after scores", () => {
    const head = heads(model).find(({ name }) => name === "0.1");
    expect(head && grid(head)).toEqual({ queries: [2], keys: [[0, null], [1, null], [1, 0]] });
  });

  it("puts the member at the query first", () => {
    const at = attention("score:0.1@2,0");
    const swapped = modelOf(graphOf(NODES, [], [{ members: ["tok@0", "2/4@2"], target: "score:0.1@2,0", weight: 1, channel: "qk" }]));
    expect(at && sides(swapped, 0, at)).toEqual({ query: "2/4@2", others: ["tok@0"] });
    expect(called(swapped, "odds:0.1@2,1-0")).toBe("log-odds in head 0.1, \" c\" → \" b\" over \"a\"");
    expect(token(modelOf(graphOf(NODES, [], [], { tokens: ["a", " b", "a"] })), 2)).toBe('"a"@2');
  });
});

describe("arrows", () => {
  it("reach every mark from the first, and lead nowhere from the edges", () => {
    const next = random(5);
    for (const along of ["row", "column"] as const) {
      const lanes = Array.from({ length: 6 }, (_, lane) => Array.from({ length: Math.floor(next() * 5) }, (_, i) => `${lane}.${i}`));
      const where = new Map(lanes.flat().map((mark) => [mark, next()]));
      const all: Lanes = { along, lanes, place: (mark) => where.get(mark) as number };
      const reached = new Set([first(all) as string]);
      for (const mark of reached)
        for (const key of ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]) {
          const to = step(all, mark, key);
          if (to !== null) reached.add(to);
        }
      expect(reached).toEqual(new Set(lanes.flat()));
      expect(step(all, first(all) as string, along === "row" ? "ArrowLeft" : "ArrowUp")).toBeNull();
      expect(step(all, first(all) as string, "a")).toBeNull();
      const [before, after] = along === "row" ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
      const lane = (mark: string) => lanes.findIndex((held) => held.includes(mark));
      for (const mark of lanes.flat())
        for (const [key, way] of [[before, -1], [after, 1]] as const) {
          const to = step(all, mark, key);
          if (to !== null) expect(Math.sign(lane(to) - lane(mark))).toBe(way);
          // across lanes no mark of the other lane is nearer
          const gap = (one: string) => Math.abs((where.get(one) as number) - (where.get(mark) as number));
          if (to !== null) expect(Math.min(...lanes[lane(to)].map(gap))).toBe(gap(to));
        }
    }
  });
});

describe("texts in pictures", () => {
  it("are cut to the width, however long, and show what has no shape", () => {
    const cut = fitted("x".repeat(10_000), 100);
    expect(widthOf(cut)).toBeLessThanOrEqual(100);
    expect(cut).toMatch(/^x{5,}…$/);
    expect(fitted("short", 100)).toBe("short");
    expect(fitted("a\u202eb", 100)).not.toContain("\u202e");
  });
});
