/** How often a feature is how active, and where it stands on this prompt. */
import type { CardPart } from "../../document";
import { count, percent, plain } from "../../format";

const WIDTH = 320;
const HEIGHT = 72;
const FOOT = 16;

export function Histogram({ card, activation }: { card: CardPart; activation: number | null }) {
  const { bars, half, maximum, frequency } = card;
  if (bars.length === 0 || half <= 0) return null;
  const widest = (2 * half) / 10;
  const most = Math.log1p(Math.max(...bars));
  const step = WIDTH / bars.length;
  const tall = HEIGHT - FOOT - 10;
  const here = activation === null ? null : Math.min(WIDTH - 1, (Math.max(0, activation) / widest) * step);
  return (
    <section>
      <h4>
        How active
        <span class="cv-aside">on at {percent(frequency)} of tokens</span>
      </h4>
      <svg class="cv-histogram" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={told(card, activation)}>
        {bars.map((tokens, place) => {
          const height = most > 0 ? (tall * Math.log1p(tokens)) / most : 0;
          const from = widest * place;
          return (
            <rect
              key={place}
              class={from >= half ? "cv-on" : ""}
              x={place * step + 0.5}
              y={HEIGHT - FOOT - height}
              width={step - 1}
              height={height}
            >
              <title>
                {`${count(tokens)} tokens from ${plain(from)}${place === bars.length - 1 ? ` to ${plain(maximum)}` : ` to ${plain(from + widest)}`}`}
              </title>
            </rect>
          );
        })}
        <path class="cv-base" d={`M0 ${HEIGHT - FOOT + 0.5}H${WIDTH}`} />
        {here !== null && <path class="cv-here" d={`M${here} ${HEIGHT - FOOT}V8m-4 -6h8l-4 7z`} />}
        <text x="0" y={HEIGHT - 3}>
          0
        </text>
        <text x={WIDTH / 2} y={HEIGHT - 3} text-anchor="middle">
          {plain(half)}
        </text>
        <text x={WIDTH} y={HEIGHT - 3} text-anchor="end">
          {`${plain(2 * half)} and more`}
        </text>
      </svg>
      <p class="cv-muted cv-fine">
        Tokens of the text by activation, on a logarithmic scale; darker bars count as on. The mark is this prompt.
      </p>
    </section>
  );
}

function told({ bars, half, maximum }: CardPart, activation: number | null): string {
  const on = bars.filter((_, place) => (2 * half * place) / bars.length >= half).reduce((sum, tokens) => sum + tokens, 0);
  const here = activation === null ? "" : ` On this prompt: ${plain(activation)}.`;
  return `${count(on)} tokens at ${plain(half)} or more, of at most ${plain(maximum)}.${here}`;
}
