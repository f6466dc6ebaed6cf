/** The selected node: what it is, what it carries, what it comes from and goes to, what it means. */
import { chance, count, percent, plain, short, signed } from "../../format";
import { PinIcon } from "../icons";
import { NodeRow } from "../NodeRow";
import type { Shell } from "../shell";
import "../../style/card.css";
import { KINDS, MEANINGS, SHAPES, tokenAt } from "../words";
import { Combinations } from "./Combinations";
import { Flows } from "./Flows";
import { Meaning } from "./Meaning";

export function Card({ shell }: { shell: Shell }) {
  const { store } = shell;
  const node = store.selected.value;
  const row = node === null ? undefined : store.model.rowOf.get(node);
  if (node === null || row === undefined) return <Nothing shell={shell} node={node} />;
  const kind = store.model.graph.nodes.kind[row];
  return (
    <article class="cv-card" key={node}>
      <Head shell={shell} node={node} row={row} />
      {kind !== "feature" && <p class="cv-muted">{MEANINGS[kind]}</p>}
      <Numbers shell={shell} row={row} />
      <GroupLine shell={shell} node={node} />
      <Flows shell={shell} row={row} way="into" />
      <Flows shell={shell} row={row} way="outOf" />
      <Combinations shell={shell} node={node} row={row} />
      {kind === "feature" && <Meaning shell={shell} row={row} />}
    </article>
  );
}

function Nothing({ shell, node }: { shell: Shell; node: string | null }) {
  const { model } = shell.store;
  const { nodes } = model.graph;
  if (node !== null)
    return (
      <p class="cv-muted">
        <bdi>{short(node)}</bdi> is not among the {count(model.size)} nodes of this file.
      </p>
    );
  const first = model.byInfluence.filter((row) => nodes.kind[row] === "feature").slice(0, BEGINNINGS);
  return (
    <div>
      <h3 class="cv-card-title">No node is selected</h3>
      <p class="cv-muted">
        Press a node, or move to it with the arrow keys and press <kbd>Enter</kbd>: its inputs, outputs and
        combinations stand here, and what its feature means. <kbd>/</kbd> searches, <kbd>?</kbd> lists all keys.
      </p>
      {first.length > 0 && (
        <section>
          <h4>
            Most influential <span class="cv-aside">share of the output</span>
          </h4>
          <ul class="cv-rows cv-beginnings">
            {first.map((row) => (
              <li key={row}>
                <NodeRow shell={shell} node={nodes.node[row]}>
                  <data class="cv-weight" value={String(nodes.influence[row])}>
                    {percent(nodes.influence[row])}
                  </data>
                </NodeRow>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

/** So many features are offered to begin with. */
const BEGINNINGS = 10;

function Head({ shell, node, row }: { shell: Shell; node: string; row: number }) {
  const { store } = shell;
  const { nodes } = store.model.graph;
  const { kind, layer, pos, feature, name } = nodes;
  const pinned = store.pinned.value.has(node);
  const where = [
    kind[row] === "feature" ? `feature ${layer[row]}/${feature[row]}` : KINDS[kind[row]],
    ...(layer[row] === null || kind[row] === "logit" ? [] : [`layer ${layer[row]}`]),
    ...(pos[row] === null || kind[row] === "logit" ? [] : [`at ${tokenAt(store.model, pos[row])}`]),
  ];
  return (
    <header class="cv-card-head">
      <div>
        <h3 class="cv-card-title" tabIndex={-1}>
          <span class="cv-shape" aria-hidden="true">
            {SHAPES[kind[row]]}
          </span>
          <bdi>{short(name[row], 200)}</bdi>
        </h3>
        <p class="cv-card-where">
          {where.map((part) => (
            <bdi class="cv-text" key={part}>
              {part}
            </bdi>
          ))}
        </p>
      </div>
      <button
        type="button"
        class="cv-button"
        aria-pressed={pinned}
        aria-keyshortcuts="P"
        title={pinned ? "Unpin (P)" : "Pin: stays on screen, whatever the thresholds (P)"}
        onClick={() => store.togglePin(node)}
      >
        <PinIcon />
        {pinned ? "Pinned" : "Pin"}
      </button>
    </header>
  );
}

function Numbers({ shell, row }: { shell: Shell; row: number }) {
  const { model } = shell.store;
  const { nodes, targets } = model.graph;
  const kind = nodes.kind[row];
  const target = targets.find((one) => one.node === nodes.node[row]);
  const card = model.graph.cards.cards[`${nodes.layer[row]}/${nodes.feature[row]}`];
  const named = targets.length > 0 ? short(targets[0].text) : "the output";
  const facts: [string, string, number | null][] = [];
  if (kind === "feature") {
    const most = card ? ` of at most ${plain(card.maximum)}` : "";
    facts.push(["Activation", plain(nodes.activation[row]) + most, nodes.activation[row]]);
    if (nodes.pre_activation[row] !== nodes.activation[row])
      facts.push(["Before its threshold", plain(nodes.pre_activation[row]), nodes.pre_activation[row]]);
  }
  if (target) facts.push(["Logit, less the mean", plain(target.value), target.value]);
  if (target?.probability != null) facts.push(["Probability", chance(target.probability), target.probability]);
  if (kind !== "logit") {
    facts.push(["Influence", percent(nodes.influence[row]), nodes.influence[row]]);
    if (nodes.total[row] !== null) facts.push([`Effect on ${named}`, signed(nodes.total[row]), nodes.total[row]]);
  }
  return (
    <dl class="cv-numbers">
      {facts.map(([name, text, exact]) => (
        <div key={name}>
          <dt>
            <bdi class="cv-text">{name}</bdi>
          </dt>
          <dd>
            <data value={String(exact)} title={exact === null ? "unknown" : String(exact)}>
              {text}
            </data>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function GroupLine({ shell, node }: { shell: Shell; node: string }) {
  const { store } = shell;
  const name = store.groupOf.value.get(node);
  const mark = name === undefined ? undefined : store.groupMarks.value.get(name);
  if (name === undefined || !mark) return null;
  return (
    <p class="cv-card-group">
      <span class={`cv-badge cv-group-${mark.colour}`} aria-hidden="true">
        {mark.letter}
      </span>
      in group <bdi class="cv-text">{short(name)}</bdi>
    </p>
  );
}
