/**
 * The viewer as an anywidget. Traits of the Python half: `document`, and two-way `selected`, `pinned`,
 * `threshold`, `view` and `groups`; null stands for “as the viewer would”.
 */
import { render } from "preact";
import type { ViewerDocument } from "../document";
import type { Host, SharedState } from "../host";
import { Viewer } from "../Viewer";

const TRAITS = ["view", "selected", "pinned", "threshold", "groups"] as const;
type Trait = (typeof TRAITS)[number];

/** What of anywidget's model is used. */
export interface WidgetModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, then: () => void): void;
  off(event: string, then: () => void): void;
}

export function renderWidget({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const show = () => {
    render(null, el); // another document is another viewer
    const given = model.get("document") as ViewerDocument | null;
    const height = model.get("height");
    if (typeof height === "number") el.style.setProperty("--cv-height", `${height}px`);
    if (given) render(<Viewer document={given} host={traits(model)} />, el);
  };
  show();
  model.on("change:document", show);
  model.on("change:height", show);
  return () => {
    model.off("change:document", show);
    model.off("change:height", show);
    render(null, el);
  };
}

/** The state as traits of a model. */
export function traits(model: WidgetModel): Host {
  return {
    kind: "notebook",
    state: stateOf(model),
    changed(state) {
      const moved = TRAITS.filter((name) => JSON.stringify(state[name]) !== JSON.stringify(model.get(name)));
      for (const name of moved) model.set(name, state[name]);
      if (moved.length > 0) model.save_changes();
    },
    follow(apply) {
      const look = () => apply(stateOf(model));
      for (const name of TRAITS) model.on(`change:${name}`, look);
      return () => {
        for (const name of TRAITS) model.off(`change:${name}`, look);
      };
    },
  };
}

function stateOf(model: WidgetModel): Partial<SharedState> {
  const state: Partial<Record<Trait, unknown>> = {};
  for (const name of TRAITS) {
    const value = model.get(name);
    if (value !== undefined && (value !== null || name === "selected")) state[name] = value;
  }
  return state as Partial<SharedState>;
}
