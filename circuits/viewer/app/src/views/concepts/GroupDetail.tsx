/** What is told of a group below the concept graph: evidence, nodes, what flows in and out. */
import { count, percent, short, signed } from "../../format";
import type { Store } from "../../store";
import { NodeButton } from "../Detail";
import { called, placed } from "../naming";
import { sign } from "../svg";
import type { ConceptGraph, End, Flow } from "./flows";
import { flowText } from "./ConceptsView";

const ORIGINS: Record<string, string> = {
  given: "given by hand in the run",
  found: "found by circuits group",
  words: "by word and label",
};

/** Nodes listed, at most. */
const MOST = 60;

export function GroupDetail({ store, graph, end }: { store: Store; graph: ConceptGraph; end: End }) {
  const { model } = store;
  const concept = end.concept === null ? null : model.graph.concepts[end.concept];
  const rows = [...end.rows].sort((one, other) => model.influence(other) - model.influence(one));
  const into = graph.flows.filter((flow) => flow.target === end.id);
  const out = graph.flows.filter((flow) => flow.source === end.id);
  return (
    <section class="cv-p-detail" aria-label="The selected group">
      <h3>
        <bdi>{end.kind === "other" ? "In no group" : short(end.name, 120)}</bdi>
      </h3>
      <p class="cv-muted">
        {concept ? (ORIGINS[concept.origin] ?? concept.origin) : end.kind === "other" ? "features and errors outside all groups" : "made or changed by hand here: its numbers are summed from the edges of this file"}
        {end.influence === null ? "" : `; ${percent(end.influence)} of the target passes through it`}
        {concept?.total == null ? "" : `; all that it does to the target: ${signed(concept.total)}`}.
      </p>
      {concept && concept.evidence.length > 0 && (
        <>
          <h4>Evidence</h4>
          <ul class="cv-p-evidence">
            {concept.evidence.map((line) => (
              <li key={line}>
                <bdi>{short(line, 300)}</bdi>
              </li>
            ))}
          </ul>
        </>
      )}
      <div class="cv-p-columns">
        <Flows store={store} graph={graph} title="Flows in, as shares of all that does" flows={into} other={(flow) => flow.source} />
        <Flows store={store} graph={graph} title="Flows out" flows={out} other={(flow) => flow.target} />
      </div>
      <h4>
        {count(rows.length)} {rows.length === 1 ? "node" : "nodes"}
        {rows.length > MOST ? `, the ${MOST} most influential` : ""}
      </h4>
      <ul class="cv-p-list cv-p-members">
        {rows.slice(0, MOST).map((row) => (
          <li key={row}>
            <NodeButton store={store} name={model.graph.nodes.node[row]}>
              {short(placed(model, model.graph.nodes.node[row]), 90)}
            </NodeButton>{" "}
            <span class="cv-muted">{percent(model.graph.nodes.influence[row])}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface FlowsProps {
  store: Store;
  graph: ConceptGraph;
  title: string;
  flows: Flow[];
  other(flow: Flow): string;
}

function Flows({ store, graph, title, flows, other }: FlowsProps) {
  if (!flows.length) return null;
  const names = new Map(graph.ends.map((end) => [end.id, end.kind === "group" || end.kind === "other" ? end.name : called(store.model, end.name)]));
  return (
    <div>
      <h4>{title}</h4>
      <ul class="cv-p-list">
        {flows.slice(0, 12).map((flow) => (
          <li key={`${flow.source} ${flow.target}`}>
            <bdi>{short(names.get(other(flow)) ?? "", 60)}</bdi> <span class={sign(flow.weight)}>{flowText(flow)}</span>
            {flow.from === "file" && <span class="cv-muted"> (from this file)</span>}
          </li>
        ))}
        {flows.length > 12 && <li class="cv-muted">and {count(flows.length - 12)} smaller</li>}
      </ul>
    </div>
  );
}
