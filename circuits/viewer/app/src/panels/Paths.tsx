/** The paths the run was told with: from a source to the target, with the share of the effect each carries. */
import type { PathPart } from "../document";
import { count, percent, short, shown, signed } from "../format";
import { edgeKey, type Lit } from "../store";
import type { Shell } from "./shell";
import { nameOf, placeOfNode, SHAPES } from "./words";

export function Paths({ shell }: { shell: Shell }) {
  const { store } = shell;
  const { paths } = store.model.graph;
  const largest = Math.max(0, ...paths.map(({ share }) => Math.abs(share)));
  const whole = paths.reduce((sum, { share }) => sum + share, 0);
  return (
    <div>
      <h3 class="cv-panel-title" tabIndex={-1}>
        Paths <span class="cv-count">{count(paths.length)}</span>
      </h3>
      {paths.length === 0 ? (
        <p class="cv-muted">
          This file lists no paths. Select a node in the graph and press <kbd>F</kbd> to follow its own.
        </p>
      ) : (
        <p class="cv-muted">
          The strongest ways to the output; together {percent(whole)} of the effect. Press one to light it in the graph;
          <kbd>F</kbd> follows those of a node.
        </p>
      )}
      <Followed shell={shell} />
      <ol class="cv-rows cv-paths">
        {paths.map((path, place) => (
          <li key={place}>
            <PathRow shell={shell} path={path} part={largest > 0 ? Math.abs(path.share) / largest : 0} />
          </li>
        ))}
      </ol>
    </div>
  );
}

/** What is lit that is none of the listed paths: what was followed from a node, an answer. */
function Followed({ shell }: { shell: Shell }) {
  const { lit, model } = shell.store;
  const now = lit.value;
  if (now === null || model.graph.paths.some((path) => words(shell, path) === now.what)) return null;
  return (
    <p class="cv-followed">
      <span>
        Lit: <bdi>{short(now.what, 300)}</bdi>
      </span>
      <button
        type="button"
        class="cv-button cv-framed"
        onClick={() => {
          lit.value = null;
        }}
      >
        Clear
      </button>
    </p>
  );
}

function PathRow({ shell, path, part }: { shell: Shell; path: PathPart; part: number }) {
  const { store } = shell;
  const { model } = store;
  const what = words(shell, path);
  const on = store.lit.value?.what === what;
  const way = path.effect < 0 ? "cv-down" : "cv-up";
  return (
    <button
      type="button"
      class="cv-path"
      aria-pressed={on}
      onClick={() => {
        store.lit.value = on ? null : lightOf(path, what);
        store.told.value = on ? "No path is lit" : `Lit: ${short(what, 300)}`;
      }}
    >
      <span class="cv-path-head">
        <data class={way} value={String(path.effect)}>
          {signed(path.effect)}
        </data>
        <span class="cv-meter-room" aria-hidden="true">
          <span class={`cv-meter ${way}`} style={{ width: `${Math.max(2, 100 * part)}%` }} />
        </span>
        <data class="cv-muted" value={String(path.share)}>
          {percent(path.share)} of the effect
        </data>
      </span>
      <span class="cv-path-nodes">
        {path.nodes.map((node, place) => {
          const row = model.rowOf.get(node);
          return (
            <span key={place} class="cv-path-node">
              <span class="cv-shape" aria-hidden="true">
                {row === undefined ? "" : SHAPES[model.graph.nodes.kind[row]]}
              </span>
              <bdi class="cv-text">{nameOf(model, node)}</bdi>
              <bdi class="cv-text cv-row-place">{row === undefined ? "" : placeOfNode(model, row)}</bdi>
            </span>
          );
        })}
      </span>
    </button>
  );
}

function words(shell: Shell, path: PathPart): string {
  return path.nodes.map((node) => shown(nameOf(shell.store.model, node))).join(" → ");
}

function lightOf(path: PathPart, what: string): Lit {
  const edges = path.nodes.slice(1).map((node, place) => edgeKey(path.nodes[place], node));
  return { nodes: new Set(path.nodes), edges: new Set(edges), what };
}
