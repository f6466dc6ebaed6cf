import { describe, expect, it } from "vitest";
import { ACTIONS } from "../src/keys";
import { placeOf, shareAt } from "../src/panels/Sliders";

describe("keys", () => {
  it("mean one thing each, and say what", () => {
    const keys = ACTIONS.flatMap(({ key }) => (key ? [key] : []));
    expect(keys).toEqual([...new Set(keys)]);
    expect(ACTIONS.filter(({ says, shown }) => says === "" || shown === "")).toEqual([]);
    expect(ACTIONS.filter(({ key, run }) => Boolean(key) !== Boolean(run))).toEqual([]);
  });

  it("are there for every action that was promised one", () => {
    const keys = new Set(ACTIONS.map(({ key, shown }) => key ?? shown));
    for (const promised of ["← → ↑ ↓", "Enter", "p", "g", "/", "i", "[", "]", "t", "1", "escape", "?"])
      expect(keys).toContain(promised);
  });

  it("need no modifier but for characters that lie so", () => {
    expect(ACTIONS.flatMap(({ key }) => (key ? [key] : [])).filter((key) => key !== key.toLowerCase())).toEqual([]);
  });
});

describe("the edge slider", () => {
  it("goes from nothing to everything, and comes back where it was", () => {
    expect([shareAt(0), shareAt(100), placeOf(1), placeOf(0)]).toEqual([1, 0, 0, 100]);
    for (let place = 0; place <= 100; place++) expect(placeOf(shareAt(place))).toBe(place);
    for (let place = 1; place <= 100; place++) expect(shareAt(place)).toBeLessThan(shareAt(place - 1));
  });
});
