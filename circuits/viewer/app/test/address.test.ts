import { describe, expect, it } from "vitest";
import type { SharedState } from "../src/host";
import { read, written } from "../src/panels/address";

const NAMES = ["2/168@7", "tok@3", "logit:Austin", "logit: a,b&c=d#e", "%41+ +", "字", "<img>", "a\nb", '"'];

describe("the address", () => {
  it("brings back what it was written from", () => {
    let seed = 11;
    const next = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return Math.floor(seed / 65536) % below;
    };
    const some = () => NAMES.filter(() => next(2) === 0);
    for (let round = 0; round < 300; round++) {
      const state: SharedState = {
        view: ["graph", "matrix", "qk"][next(3)],
        selected: next(3) === 0 ? null : NAMES[next(NAMES.length)],
        pinned: some(),
        groups: Object.fromEntries(some().map((name) => [name, some()])),
        threshold: next(101) / 100,
      };
      const given = Object.fromEntries(some().map((name) => [name, some()]));
      const same = JSON.stringify(state.groups) === JSON.stringify(given);
      const { groups, ...rest } = state;
      expect(read(written(state, given), given)).toEqual(same ? rest : { ...rest, groups });
    }
  });

  it("is legible", () => {
    const state: SharedState = { view: "matrix", selected: "2/168@7", pinned: ["tok@7"], groups: {}, threshold: 0.9 };
    expect(written(state, {})).toBe("#view=matrix&node=2/168@7&pins=tok@7&share=0.9");
  });

  it("is no state where it is a place of the page, and what is wrong in it is left out", () => {
    expect(read("", {})).toBeNull();
    expect(read("#concepts", {})).toBeNull();
    expect(read("#view=graph&share=7&groups=[1]", {})).toEqual({ view: "graph", selected: null, pinned: [] });
    expect(read('#view=graph&groups={"a":[1]}', {})).toEqual({ view: "graph", selected: null, pinned: [] });
  });
});
