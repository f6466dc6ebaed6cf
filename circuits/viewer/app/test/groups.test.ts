import { describe, expect, it } from "vitest";
import { dropped, type Groups, grouped, groupFile, refused, removed, renamed, RULES } from "../src/groups";
import { Model } from "../src/model";
import { small } from "./small";

const model = new Model(small());

describe("groups", () => {
  it("hold a node once", () => {
    const before: Groups = { one: ["a", "b"], two: ["c"] };
    expect(grouped(before, "three", ["b", "c", "d"])).toEqual({ one: ["a"], three: ["b", "c", "d"] });
    expect(grouped(before, "one", ["c"])).toEqual({ one: ["a", "b", "c"] });
    expect(grouped({}, "constructor", ["a"])["constructor"]).toEqual(["a"]);
    expect(before).toEqual({ one: ["a", "b"], two: ["c"] });
  });

  it("are renamed in their place, removed, and lose nodes", () => {
    const before: Groups = { one: ["a", "b"], two: ["c"] };
    expect(Object.keys(renamed(before, "one", "first") ?? {})).toEqual(["first", "two"]);
    expect(renamed(before, "one", "two")).toBeNull();
    expect(renamed(before, "one", " ")).toBeNull();
    expect(removed(before, "one")).toEqual({ two: ["c"] });
    expect(dropped(before, "one", "a")).toEqual({ one: ["b"], two: ["c"] });
    expect(dropped(before, "two", "c")).toEqual({ one: ["a", "b"] });
  });

  it("are found by rule", () => {
    const by = Object.fromEntries(RULES.map(({ id, groups }) => [id, groups(model)]));
    expect(by["run"]).toEqual({ Texas: ["0/12@1"] });
    expect(by["label"]).toEqual({ "say a capital": ["1/168@1", "1/168@0"] });
    expect(by["feature"]).toEqual({ "feature 1/168": ["1/168@1", "1/168@0"] });
  });

  it("refuse names that would be taken for something else", () => {
    expect(refused(model, {}, "tok@0")).toContain("name of a node");
    expect(refused(model, { a: [] }, "a")).toContain("a group of this name");
    expect(refused(model, {}, " ")).toContain("needs a name");
    for (const name of ["cities", "toString", "__proto__"]) expect(refused(model, {}, name)).toBeNull();
  });

  it("go into the file that circuits group reads", () => {
    expect(JSON.parse(groupFile(model, { Texas: ["0/12@1"] }))).toEqual({
      format: "concepts",
      version: 1,
      prompt: "capital Texas",
      concepts: { Texas: { nodes: ["0/12@1"], by: "hand" } },
    });
  });
});
