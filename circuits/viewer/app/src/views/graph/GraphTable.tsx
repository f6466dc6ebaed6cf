/** The twin of the graph: the nodes and the edges that it shows, as tables. */
import { useMemo } from "preact/hooks";
import { percent, plain, shown, signed } from "../../format";
import type { Store } from "../../store";
import { type Column, DataTable } from "../DataTable";
import { KindMark } from "./Glyph";
import { degreesOf } from "./scene";

export function GraphTable({ store }: { store: Store }) {
  const { name } = store.model.graph;
  const nodes = useMemo(() => nodeColumns(store), [store, store.visibleEdges.value]);
  const edges = useMemo(() => edgeColumns(store), [store]);
  const rows = useMemo(
    () => store.model.byInfluence.filter((row) => store.visible.value.has(row)),
    [store, store.visible.value],
  );
  const selected = store.selected.value;
  const { node } = store.model.graph.nodes;
  return (
    <div class="cv-twin" data-nodes={rows.length} data-edges={store.visibleEdges.value.length}>
      <h3>Nodes</h3>
      <DataTable
        caption="Nodes shown, the most influential first"
        columns={nodes}
        rows={rows}
        file={`${name}-nodes`}
        chosen={(row) => node[row] === selected}
      />
      <h3>Edges</h3>
      <DataTable
        caption="Edges shown, the strongest first"
        columns={edges}
        rows={store.visibleEdges.value}
        file={`${name}-edges`}
      />
    </div>
  );
}

function nodeColumns(store: Store): Column<number>[] {
  const { model } = store;
  const { nodes } = model.graph;
  const degrees = degreesOf(store);
  return [
    {
      name: "Node",
      value: (row) => nodes.name[row],
      show: (row) => <Chosen store={store} row={row} mark />,
    },
    { name: "Kind", value: (row) => (nodes.kind[row] === "logit" ? "target" : nodes.kind[row]) },
    { name: "Layer", numeric: true, value: (row) => nodes.layer[row] },
    { name: "Position", numeric: true, value: (row) => nodes.pos[row] },
    { name: "Token", value: (row) => model.token(row) },
    number("Influence", (row) => nodes.influence[row], percent),
    number("Total effect", (row) => nodes.total[row], signed),
    number("Activation", (row) => nodes.activation[row], plain),
    { name: "In", numeric: true, value: (row) => degrees.get(row)?.[0] ?? 0 },
    { name: "Out", numeric: true, value: (row) => degrees.get(row)?.[1] ?? 0 },
    { name: "Group", value: (row) => store.groupOf.value.get(nodes.node[row]) ?? null },
    { name: "Name in the run", value: (row) => nodes.node[row] },
  ];
}

function edgeColumns(store: Store): Column<number>[] {
  const { model } = store;
  const { source, target, weight } = model.graph.edges;
  const { nodes } = model.graph;
  return [
    { name: "From", value: (edge) => nodes.name[source[edge]], show: (edge) => <Chosen store={store} row={source[edge]} /> },
    { name: "At", value: (edge) => model.token(source[edge]) },
    { name: "To", value: (edge) => nodes.name[target[edge]], show: (edge) => <Chosen store={store} row={target[edge]} /> },
    { name: "At", value: (edge) => model.token(target[edge]) },
    number("Weight", (edge) => weight[edge], signed),
    number("Share of its input", (edge) => model.shares[edge], percent),
    { name: "From, in the run", value: (edge) => nodes.node[source[edge]] },
    { name: "To, in the run", value: (edge) => nodes.node[target[edge]] },
  ];
}

function number(name: string, value: (row: number) => number | null, form: (value: number | null) => string): Column<number> {
  return { name, numeric: true, value, show: (row) => form(value(row)) };
}

/** A node's name that selects it. */
function Chosen({ store, row, mark = false }: { store: Store; row: number; mark?: boolean }) {
  const { nodes } = store.model.graph;
  return (
    <button type="button" data-node={nodes.node[row]} onClick={() => store.select(nodes.node[row])}>
      {mark && <KindMark kind={nodes.kind[row]} />} {shown(nodes.name[row])}
    </button>
  );
}
