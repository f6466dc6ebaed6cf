/** Layers at the left and tokens below, which stay in sight while the picture is moved. */
import { useMemo } from "preact/hooks";
import { short } from "../../format";
import { cut } from "./labelling";
import type { Scene } from "./scene";
import { textWidth } from "./text";

const BETWEEN = 13;
const NEEDED = 36;

export function Axes({ scene }: { scene: Scene }) {
  const { width, height } = scene.size.value;
  const { k, x, y } = scene.live.value;
  const { left, bottom } = scene.margins.value;
  return (
    <svg class="cv-g-axes" width={width} height={height} aria-hidden="true">
      <rect class="cv-g-axis-ground" x={0} y={0} width={left} height={height} />
      <rect class="cv-g-axis-ground" x={0} y={height - bottom} width={width} height={bottom} />
      <Layers scene={scene} k={k} y={y} />
      <Tokens scene={scene} k={k} x={x} />
    </svg>
  );
}

function Layers({ scene, k, y }: { scene: Scene; k: number; y: number }) {
  const { left, bottom } = scene.margins.value;
  const { layers } = scene.store.model.graph;
  const least = 4;
  const most = scene.size.value.height - bottom - 4;
  let last = -Infinity;
  const shown = scene.layout.value.bands.filter((band) => {
    const at = (band.top + band.height / 2) * k + y;
    if (!band.filled || at < least || at > most || at - last < BETWEEN) return false;
    last = at;
    return true;
  });
  const narrow = left < 50;
  return (
    <g class="cv-g-layers">
      {shown.map(({ layer, top, height }) => (
        <text key={layer} x={left - 8} y={(top + height / 2) * k + y}>
          {layer < 0 ? (narrow ? "in" : "tokens") : layer === layers ? (narrow ? "out" : "output") : `L${layer}`}
        </text>
      ))}
    </g>
  );
}

/** What stands below the columns; the gutter's nodes stand at no token. */
function Tokens({ scene, k, x }: { scene: Scene; k: number; x: number }) {
  const { width, height } = scene.size.value;
  const { left, bottom, aslant } = scene.margins.value;
  const { layout } = scene;
  const texts = useTokens(scene, k, aslant);
  let last = -Infinity;
  return (
    <g class="cv-g-tokens">
      {layout.value.columns.map((column, place) => {
        const at = (column.left + (aslant ? 16 : 10)) * k + x;
        // what stands at no token needs no name where it would take a token's
        if (column.pos === null && column.width * k < NEEDED) return null;
        if (at < left - 4 || at > width - 4 || (aslant && at - last < BETWEEN)) return null;
        last = at;
        const down = height - bottom + (aslant ? 14 : 20);
        return (
          <text
            key={place}
            x={at}
            y={down}
            class={aslant ? "cv-g-aslant" : ""}
            transform={aslant ? `rotate(-42,${at.toFixed(1)},${down})` : undefined}
          >
            {texts[place]}
          </text>
        );
      })}
    </g>
  );
}

function useTokens(scene: Scene, k: number, aslant: boolean): string[] {
  const layout = scene.layout.value;
  const step = Math.round(k * 20);
  return useMemo(
    () =>
      layout.columns.map(({ pos, width }) => {
        const text = pos === null ? "none" : tokenText(scene.store.model.graph.tokens[pos] ?? "");
        const room = aslant ? 74 : width * (step / 20) - 14;
        return textWidth(text) <= room ? text : cut(text, room, textWidth) || "…";
      }),
    [layout, step, aslant],
  );
}

/** A token without the space before it, which says nothing along an axis; what has no shape is made visible. */
function tokenText(token: string): string {
  return short(token.trim() === "" ? token : token.trim());
}
