/** What is told below a comparison of the node that is selected: both effects, and its edges in both graphs. */
import { short, signed } from "../../format";
import type { Store } from "../../store";
import { sign } from "../svg";
import { nameOf, open, WHERE } from "./DiffView";
import { type Change, changes, type Merged } from "./merge";

const MOST = 10;

export function DiffDetail({ store, all, one }: { store: Store; all: Merged[]; one: Merged }) {
  const { model } = store;
  const found = changes(model, all, one);
  const [first, second] = one.effects;
  const value = (effect: number | null) => (effect === null ? "unknown" : signed(effect));
  return (
    <section class="cv-p-detail" aria-label="The selected node in both graphs">
      <h3>
        <bdi>{short(nameOf(model, one), 120)}</bdi>
      </h3>
      <p>
        {WHERE[one.where]}. Effect on the target: {value(first)} in the first, {value(second)} in the second
        {one.change === null ? "" : `, a change of ${signed(one.change)}`}.
      </p>
      <div class="cv-p-columns">
        <Edges store={store} all={all} title="Edges in" edges={found.filter((edge) => edge.target === one.id)} end="source" />
        <Edges store={store} all={all} title="Edges out" edges={found.filter((edge) => edge.source === one.id)} end="target" />
      </div>
    </section>
  );
}

interface EdgesProps {
  store: Store;
  all: Merged[];
  title: string;
  edges: Change[];
  end: "source" | "target";
}

function Edges({ store, all, title, edges, end }: EdgesProps) {
  if (!edges.length) return null;
  const byId = new Map(all.map((one) => [one.id, one]));
  return (
    <table class="cv-p-edges">
      <caption>
        {title}
        {edges.length > MOST ? `: ${MOST} of ${edges.length}` : ""}
      </caption>
      <thead>
        <tr>
          <th scope="col">node</th>
          <th scope="col">first</th>
          <th scope="col">second</th>
          <th scope="col">change</th>
        </tr>
      </thead>
      <tbody>
        {edges.slice(0, MOST).map((edge) => {
          const other = byId.get(edge[end]) as Merged;
          const change = edge.weights[1] - edge.weights[0];
          return (
            <tr key={edge[end]}>
              <th scope="row">
                <button type="button" class="cv-p-node" onClick={() => open(store, other)}>
                  <bdi class="cv-p-name">{short(nameOf(store.model, other), 60)}</bdi>
                </button>
              </th>
              <td>{signed(edge.weights[0])}</td>
              <td>{signed(edge.weights[1])}</td>
              <td class={sign(change)}>{signed(change)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
