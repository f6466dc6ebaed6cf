import { describe, expect, it } from "vitest";
import { asked } from "../src/shells/appNew";
import { written } from "../src/shells/appTry";

function form(fields: Record<string, string>): FormData {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.set(name, value);
  return made;
}

describe("forms of the served app", () => {
  it("leave out what was left empty", () => {
    const empty = { targets: " \n", over: "", name: " ", max_features: "" };
    expect(asked(form({ prompt: "A b", choice: '["toy","neurons"]', ...empty }))).toEqual({
      prompt: "A b",
      model: "toy",
      dictionary: "neurons",
      combinations: false,
      keep_trace: false,
    });
  });

  it("take tokens with their spaces, in quotes or bare", () => {
    const said = form({ prompt: "A", choice: '["toy","toy"]', targets: '" Paris"\n London\r\n\n', over: "“ Rome”", max_features: "7", combinations: "on" });
    expect(asked(said)).toMatchObject({ targets: [" Paris", " London"], over: " Rome", max_features: 7, combinations: true });
  });

  it("write actions as the API reads them", () => {
    expect(written({ verb: "ablate", name: "Dallas:mean", amount: "3" })).toBe("ablate Dallas:mean");
    expect(written({ verb: "scale", name: "12/4051@7", amount: "2" })).toBe("scale 12/4051@7=2");
    expect(written({ verb: "set", name: "say Austin", amount: "" })).toBe("set say Austin=0");
  });
});
