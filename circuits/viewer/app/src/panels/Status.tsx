/** The line below: what the last action did, and what this file left out. */
import type { Shell } from "./shell";

export function Status({ shell }: { shell: Shell }) {
  const { store } = shell;
  const left = [...store.model.graph.left_out, ...(store.model.against?.graph.left_out ?? [])];
  return (
    <div class="cv-status">
      <p class="cv-told" role="status">
        {store.told}
      </p>
      {left.length > 0 && (
        <details class="cv-left-out">
          <summary>Left out</summary>
          <ul>
            {left.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
