/** The ground of layers and columns, and the labels beside nodes. */
import type { Layout } from "../../layout";
import { FONT, type Label } from "./labelling";
import type { Scene } from "./scene";

export function Labels({ scene, labels }: { scene: Scene; labels: readonly Label[] }) {
  const { kind } = scene.store.model.graph.nodes;
  const { k } = scene.drawn.value;
  return (
    <g class="cv-g-labels" font-size={FONT / k} stroke-width={3 / k} aria-hidden="true">
      {labels.map(({ row, text, x, y }) => (
        <text key={row} x={x} y={y} data-label={row} class={kind[row] === "logit" ? "cv-g-target" : ""}>
          {text}
        </text>
      ))}
    </g>
  );
}

export function Ground({ layout }: { layout: Layout }) {
  return (
    <g>
      {layout.bands.map(({ layer, top, height }, at) =>
        at % 2 === 1 ? <rect key={layer} class="cv-g-band" x={-8} y={top} width={layout.width + 16} height={height} /> : null,
      )}
      {layout.columns.slice(1).map(({ left }) => (
        <line key={left} class="cv-g-hair" x1={left} x2={left} y1={0} y2={layout.height} vector-effect="non-scaling-stroke" />
      ))}
    </g>
  );
}
