import { describe, expect, it } from "vitest";
import type { Host, SharedState } from "../src/host";
import { Model } from "../src/model";
import { applied, tied } from "../src/panels/sharing";
import { traits, type WidgetModel } from "../src/shells/widget";
import { createStore } from "../src/store";
import { small } from "./small";

/** anywidget's model, so far as the widget uses it; `from` is the kernel's side. */
function kernel(values: Record<string, unknown>) {
  const hears = new Map<string, (() => void)[]>();
  let saved = 0;
  const model: WidgetModel = {
    get: (name) => values[name] ?? null,
    set: (name, value) => {
      values[name] = value;
      for (const hear of hears.get(`change:${name}`) ?? []) hear();
    },
    save_changes: () => {
      saved++;
    },
    on: (event, then) => hears.set(event, [...(hears.get(event) ?? []), then]),
    off: (event, then) => hears.set(event, (hears.get(event) ?? []).filter((one) => one !== then)),
  };
  return { model, values, count: () => saved, listening: () => [...hears.values()].flat().length };
}

describe("the shared state", () => {
  it("goes out once for each change, and never for what came in", () => {
    const told: SharedState[] = [];
    let from: ((state: Partial<SharedState>) => void) | undefined;
    const host: Host = {
      kind: "notebook",
      changed: (state) => told.push(state),
      follow: (apply) => {
        from = apply;
        return () => {
          from = undefined;
        };
      },
    };
    const store = createStore(new Model(small()), host);
    const untie = tied(store);
    expect(told).toEqual([]);
    store.select("tok@1");
    store.select("tok@1");
    expect(told.map(({ selected }) => selected)).toEqual(["tok@1"]);
    from?.({ selected: "no such node", pinned: ["tok@0", "nor this"], view: "nor that", threshold: 7 });
    expect(store.selected.value).toBe("tok@1");
    expect([...store.pinned.value]).toEqual(["tok@0"]);
    expect([store.view.value, store.threshold.value <= 1]).toEqual(["graph", true]);
    untie();
    store.select(null);
    expect([told.at(-1)?.selected, from]).toEqual(["tok@1", undefined]);
  });

  it("is a notebook's traits, both ways", () => {
    const { model, values, count, listening } = kernel({ selected: "tok@1", pinned: ["tok@0"], threshold: null, groups: null });
    const host = traits(model);
    const store = createStore(new Model(small()), host);
    const untie = tied(store);
    expect([store.selected.value, [...store.pinned.value], Object.keys(store.groups.value)]).toEqual([
      "tok@1",
      ["tok@0"],
      ["Texas"],
    ]);
    store.togglePin("1/168@1");
    expect([values["pinned"], count()]).toEqual([["tok@0", "1/168@1"], 1]);
    model.set("selected", "0/12@1");
    model.set("threshold", 0.5);
    expect([store.selected.value, store.threshold.value]).toEqual(["0/12@1", 0.5]);
    store.groups.value = { both: ["tok@0", "tok@1"] };
    expect(values["groups"]).toEqual({ both: ["tok@0", "tok@1"] });
    model.set("selected", null);
    expect(store.selected.value).toBeNull();
    untie();
    expect(listening()).toBe(0);
  });

  it("is set once where it is the same", () => {
    const store = createStore(new Model(small()), { kind: "report" });
    const before = [store.pinned.value, store.groups.value];
    applied(store, { pinned: [], groups: { Texas: ["0/12@1"] } });
    expect([store.pinned.value, store.groups.value]).toEqual(before);
    expect(store.pinned.value).toBe(before[0]);
  });
});
