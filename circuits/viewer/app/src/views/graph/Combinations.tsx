/** Combinations as diamonds between their members and their target, the members by dotted lines. */
import { DASH } from "./curves";
import type { Diamond } from "./diamonds";
import { combinationName, gateWord } from "./names";
import type { Scene } from "./scene";

interface Props {
  scene: Scene;
  diamonds: readonly Diamond[];
  /** Which one the Tab key enters. */
  stop: number | null;
}

export function Combinations({ scene, diamonds, stop }: Props) {
  const { model } = scene.store;
  const { weight } = model.graph.hyperedges;
  return (
    <g class="cv-g-combinations">
      {diamonds.map(({ combination, x, y, members, target }) => {
        const sign = weight[combination] < 0 ? "cv-g-minus" : "cv-g-plus";
        return (
          <g
            key={combination}
            class={`cv-g-combination ${sign}`}
            role="button"
            aria-roledescription="combination"
            aria-label={combinationName(model, combination)}
            tabindex={combination === stop ? 0 : -1}
            data-combination={combination}
          >
            {members.map((member, place) => (
              <path key={place} class="cv-g-member" d={line(member.x, member.y - member.r, x, y)} />
            ))}
            <path
              class="cv-g-towards"
              d={line(x, y - HALF.height, target.x, target.y + target.r)}
              stroke-dasharray={weight[combination] < 0 ? DASH.join(" ") : undefined}
            />
            <path class="cv-g-diamond" d={DIAMOND} transform={`translate(${x.toFixed(1)},${y.toFixed(1)})`} />
            <text class="cv-g-gate" x={x} y={y}>
              {gateWord(model, combination)}
            </text>
          </g>
        );
      })}
    </g>
  );
}

/** Half a diamond's width and height. */
export const HALF = { width: 19, height: 9.5 };

const DIAMOND = `M${-HALF.width},0L0,${-HALF.height}L${HALF.width},0L0,${HALF.height}Z`;

function line(x0: number, y0: number, x1: number, y1: number): string {
  const bend = Math.max(8, Math.abs(y0 - y1) * 0.4);
  const n = (value: number) => value.toFixed(1);
  return `M${n(x0)},${n(y0)}C${n(x0)},${n(y0 - bend)} ${n(x1)},${n(y1 + bend)} ${n(x1)},${n(y1)}`;
}
