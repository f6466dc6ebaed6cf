/** The strongest edges into a node, or out of it, with their weights. */
import { useState } from "preact/hooks";
import { count, percent } from "../../format";
import { NodeRow } from "../NodeRow";
import type { Shell } from "../shell";

const FIRST = 6;
const MOST = 200;

export function Flows({ shell, row, way }: { shell: Shell; row: number; way: "into" | "outOf" }) {
  const [all, setAll] = useState(false);
  const { model } = shell.store;
  const { edges, nodes } = model.graph;
  const found = [...model[way][row]].sort((one, other) => Math.abs(edges.weight[other]) - Math.abs(edges.weight[one]));
  if (found.length === 0 && none(nodes.kind[row], way)) return null;
  const listed = found.slice(0, all ? MOST : FIRST);
  const largest = Math.abs(edges.weight[found[0]] ?? 0);
  const ends = way === "into" ? edges.source : edges.target;
  const covered = found.reduce((sum, edge) => sum + model.share(edge), 0);
  return (
    <section>
      <h4>
        {way === "into" ? "From" : "To"} <span class="cv-count">{count(found.length)}</span>
        {way === "into" && found.length > 0 && (
          <span class="cv-aside" title="Sum of the weights' sizes here, of all that flows into this node in the run">
            {percent(Math.min(1, covered))} of its input
          </span>
        )}
      </h4>
      {found.length === 0 && (
        <p class="cv-muted">{way === "into" ? "No edge of this file leads here." : "No edge of this file leads on."}</p>
      )}
      <ul class="cv-rows">
        {listed.map((edge) => (
          <li key={edge}>
            <NodeRow
              shell={shell}
              node={nodes.node[ends[edge]]}
              weight={edges.weight[edge]}
              part={largest > 0 ? Math.abs(edges.weight[edge]) / largest : 0}
            />
          </li>
        ))}
      </ul>
      {found.length > FIRST && (
        <button type="button" class="cv-more" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Fewer" : found.length > MOST ? `The first ${MOST} of ${count(found.length)}` : `All ${count(found.length)}`}
        </button>
      )}
    </section>
  );
}

/** Whether no edge of this way is no news for this kind. */
function none(kind: string, way: "into" | "outOf"): boolean {
  return way === "into" ? !["feature", "logit"].includes(kind) : kind === "logit";
}
