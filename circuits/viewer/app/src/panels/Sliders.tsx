/** How much is shown: nodes by their share of the influence, edges by their share of what flows into a node. */
import { count, percent } from "../format";
import type { Shell } from "./shell";

interface SliderProps {
  shell: Shell;
  id: string;
}

export function NodeSlider({ shell, id }: SliderProps) {
  const { store } = shell;
  const shown = store.visible.value.size;
  const whole = store.model.graph.totals.nodes;
  return (
    <Slider
      id={`${id}-nodes`}
      name="Nodes"
      says={`${count(shown)} of ${count(whole)} nodes`}
      told={`up to ${percent(store.threshold.value)} of the influence`}
      value={100 * store.threshold.value}
      set={(value) => {
        store.threshold.value = Math.round(value) / 100;
      }}
    />
  );
}

export function EdgeSlider({ shell, id }: SliderProps) {
  const { store } = shell;
  const shown = store.visibleEdges.value.length;
  const whole = store.model.graph.totals.edges;
  return (
    <Slider
      id={`${id}-edges`}
      name="Edges"
      says={`${count(shown)} of ${count(whole)} edges`}
      told={`from ${percent(store.edgeThreshold.value)} of a node's input`}
      value={placeOf(store.edgeThreshold.value)}
      set={(value) => {
        store.edgeThreshold.value = shareAt(value);
      }}
    />
  );
}

const DECADES = 4;

/** Where on the edge slider, 0 … 100, a share stands: more to the right shows more, even steps are even factors. */
export function placeOf(share: number): number {
  if (share <= 10 ** -DECADES) return 100;
  return share >= 1 ? 0 : Math.round((-100 * Math.log10(share)) / DECADES);
}

/** The share at a place of the edge slider; all edges at its end. */
export function shareAt(place: number): number {
  if (place >= 100) return 0;
  return Number((10 ** ((-DECADES * place) / 100)).toPrecision(2));
}

interface PartProps {
  id: string;
  name: string;
  says: string;
  told: string;
  value: number;
  set: (value: number) => void;
}

function Slider({ id, name, says, told, value, set }: PartProps) {
  return (
    <div class="cv-slider">
      <label for={id}>{name}</label>
      <input
        type="range"
        id={id}
        min={0}
        max={100}
        step={1}
        value={value}
        aria-valuetext={`${says}, ${told}`}
        onInput={(event) => set(event.currentTarget.valueAsNumber)}
      />
      <output for={id} title={told}>
        {says}
      </output>
    </div>
  );
}
