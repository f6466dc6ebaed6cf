/** What the graph needs besides keys: nearer, further, all of it; following; what is lit, and the legend. */
import { count } from "../../format";
import { follow } from "./follow";
import type { Scene } from "./scene";
import type { Mover } from "./zoom";

export function Controls({ scene, mover }: { scene: Scene; mover(): Mover | null }) {
  const { store } = scene;
  const selected = store.selected.value;
  const lit = store.lit.value;
  return (
    <div class="cv-g-controls" data-still>
      {selected !== null && (
        <button type="button" title="Light the strongest paths from the selected node (F)" onClick={() => follow(store, selected)}>
          Follow
        </button>
      )}
      {lit && (
        <button type="button" title="Light everything again (Esc)" onClick={() => (store.lit.value = null)}>
          Clear
        </button>
      )}
      <button type="button" aria-label="Nearer (+)" title="Nearer (+)" onClick={() => mover()?.scale(1.3)}>
        +
      </button>
      <button type="button" aria-label="Further (−)" title="Further (−)" onClick={() => mover()?.scale(1 / 1.3)}>
        −
      </button>
      <button type="button" aria-label="Show all of it (0)" title="Show all of it (0)" onClick={() => mover()?.fit()}>
        ⤢
      </button>
      {store.visibleCombinations.value.length > 0 && <span class="cv-g-count">{combinationCount(scene)}</span>}
    </div>
  );
}

/** “12 of 8,337 combinations”. */
function combinationCount(scene: Scene): string {
  const { store } = scene;
  const { totals } = store.model.graph;
  return `${count(store.visibleCombinations.value.length)} of ${count(totals.combinations)} combinations`;
}
