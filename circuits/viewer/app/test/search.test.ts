import { describe, expect, it } from "vitest";
import { Model } from "../src/model";
import { Search } from "../src/panels/search";
import { small } from "./small";

const search = new Search(new Model(small()));
const found = (query: string) => search.find(query).map(({ node }) => node);

describe("the search", () => {
  it("finds a node by its name, and a feature at all its positions", () => {
    expect(found("tok@1")).toEqual(["tok@1"]);
    expect(found("1/168@0")[0]).toBe("1/168@0");
    expect(found("1/168")).toEqual(["1/168@1", "1/168@0"]);
    expect(found("0/12")).toEqual(["0/12@1"]);
  });

  it("finds by label, token, concept and output, whole, in part and misspelt", () => {
    expect(found("say")).toEqual(["1/168@1", "1/168@0"]);
    expect(found("Texas")).toEqual(expect.arrayContaining(["tok@1", "0/12@1"]));
    expect(found("tex")).toContain("0/12@1");
    expect(found("capitol")).toContain("1/168@1");
    expect(found("word texas")).toEqual(["0/12@1"]);
  });

  it("finds by what a card promotes", () => {
    expect(found("boston").sort()).toEqual(["1/168@0", "1/168@1"]);
    expect(found("Austin")[0]).toBe("logit:Austin");
  });

  it("finds nothing where there is nothing", () => {
    for (const query of ["", "  ", "zebra", "9/999", "@", "((("]) expect(found(query)).toEqual([]);
  });

  it("finds marks and empty names, and is not led astray by them", () => {
    const told = small();
    told.graph.tokens = [".", "constructor"];
    told.graph.nodes.name = ["", ".", "<img src=x>", "a".repeat(10_000), "\u202e", "__proto__", "}"];
    const odd = new Search(new Model(told));
    expect(odd.find(".").map(({ node }) => node)).toContain("tok@1");
    expect(odd.find("img").map(({ node }) => node)).toEqual(["0/12@1"]);
    expect(odd.find("__proto__").length).toBeGreaterThan(0);
    expect(odd.find("constructor").length).toBeGreaterThan(0);
    expect(odd.find("a".repeat(300)).map(({ node }) => node)).toContain("1/168@1");
  });
});
