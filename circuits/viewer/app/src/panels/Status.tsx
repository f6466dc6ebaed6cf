/** The line below: what the last action did, and what this file left out. */
import { shown } from "../format";
import type { Shell } from "./shell";

export function Status({ shell }: { shell: Shell }) {
  const { store } = shell;
  const left = [...store.model.graph.left_out, ...(store.model.against?.graph.left_out ?? [])];
  return (
    <div class="cv-status">
      <p class="cv-told" role="status">
        <bdi>{store.told.value && shown(store.told.value)}</bdi>
      </p>
      {left.length > 0 && (
        <details class="cv-left-out">
          <summary>Left out</summary>
          <ul>
            {left.map((line) => (
              <li key={line}>{shown(line)}</li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
