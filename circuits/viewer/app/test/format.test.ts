import { describe, expect, it } from "vitest";
import { short, shown } from "../src/format";

describe("shown", () => {
  it.each([
    ["", "⟨empty⟩"],
    [" ", "␣"],
    ["   ", "␣␣␣"],
    [" Dallas", " Dallas"],
    ["line\nbreak\ttab\r\n", "line⏎break⇥tab␍⏎"],
    ["\u001b[31mred\u0000\u007f\u0085", "␛[31mred␀␡⟨U+0085⟩"],
    ["\u202edrow a sa\u202c \u2066isolated\u2069", "⟨RLO⟩drow a sa⟨PDF⟩ ⟨LRI⟩isolated⟨PDI⟩"],
    ["\ud7ff\ufffe\u2028\u2029", "\ud7ff⟨U+FFFE⟩⟨LS⟩⟨PS⟩"],
    ["a\ud800b", "a⟨U+D800⟩b"],
    ["\u{e0041}\u{1ffff}\ufeff", "⟨U+E0041⟩⟨U+1FFFF⟩⟨BOM⟩"],
    ["<b>&amp;", "<b>&amp;"],
    ["می‌خواهم 👩‍🚀 \ufffd", "می‌خواهم 👩‍🚀 \ufffd"],
  ])("%j is %j", (text, expected) => expect(shown(text)).toBe(expected));

  it("leaves no character of control or direction, whatever comes", () => {
    let seed = 7;
    const next = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % below;
    };
    const traps = ["\u0000", "\u001b", "\u202e", "\u2066", "\u2028", "\u0085", "\udc00", "\ufeff", " ", "x", "字"];
    for (let round = 0; round < 500; round++) {
      const text = Array.from({ length: next(12) }, () => traps[next(traps.length)]).join("");
      expect(shown(text)).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]|\p{Surrogate}/u);
      expect(shown(text)).not.toBe("");
    }
  });
});

describe("short", () => {
  it("cuts a long text and says so", () => {
    expect(short("a".repeat(10_000), 10)).toBe(`${"a".repeat(9)}…`);
    expect([...short("👩".repeat(100), 10)]).toHaveLength(10);
    expect(short("Dallas", 6)).toBe("Dallas");
  });
});
