/** A head's grid: a row a query, a column a key, in each cell the strongest products of the score. */
import { type ScaleLinear, scaleLinear } from "d3-scale";
import type { Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { count, short, signed } from "../../format";
import type { Model } from "../../model";
import type { Store } from "../../store";
import { called, layered, token } from "../naming";
import { Bar, type MarkProps, Picture } from "../svg";
import { fitted, SMALL, widthOf } from "../text";
import { grid, type Head, type Score, sides } from "./scores";

const CELL = 330;
const GAP = 6;
const LINE = 19;
/** Products written into a cell; the others are told below. */
const LINES = 5;
const TOP = 40;
const BAR = 64;

/** Which head is looked at, and which of its scores. */
export interface Chosen {
  head: string | null;
  score: string | null;
}

export function Grid({ store, head, state }: { store: Store; head: Head; state: Signal<Chosen> }) {
  const at = useMemo(() => places(store.model, head), [store, head]);
  const byTarget = new Map(head.scores.map((one) => [one.target, one]));
  const scoreOf = (mark: string) => byTarget.get(mark) as Score;
  return (
    <Picture
      label={`Head ${head.name}: ${at.queries.length} queries by ${at.keys.length} keys`}
      width={at.left + at.keys.length * (CELL + GAP) + 8}
      height={at.height}
      along="row"
      lanes={at.lanes}
      place={(mark) => at.boxes.get(mark)?.x ?? 0}
      says={(mark) => saysScore(store, scoreOf(mark))}
      enter={(mark) => {
        const score = state.value.score === mark ? null : mark;
        state.value = { head: head.name, score };
        store.told.value = score === null ? "No score selected" : `Selected: ${saysScore(store, scoreOf(mark))}`;
      }}
      chosen={(mark) => mark === state.value.score}
    >
      {(mark, hatch) => (
        <>
          <Heads model={store.model} at={at} />
          {head.scores.map((score) => (
            <ScoreCell
              key={score.target}
              store={store}
              score={score}
              mark={mark(score.target)}
              hatch={hatch}
              scale={at.scale}
              box={at.boxes.get(score.target) as Box}
            />
          ))}
        </>
      )}
    </Picture>
  );
}

interface Box {
  x: number;
  y: number;
  height: number;
}

interface Places {
  queries: { pos: number; text: string; middle: number }[];
  keys: [number, number | null][];
  left: number;
  height: number;
  boxes: Map<string, Box>;
  lanes: string[][];
  scale: ScaleLinear<number, number>;
}

/** Where cells stand: rows as high as their fullest cell. */
function places(model: Model, head: Head): Places {
  const { queries, keys } = grid(head);
  const weights = head.scores.flatMap((one) => one.rows.map((row) => model.graph.hyperedges.weight[row]));
  const names = queries.map((query) => fitted(token(model, query), 130));
  const left = Math.max(80, ...names.map((name) => widthOf(name))) + 20;
  const columnOf = ({ at }: Score) => keys.findIndex(([key, over]) => key === at.key && over === at.over);
  const boxes = new Map<string, Box>();
  const lanes: string[][] = [];
  let top = TOP;
  const rows = queries.map((pos, place) => {
    const held = head.scores.filter((one) => one.at.query === pos).sort((one, other) => columnOf(one) - columnOf(other));
    const height = 14 + LINE * Math.max(...held.map((one) => Math.min(LINES + 1, one.rows.length)));
    for (const one of held) boxes.set(one.target, { x: left + columnOf(one) * (CELL + GAP), y: top, height });
    lanes.push(held.map((one) => one.target));
    top += height + GAP;
    return { pos, text: names[place], middle: top - GAP - height / 2 };
  });
  const scale = scaleLinear([Math.min(0, ...weights), Math.max(0, ...weights)], [0, BAR]);
  return { queries: rows, keys, left, height: top + 2, boxes, lanes, scale };
}

function Heads({ model, at: { queries, keys, left } }: { model: Model; at: Places }) {
  return (
    <g aria-hidden="true" class="cv-p-axis">
      <text x={left - 12} y={28} text-anchor="end">
        query ↓ key →
      </text>
      {keys.map(([key, over], place) => (
        <text key={`${key}-${over}`} x={left + place * (CELL + GAP) + CELL / 2} y={28} text-anchor="middle" class="cv-p-ink">
          {fitted(over === null ? token(model, key) : `${token(model, key)} over ${token(model, over)}`, CELL - 8)}
        </text>
      ))}
      {queries.map(({ pos, text, middle }) => (
        <text key={pos} x={left - 12} y={middle + 4} text-anchor="end" class="cv-p-ink">
          {text}
        </text>
      ))}
    </g>
  );
}

/** " is" × " capital". */
export function product(store: Store, row: number, score: Score): string {
  const { query, others } = sides(store.model, row, score.at);
  return [query, ...others].map((name) => short(layered(store.model, name), 60)).join(" × ");
}

/** The same in so many pixels, each name with its part of them. */
function brief(store: Store, row: number, score: Score, width: number): string {
  const { query, others } = sides(store.model, row, score.at);
  const names = [query, ...others].map((name) => called(store.model, name));
  const room = width - (names.length - 1) * widthOf(" × ", SMALL);
  const [first, ...rest] = names;
  const begin = fitted(first, Math.max(room / names.length, room - rest.reduce((sum, name) => sum + widthOf(name.slice(0, 80), SMALL), 0)), SMALL);
  const each = (room - widthOf(begin, SMALL)) / Math.max(1, rest.length);
  return [begin, ...rest.map((name) => fitted(name, each, SMALL))].join(" × ");
}

function saysScore(store: Store, score: Score): string {
  const { weight } = store.model.graph.hyperedges;
  const { query, key, over } = score.at;
  const against = over === null ? "" : ` over ${token(store.model, over)}`;
  const looks = `${token(store.model, query as number)} looks at ${token(store.model, key as number)}${against}`;
  const first = `${product(store, score.rows[0], score)} ${signed(weight[score.rows[0]])}`;
  return short(`${looks}: ${count(score.rows.length)} products, the strongest ${first}`, 300);
}

interface CellProps {
  store: Store;
  score: Score;
  mark: MarkProps;
  hatch: string;
  scale(value: number): number;
  box: Box;
}

/** The strongest products of a score, a line each: a bar, its value, who meets whom. */
function ScoreCell({ store, score, mark, hatch, scale, box: { x, y, height } }: CellProps) {
  const { weight } = store.model.graph.hyperedges;
  const shown = score.rows.length > LINES + 1 ? score.rows.slice(0, LINES) : score.rows;
  const zero = x + 8 + scale(0);
  return (
    <g {...mark}>
      <rect class="cv-p-box" x={x} y={y} width={CELL} height={height} rx={4} />
      <g aria-hidden="true">
        <line class="cv-p-zero" x1={zero} x2={zero} y1={y + 6} y2={y + 8 + LINE * shown.length} />
        {shown.map((row, place) => (
          <Product
            key={row}
            weight={weight[row]}
            text={brief(store, row, score, CELL - BAR - 66)}
            hatch={hatch}
            scale={scale}
            x={x}
            y={y + 7 + LINE * (place + 0.5)}
          />
        ))}
        {shown.length < score.rows.length && (
          <text x={x + BAR + 61} y={y + 7 + LINE * (shown.length + 0.5) + 4} class="cv-p-small cv-muted">
            and {score.rows.length - shown.length} more
          </text>
        )}
      </g>
    </g>
  );
}

interface ProductProps {
  weight: number;
  text: string;
  hatch: string;
  scale(value: number): number;
  x: number;
  y: number;
}

function Product({ weight, text, hatch, scale, x, y }: ProductProps) {
  const [from, to] = [x + 8 + scale(0), x + 8 + scale(weight)];
  return (
    <>
      <Bar from={from} to={to} at={y} thick={9} upright={false} value={weight} hatch={hatch} interval={null} />
      <text x={x + BAR + 54} y={y + 4} text-anchor="end" class="cv-p-value">
        {signed(weight)}
      </text>
      <text x={x + BAR + 61} y={y + 4} class="cv-p-small">
        {text}
      </text>
    </>
  );
}
