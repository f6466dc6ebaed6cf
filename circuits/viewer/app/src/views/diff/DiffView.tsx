/** Two graphs compared: one over the other, or side by side. */
import { signal, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { DiffPart } from "../../document";
import { count, short } from "../../format";
import type { Model } from "../../model";
import type { Store } from "../../store";
import "../../style/diff.css";
import { Choice } from "../Choice";
import { token } from "../naming";
import { DiffDetail } from "./DiffDetail";
import { chosen, type Merged, merge, type Where } from "./merge";
import { Pane } from "./Pane";

/** Which graph a picture is of. */
export type Side = "both" | "first" | "second";

export interface State {
  how: "merged" | "panes";
  most: number;
  open: string | null;
}

const states = new WeakMap<Store, Signal<State>>();

export function stateOf(store: Store): Signal<State> {
  const found = states.get(store) ?? signal<State>({ how: "merged", most: 40, open: null });
  states.set(store, found);
  return found;
}

/** Opens a merged node, or closes it; selects it in the graph where that has it. */
export function open(store: Store, one: Merged): void {
  const state = stateOf(store);
  const closing = state.value.open === one.id;
  state.value = { ...state.value, open: closing ? null : one.id };
  if (one.here !== null) store.select(closing ? null : store.model.graph.nodes.node[one.here]);
  store.told.value = closing ? "No node selected" : `${short(nameOf(store.model, one))} selected: ${WHERE[one.where]}`;
}

export const WHERE: Record<Where, string> = {
  both: "in both",
  first: "only in the first",
  second: "only in the second",
  "first shown": "in the first; the second has it, but not among its nodes in this file",
  "second shown": "in the second; the first has it, but not among its nodes in this file",
};

/** The graphs by the names of their runs, and by the word in which their prompts differ, if it is but one. */
export function runNames(model: Model): [string, string] {
  const other = model.against as Model;
  const { positions } = model.document.diff as DiffPart;
  const differ = positions.filter(
    ([here, there]) => here === null || there === null || model.graph.tokens[here] !== other.graph.tokens[there],
  );
  const [here, there] = differ.length === 1 ? differ[0] : [null, null];
  const named = (graph: Model, pos: number | null, otherwise: string) => {
    const run = graph.graph.name === "graph" ? "" : graph.graph.name;
    return [run, pos === null ? "" : token(graph, pos)].filter(Boolean).join(", ") || otherwise;
  };
  return [named(model, here, "the first run"), named(other, there, "the second run")];
}

/** Its name in one of the graphs, or in both: both names where they differ, as those of the two outputs do. */
export function nameOf(model: Model, one: Merged, side: Side = "both"): string {
  const first = one.here === null ? null : model.graph.nodes.name[one.here];
  const second = one.there === null ? null : (model.against as Model).graph.nodes.name[one.there];
  if (side !== "both") return (side === "first" ? first : second) ?? "";
  return first === null || second === null || first === second ? (first ?? second ?? "") : `${first} | ${second}`;
}

export function DiffView({ store }: { store: Store }) {
  const { model } = store;
  const diff = model.document.diff as DiffPart;
  const state = stateOf(store);
  const all = useMemo(() => merge(model, diff), [model, diff]);
  const shown = useMemo(() => chosen(all, state.value.most), [all, state.value.most]);
  const one = all.find(({ id }) => id === state.value.open) ?? null;
  const [first, second] = runNames(model);
  return (
    <div class="cv-p-page">
      <Finding lines={diff.finding} />
      <DiffFilters store={store} all={all} />
      <p class="cv-p-counts">{counts(all, shown)}</p>
      {state.value.how === "merged" ? (
        <>
          <p class="cv-p-counts">
            First: <bdi>{short(first)}</bdi>. Second: <bdi>{short(second)}</bdi>. Numbers: the effect on the target, second less first;
            blue where the second's is higher, orange and hatched where lower.
          </p>
          <Linked>
            <Pane store={store} shown={shown} all={all} side="both" label="Both graphs merged" />
          </Linked>
        </>
      ) : (
        <Linked>
          {(["first", "second"] as const).map((side, place) => (
            <div key={side}>
              <h3>
                {place ? "Second: " : "First: "}
                <bdi>{short(place ? second : first)}</bdi>
              </h3>
              <Pane store={store} shown={shown} all={all} side={side} label={`The ${side} graph`} />
            </div>
          ))}
        </Linked>
      )}
      {one ? (
        <DiffDetail store={store} all={all} one={one} />
      ) : (
        <p class="cv-p-hint">Select a node to see its edges in both graphs.</p>
      )}
    </div>
  );
}

/** Panes that scroll together, from where the first features stand. */
function Linked({ children }: { children: ComponentChildren }) {
  const panes = useRef<HTMLDivElement>(null);
  const scrolls = () => [...(panes.current?.querySelectorAll<HTMLElement>(".cv-p-scroll") ?? [])];
  useEffect(() => {
    const [first] = scrolls();
    const lines = [...(panes.current?.querySelectorAll(".cv-p-line") ?? [])];
    if (!first || !lines.length) return;
    const lefts = lines.map((line) => line.getBoundingClientRect().left - (line.closest("svg") as Element).getBoundingClientRect().left);
    first.scrollLeft = Math.max(0, Math.min(...lefts) - 56);
  }, []);
  const together = (event: Event) => {
    const from = event.target;
    if (!(from instanceof HTMLElement)) return;
    for (const other of scrolls()) if (Math.abs(other.scrollLeft - from.scrollLeft) > 1) other.scrollLeft = from.scrollLeft;
  };
  return (
    <div class="cv-p-panes" ref={panes} onScrollCapture={together}>
      {children}
    </div>
  );
}

/** The contrast in sentences: the first two, the others on demand. */
export function Finding({ lines }: { lines: string[] }) {
  if (!lines.length) return null;
  return (
    <div class="cv-p-finding">
      {lines.slice(0, 2).map((line) => (
        <p key={line}>
          <bdi>{short(line, 1000)}</bdi>
        </p>
      ))}
      {lines.length > 2 && (
        <details>
          <summary>The whole comparison</summary>
          {lines.slice(2).map((line) => (
            <p key={line}>
              <bdi>{short(line, 1000)}</bdi>
            </p>
          ))}
        </details>
      )}
    </div>
  );
}

function DiffFilters({ store, all }: { store: Store; all: Merged[] }) {
  const state = stateOf(store);
  const held = chosen(all, all.length).length;
  const steps = [20, 40, 100].filter((step) => step < held);
  return (
    <div class="cv-p-filters">
      <Choice
        name="Shown"
        value={state.value.how}
        options={[
          ["merged", "one over the other"],
          ["panes", "side by side"],
        ]}
        change={(how) => (state.value = { ...state.value, how: how as State["how"] })}
      />
      <Choice
        name="Nodes"
        value={String(state.value.most)}
        options={[...steps.map((step) => [String(step), `the ${step} that change most`] as const), ["100000", `all ${count(held)}`]]}
        change={(most) => (state.value = { ...state.value, most: Number(most) })}
      />
    </div>
  );
}

/** How many nodes are shown, and how many of the file are in both or in one. */
export function counts(all: readonly Merged[], shown: readonly Merged[]): string {
  const many = (where: Where) => all.filter((one) => one.where === where).length;
  const hidden = many("first shown") + many("second shown");
  const told = hidden ? `, ${count(hidden)} in both but in this file only of one` : "";
  return `${count(shown.length)} of ${count(all.length)} nodes in this file: ${count(many("both"))} in both, ${count(many("first"))} only in the first, ${count(many("second"))} only in the second${told}.`;
}
