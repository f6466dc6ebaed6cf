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
  const named = useNamed(scene, k, aslant);
  return (
    <g class="cv-g-tokens">
      {layout.value.columns.map((column, place) => {
        const at = (column.left + (aslant ? 16 : 10)) * k + x;
        if (at < left - 4 || at > width - 4 || !named.has(place)) return null;
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

/**
 * Columns that are named: all, or where they stand too close, those of the most influential nodes. What stands at no
 * token needs no name where it would take a token's.
 */
function useNamed(scene: Scene, k: number, aslant: boolean): ReadonlySet<number> {
  const layout = scene.layout.value;
  return useMemo(() => {
    const places = layout.columns.map((_, place) => place).filter((place) => {
      const { pos, width } = layout.columns[place];
      return pos !== null || width * k >= NEEDED;
    });
    if (!aslant) return new Set(places);
    const most = layout.columns.map(() => 0);
    for (const [row, { column }] of layout.at) most[column] = Math.max(most[column], scene.store.model.influence(row));
    places.sort((one, other) => most[other] - most[one] || one - other);
    const named: number[] = [];
    for (const place of places) {
      const far = (other: number) => Math.abs(layout.columns[other].left - layout.columns[place].left) * k >= BETWEEN;
      if (named.every(far)) named.push(place);
    }
    return new Set(named);
  }, [layout, k, aslant]);
}

/** A token without the space before it, which says nothing along an axis; what has no shape is made visible. */
function tokenText(token: string): string {
  return short(token.trim() === "" ? token : token.trim());
}
