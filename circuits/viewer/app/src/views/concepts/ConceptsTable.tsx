import { useMemo } from "preact/hooks";
import { count, percent, short } from "../../format";
import type { Store } from "../../store";
import { type Column, DataTable } from "../DataTable";
import { chooseName } from "../Detail";
import { concepts } from "../empty";
import { called } from "../naming";
import { origins, stateOf } from "./ConceptsView";
import { type ConceptGraph, conceptGraph, type End, type Flow } from "./flows";
import { flowText } from "./ConceptsView";
import { GroupDetail } from "./GroupDetail";

/** Boxes in one table, the flows between them in another. */
export function ConceptsTable({ store }: { store: Store }) {
  const groups = store.groups.value;
  const graph = useMemo(() => conceptGraph(store.model, groups), [store.model, groups]);
  const state = stateOf(store);
  const nothing = concepts(store.model, Object.keys(groups).length);
  if (nothing) return <p class="cv-empty">{nothing}</p>;
  const open = graph.ends.find((end) => end.id === state.value.open) ?? null;
  return (
    <div class="cv-p-page">
      <DataTable
        caption="Groups, what is in none, tokens and targets. Influence: the share of the target that passes through."
        columns={boxes(store, (id) => (state.value = { ...state.value, open: state.value.open === id ? null : id }))}
        rows={graph.ends}
        file="groups"
        chosen={(end) => end.id === state.value.open}
      />
      {open && (open.kind === "group" || open.kind === "other") && <GroupDetail store={store} graph={graph} end={open} />}
      <DataTable
        caption={`What flows between them: into a group as a share of all that flows into it, into a target in its units. ${origins(graph)}`}
        columns={flows(store, graph)}
        rows={graph.flows}
        file="flows"
      />
    </div>
  );
}

function nameOf(store: Store, end: End): string {
  return end.kind === "group" || end.kind === "other" ? end.name : called(store.model, end.name);
}

function boxes(store: Store, toggle: (id: string) => void): Column<End>[] {
  return [
    {
      name: "name",
      value: (end) => nameOf(store, end),
      show: (end) => (
        <button
          type="button"
          class="cv-p-node"
          onClick={() => (end.kind === "token" || end.kind === "target" ? chooseName(store, end.name) : toggle(end.id))}
        >
          <span class="cv-p-name">{short(nameOf(store, end), 80)}</span>
        </button>
      ),
    },
    { name: "what", value: (end) => end.kind },
    { name: "influence", numeric: true, value: (end) => end.influence, show: (end) => percent(end.influence) },
    { name: "nodes", numeric: true, value: (end) => end.rows.length, show: (end) => count(end.rows.length) },
    {
      name: "evidence",
      value: (end) => (end.concept === null ? "" : store.model.graph.concepts[end.concept].evidence.join("; ")),
      show: (end) => short(end.concept === null ? "–" : store.model.graph.concepts[end.concept].evidence.join("; ") || "–", 120),
    },
  ];
}

function flows(store: Store, { ends }: ConceptGraph): Column<Flow>[] {
  const names = new Map(ends.map((end) => [end.id, nameOf(store, end)]));
  const name = (id: string) => names.get(id) ?? id;
  return [
    { name: "from", value: (flow) => name(flow.source), show: (flow) => short(name(flow.source), 60) },
    { name: "to", value: (flow) => name(flow.target), show: (flow) => short(name(flow.target), 60) },
    { name: "weight", numeric: true, value: (flow) => flow.weight, show: flowText },
    { name: "share of the target", numeric: true, value: (flow) => flow.size, show: (flow) => percent(flow.size) },
    { name: "summed from", value: (flow) => (flow.from === "run" ? "the run" : "this file") },
  ];
}
