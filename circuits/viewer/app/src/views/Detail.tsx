/** What is told below a picture about the combination that is selected in it. */
import type { ComponentChildren } from "preact";
import { count, percent, short, signed } from "../format";
import type { Store } from "../store";
import { CHANNELS, combination, intervalText, KINDS } from "./combination";
import { called, placed, unit } from "./naming";

/** Selects a combination, lights its members and its target in the graph, and says so; again, and lets go of it. */
export function chooseCombination(store: Store, row: number): void {
  const { model } = store;
  const table = model.graph.hyperedges;
  const what = `Combination ${short(table.text[row])}`;
  if (store.combination.value === table.hyperedge[row] && store.lit.value?.what === what) {
    store.combination.value = null;
    store.lit.value = null;
    store.told.value = "No combination selected";
    return;
  }
  store.combination.value = table.hyperedge[row];
  const rows = [...table.members[row], table.target[row]].flatMap((name) => model.rowsOf(name));
  store.lit.value = { nodes: new Set(rows.map((at) => model.graph.nodes.node[at])), edges: new Set(), what };
  store.told.value = `${what} selected`;
}

/** The name, if it is that of a node. */
export function nodeOf(store: Store, name: string): string | undefined {
  return store.model.rowOf.has(name) ? name : undefined;
}

/** Selects a node; of what consists of several nodes, these are lit. */
export function chooseName(store: Store, name: string): void {
  const { model } = store;
  if (model.rowOf.has(name)) {
    store.select(name);
    store.told.value = `${short(called(model, name))} selected`;
    return;
  }
  const rows = model.rowsOf(name);
  if (!rows.length) {
    store.told.value = `${short(called(model, name))} is no node of this file`;
    return;
  }
  const what = `the ${count(rows.length)} nodes of ${short(name)}`;
  store.lit.value = { nodes: new Set(rows.map((row) => model.graph.nodes.node[row])), edges: new Set(), what };
  store.told.value = `${what[0].toUpperCase()}${what.slice(1)} are lit in the graph`;
}

/** The name of a node, or of what consists of several, as a button. */
export function NodeButton({ store, name, children }: { store: Store; name: string; children?: ComponentChildren }) {
  const { model } = store;
  const rows = model.rowsOf(name);
  const text = <bdi class="cv-p-name">{children ?? short(placed(model, name))}</bdi>;
  if (!rows.length) return <span>{text}</span>;
  const alone = model.rowOf.has(name);
  return (
    <button type="button" class="cv-p-node" data-node={nodeOf(store, name)} onClick={() => chooseName(store, name)} aria-pressed={alone && store.selected.value === name}>
      {text}
      {!alone && <span class="cv-muted"> ({count(rows.length)} nodes)</span>}
    </button>
  );
}

/** The combination that is selected: who, on what, how much, how sure, through what. */
export function CombinationDetail({ store, hint }: { store: Store; hint: string }) {
  const table = store.model.graph.hyperedges;
  const row = store.combination.value === null ? -1 : table.hyperedge.indexOf(store.combination.value);
  if (row < 0) return <p class="cv-p-hint">{hint}</p>;
  const one = combination(store.model, row);
  const facts: [string, ComponentChildren][] = [
    ["kind", KINDS[one.kind]],
    ["interaction", `${signed(one.weight)} ${short(unit(store.model, one.target), 80)}, by ${table.index[row]}`],
    ["interval", `${intervalText(store.model, row)}${one.estimated ? " (estimated)" : ""}`],
    ["share of what moves the target", one.share === null ? "unknown" : percent(one.share)],
    ["all that the members do together", table.effect[row] === null ? "unknown" : signed(table.effect[row])],
    ["found", `${CHANNELS[one.channel]}, order ${one.order}`],
  ];
  return (
    <section class="cv-p-detail" aria-label="The selected combination">
      <h3>
        <bdi>{short(one.text)}</bdi>
      </h3>
      <p>
        {one.members.map((member, place) => (
          <>
            {place > 0 && " × "}
            <NodeButton store={store} name={member} />
          </>
        ))}
        {" → "}
        <NodeButton store={store} name={one.target} />
      </p>
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Via store={store} row={row} />
    </section>
  );
}

/** What a combination runs through, with signed shares of its weight. */
function Via({ store, row }: { store: Store; row: number }) {
  const { via, weight } = store.model.graph.hyperedges;
  if (!via[row].length) return null;
  const most = Math.max(...via[row].map(([, part]) => Math.abs(part)));
  return (
    <>
      <h4>It runs through</h4>
      <ul class="cv-p-via">
        {via[row].map(([name, part]) => (
          <li key={name}>
            <NodeButton store={store} name={name}>
              {short(called(store.model, name))}
            </NodeButton>
            <span class="cv-p-share">{percent(part / weight[row])}</span>
            <svg width="80" height="10" aria-hidden="true" class="cv-p-svg">
              <rect
                class={part < 0 ? "cv-down cv-p-bar" : "cv-up cv-p-bar"}
                y="1"
                height="8"
                width={Math.max(1, (78 * Math.abs(part)) / most)}
              />
            </svg>
            <span class="cv-muted">{signed(part)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
