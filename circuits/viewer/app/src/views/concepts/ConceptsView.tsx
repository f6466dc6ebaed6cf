/** The graph of groups: one box a group, tokens below, the target above. */
import { signal, type Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { count, percent, short, signed } from "../../format";
import type { Store } from "../../store";
import "../../style/concepts.css";
import { Choice } from "../Choice";
import { chooseName, nodeOf } from "../Detail";
import { concepts } from "../empty";
import { called } from "../naming";
import { type Marker, Picture, sign } from "../svg";
import { fitted, SIZE, SMALL, widthOf } from "../text";
import { type ConceptGraph, conceptGraph, type End, type Flow } from "./flows";
import { GroupDetail } from "./GroupDetail";
import { type Arrow, arrows, type Box, places } from "./places";

const NAME = 190;
const WORD = 110;

interface State {
  /** The box that is looked at. */
  open: string | null;
  /** The most flows drawn besides those of that box. */
  most: number;
}

const states = new WeakMap<Store, Signal<State>>();

export function stateOf(store: Store): Signal<State> {
  const found = states.get(store) ?? signal<State>({ open: null, most: 20 });
  states.set(store, found);
  return found;
}

/** What flows are summed from, in a sentence. */
export function origins({ flows }: ConceptGraph): string {
  const run = flows.filter((flow) => flow.from === "run").length;
  const file = flows.length - run;
  const parts = [
    run ? `${count(run)} from the run's concept graph` : "",
    file ? `${count(file)} summed here from the edges of this file (those of what is in no group, and of groups made or changed by hand)` : "",
  ];
  return `${count(flows.length)} flows: ${parts.filter(Boolean).join(", ")}.`;
}

export function ConceptsView({ store }: { store: Store }) {
  const groups = store.groups.value;
  const graph = useMemo(() => conceptGraph(store.model, groups), [store.model, groups]);
  const state = stateOf(store);
  const nothing = concepts(store.model, Object.keys(groups).length);
  if (nothing) return <p class="cv-empty">{nothing}</p>;
  const number = Object.keys(groups).length;
  const end = graph.ends.find((one) => one.id === state.value.open) ?? null;
  const steps = [10, 20, 50].filter((step) => step < graph.flows.length);
  return (
    <div class="cv-p-page">
      <div class="cv-p-filters">
        <Choice
          name="Flows"
          value={String(state.value.most)}
          options={[...steps.map((step) => [String(step), `the strongest ${step}`] as const), ["100000", `all ${count(graph.flows.length)}`]]}
          change={(most) => (state.value = { ...state.value, most: Number(most) })}
        />
      </div>
      <p class="cv-p-counts">
        {count(number)} {number === 1 ? "group" : "groups"}; the bar in a box is the share of the target that passes through
        it. {origins(graph)}
      </p>
      <Boxes store={store} graph={graph} state={state} />
      {end ? (
        <GroupDetail store={store} graph={graph} end={end} />
      ) : (
        <p class="cv-p-hint">Select a group to see its nodes, the evidence for it, and what flows in and out.</p>
      )}
    </div>
  );
}

function Boxes({ store, graph, state }: { store: Store; graph: ConceptGraph; state: Signal<State> }) {
  const { model } = store;
  const { ends, flows } = graph;
  const texts = useMemo(() => new Map(ends.map((end) => [end.id, textOf(store, end)])), [store, ends]);
  const at = useMemo(() => places(model, graph, (end) => boxWidth(end, texts.get(end.id) as string)), [model, graph, texts]);
  const { open, most } = state.value;
  const mine = (flow: Flow) => open !== null && (flow.source === open || flow.target === open);
  const drawn = flows.filter((flow, place) => place < most || mine(flow));
  const largest = Math.max(...flows.map((flow) => flow.size), 1e-300);
  const lines = arrows(at, drawn);
  const byId = new Map(ends.map((end) => [end.id, end]));
  const held = store.selected.value === null ? undefined : store.groupOf.value.get(store.selected.value);
  return (
    <Picture
      label={`Concept graph: ${ends.filter((end) => end.kind === "group").length} groups, ${drawn.length} flows`}
      width={at.width}
      height={at.height}
      along="row"
      lanes={at.rows}
      place={(mark) => middle(at.boxes.get(mark) as Box)}
      says={(mark) => says(store, byId.get(mark) as End)}
      enter={(mark) => enter(store, state, byId.get(mark) as End)}
      chosen={(mark) => mark === open || (mark[0] !== "g" && mark.slice(2) === store.selected.value) || mark === `g:${held}`}
    >
      {(mark) => (
        <>
          <g aria-hidden="true">
            {lines.map((line, place) => ({ line, flow: drawn[place] })).reverse().map(({ line, flow }) => (
              <FlowArrow
                key={`${flow.source} ${flow.target}`}
                flow={flow}
                arrow={line}
                part={flow.size / largest}
                faint={open !== null && !mine(flow)}
              />
            ))}
          </g>
          {ends.map((end) => (
            <OneBox key={end.id} store={store} end={end} box={at.boxes.get(end.id) as Box} text={texts.get(end.id) as string} mark={mark} />
          ))}
        </>
      )}
    </Picture>
  );
}

const middle = (box: Box) => box.x + box.width / 2;

function enter(store: Store, state: Signal<State>, end: End): void {
  if (end.kind === "token" || end.kind === "target") return chooseName(store, end.name);
  const open = state.value.open === end.id ? null : end.id;
  state.value = { ...state.value, open };
  const what = end.kind === "other" ? "what is in no group" : `the group ${short(end.name)}`;
  const nodes = new Set(end.rows.map((row) => store.model.graph.nodes.node[row]));
  store.lit.value = open === null ? null : { nodes, edges: new Set(), what };
  store.told.value = open === null ? "No group selected" : `Selected: ${what}, ${count(end.rows.length)} nodes`;
}

export function says(store: Store, end: End): string {
  const name = short(end.kind === "group" ? end.name : called(store.model, end.name));
  if (end.kind === "token") return `the word ${name}`;
  if (end.kind === "target") return `the target ${name}`;
  const through = end.influence === null ? "" : `, ${percent(end.influence)} of the target passes through`;
  return `${end.kind === "group" ? `group ${name}` : "all that is in no group"}: ${count(end.rows.length)} nodes${through}`;
}

function textOf(store: Store, end: End): string {
  if (end.kind === "group") return fitted(end.name, NAME, SIZE, true);
  if (end.kind === "other") return "other";
  const name = store.model.graph.nodes.name[end.rows[0]];
  return fitted(name, end.kind === "token" ? WORD : NAME);
}

function boxWidth(end: End, text: string): number {
  if (end.kind === "token") return widthOf(text) + 18;
  if (end.kind === "target") return widthOf(text, SIZE, true) + 32;
  return 50 + Math.max(widthOf(text, SIZE, true), widthOf(sizeText(end), SMALL));
}

/** “34% · 423 nodes”. */
function sizeText(end: End): string {
  const share = end.influence === null ? "" : `${percent(end.influence)} · `;
  return `${share}${count(end.rows.length)} ${end.rows.length === 1 ? "node" : "nodes"}`;
}

interface BoxProps {
  store: Store;
  end: End;
  box: Box;
  text: string;
  mark: Marker;
}

function OneBox({ store, end, box, text, mark }: BoxProps) {
  const { x, y, width, height } = box;
  const centre = y + height / 2;
  const props = mark(end.id, nodeOf(store, end.name));
  if (end.kind === "token" || end.kind === "target")
    return (
      <g {...props}>
        <rect class={`cv-p-box cv-p-${end.kind}`} x={x} y={y} width={width} height={height} rx={end.kind === "token" ? 3 : 13} />
        <text x={x + width / 2} y={centre + 4} text-anchor="middle" class={end.kind === "target" ? "cv-p-bold" : ""}>
          {text}
        </text>
      </g>
    );
  const known = store.groupMarks.value.get(end.name);
  const colour = end.kind === "group" && known ? `var(--group-${known.colour})` : "var(--word)";
  const share = Math.max(0, Math.min(1, end.influence ?? 0));
  return (
    <g {...props}>
      <rect class={`cv-p-box cv-p-group-box${end.kind === "other" ? " cv-p-other" : ""}`} x={x} y={y} width={width} height={height} rx={6} />
      <rect x={x + 9} y={centre - 15} width={20} height={20} rx={4} style={{ fill: colour }} />
      <text x={x + 19} y={centre - 1} text-anchor="middle" class="cv-p-letter" aria-hidden="true">
        {end.kind === "group" ? (known?.letter ?? "") : "…"}
      </text>
      <text x={x + 36} y={centre - 5} class="cv-p-bold">
        {text}
      </text>
      <text x={x + 36} y={centre + 9} class="cv-p-small cv-muted">
        {sizeText(end)}
      </text>
      <rect class="cv-p-track" x={x + 9} y={y + height - 8} width={width - 18} height={4} rx={2} />
      <rect class="cv-p-fill" x={x + 9} y={y + height - 8} width={(width - 18) * share} height={4} rx={2} />
    </g>
  );
}

function FlowArrow({ flow, arrow, part, faint }: { flow: Flow; arrow: Arrow; part: number; faint: boolean }) {
  const { line, x, y } = arrow;
  const width = 1 + 7 * Math.sqrt(part);
  const half = 3 + width / 2;
  return (
    <g class={`${sign(flow.weight)}${faint ? " cv-p-faint" : ""}`}>
      <path class="cv-p-flow" d={line} style={{ strokeWidth: width, strokeDasharray: flow.weight < 0 ? `${5 + width} ${3 + width / 2}` : undefined }} />
      <path class="cv-p-head" d={`M${x - half},${y + 1}L${x},${y - 7}L${x + half},${y + 1}z`} />
    </g>
  );
}

/** “+3.56 in the target”, “+24% of what flows in”. */
export function flowText(flow: Flow): string {
  const into = flow.target[0];
  return into === "g" || into === "o" ? `${flow.weight > 0 ? "+" : ""}${percent(flow.weight)}` : signed(flow.weight);
}

