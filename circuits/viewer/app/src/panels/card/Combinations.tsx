/** The combinations a node takes part in, and those that move it. */
import { useState } from "preact/hooks";
import type { HyperedgeTable } from "../../document";
import { count, plain, shown } from "../../format";
import { KINDS } from "../../views/combination";
import { chooseCombination } from "../../views/Detail";
import { nameOf } from "../words";
import { Weight } from "../NodeRow";
import type { Shell } from "../shell";

const FIRST = 5;
const MOST = 100;

export function Combinations({ shell, node, row }: { shell: Shell; node: string; row: number }) {
  const [all, setAll] = useState(false);
  const { model, combination } = shell.store;
  const table = model.graph.hyperedges;
  const own = new Set(model.combining.get(row) ?? []);
  table.target.forEach((target, one) => {
    if (target === node) own.add(one);
  });
  const found = [...own].filter((one) => table.members[one].length > 1);
  found.sort((one, other) => Math.abs(table.weight[other]) - Math.abs(table.weight[one]));
  if (found.length === 0) return null;
  const largest = Math.abs(table.weight[found[0]]);
  return (
    <section>
      <h4>
        Combinations <span class="cv-count">{count(found.length)}</span>
      </h4>
      <ul class="cv-rows">
        {found.slice(0, all ? MOST : FIRST).map((one) => {
          return (
            <li key={one}>
              <button
                type="button"
                class="cv-node-row cv-joint"
                aria-pressed={combination.value === table.hyperedge[one]}
                title={interval(table, one)}
                onClick={() => chooseCombination(shell.store, one)}
              >
                <Weight value={table.weight[one]} part={largest > 0 ? Math.abs(table.weight[one]) / largest : 0} />
                <bdi class="cv-text cv-row-name">{shown(table.text[one])}</bdi>
                <span class="cv-row-place">{KINDS[table.gate[one] ?? "undecided"]}</span>
                {table.target[one] !== node && (
                  <span class="cv-row-below">
                    moves <bdi class="cv-text">{nameOf(model, table.target[one])}</bdi>
                  </span>
                )}
              </button>
            </li>
          );
        })}
      </ul>
      {found.length > FIRST && (
        <button type="button" class="cv-more" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Fewer" : found.length > MOST ? `The first ${MOST} of ${count(found.length)}` : `All ${count(found.length)}`}
        </button>
      )}
    </section>
  );
}

function interval(table: HyperedgeTable, one: number): string {
  const { low, high, index, channel, order, estimated } = table;
  const range = low[one] === null || high[one] === null ? "" : `, between ${plain(low[one])} and ${plain(high[one])}`;
  return `${index[one]}, order ${order[one]}, channel ${channel[one]}${estimated[one] ? ", estimated" : ""}${range}`;
}
