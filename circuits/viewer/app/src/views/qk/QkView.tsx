/** Query–key: which features of the query meet which features of the key in an attention score. */
import { signal, type Signal } from "@preact/signals";
import { scaleLinear } from "d3-scale";
import { useMemo } from "preact/hooks";
import { count, percent, short, signed } from "../../format";
import type { Store } from "../../store";
import { combination, KINDS } from "../combination";
import { Choice } from "../Choice";
import { chooseCombination, CombinationDetail } from "../Detail";
import { called, placed, token } from "../naming";
import { Bar, type MarkProps, Picture, sign } from "../svg";
import { fitted, SMALL, widthOf } from "../text";
import { grid, type Head, heads, type Score, sides } from "./scores";

const CELL = 330;
const LINE = 19;
/** Products written into a cell; the others are told below. */
const LINES = 5;
const TOP = 40;
const BAR = 64;

interface Chosen {
  head: string | null;
  score: string | null;
}

const states = new WeakMap<Store, Signal<Chosen>>();

/** Which head is looked at, and which of its scores: the same in the picture and the table. */
export function chosenOf(store: Store): Signal<Chosen> {
  const found = states.get(store) ?? signal<Chosen>({ head: null, score: null });
  states.set(store, found);
  return found;
}

export function HeadChoice({ store, all }: { store: Store; all: Head[] }) {
  const state = chosenOf(store);
  return (
    <div class="cv-p-filters">
      <Choice
        name="Head"
        value={state.value.head ?? all[0].name}
        options={all.map((one) => [one.name, `${one.name} (${count(one.held)} in this file)`] as const)}
        change={(head) => (state.value = { head, score: null })}
      />
    </div>
  );
}

export function QkView({ store }: { store: Store }) {
  const all = useMemo(() => heads(store.model), [store.model]);
  const state = chosenOf(store);
  const head = all.find((one) => one.name === state.value.head) ?? all[0];
  const score = head.scores.find((one) => one.target === state.value.score) ?? null;
  return (
    <div class="cv-p-page">
      <HeadChoice store={store} all={all} />
      <p class="cv-p-counts">
        Head {head.name}: a query looks at a key by the sum of products, one feature at the query times one at the key;{" "}
        {count(head.held)} products of {count(head.scores.length)} {head.scores.length === 1 ? "score" : "scores"} are in this
        file. Blue raises the score, orange and hatched lowers it.
      </p>
      <Grid store={store} head={head} state={state} />
      {score ? <Products store={store} score={score} /> : <p class="cv-p-hint">Select a cell to see all of its products.</p>}
    </div>
  );
}

function Grid({ store, head, state }: { store: Store; head: Head; state: Signal<Chosen> }) {
  const { model } = store;
  const { queries, keys } = useMemo(() => grid(head), [head]);
  const weights = head.scores.flatMap((one) => one.rows.map((row) => model.graph.hyperedges.weight[row]));
  const scale = scaleLinear([Math.min(0, ...weights), Math.max(0, ...weights)], [0, BAR]);
  const names = queries.map((query) => fitted(token(model, query), 130));
  const left = Math.max(80, ...names.map((name) => widthOf(name))) + 20;
  const rowOf = (score: Score) => queries.indexOf(score.at.query as number);
  const columnOf = (score: Score) => keys.findIndex(([key, over]) => key === score.at.key && over === score.at.over);
  const lines = (query: number) => Math.max(1, ...head.scores.filter((one) => one.at.query === query).map((one) => Math.min(LINES + 1, one.rows.length)));
  const heights = queries.map((query) => 14 + LINE * lines(query));
  const tops = heights.map((_, place) => TOP + heights.slice(0, place).reduce((sum, height) => sum + height + 6, 0));
  const byTarget = new Map(head.scores.map((one) => [one.target, one]));
  const lanes = queries.map((query) =>
    head.scores.filter((one) => one.at.query === query).sort((a, b) => columnOf(a) - columnOf(b)).map((one) => one.target),
  );
  return (
    <Picture
      label={`Head ${head.name}: ${queries.length} queries by ${keys.length} keys`}
      width={left + keys.length * (CELL + 6) + 8}
      height={tops[tops.length - 1] + heights[heights.length - 1] + 8}
      along="row"
      lanes={lanes}
      place={(mark) => columnOf(byTarget.get(mark) as Score)}
      says={(mark) => saysScore(store, byTarget.get(mark) as Score)}
      enter={(mark) => (state.value = { head: head.name, score: state.value.score === mark ? null : mark })}
      chosen={(mark) => mark === state.value.score}
    >
      {(mark, hatch) => (
        <>
          <g aria-hidden="true" class="cv-p-axis">
            <text x={left - 12} y={28} text-anchor="end">
              query ↓ key →
            </text>
            {keys.map(([key, over], place) => (
              <text key={`${key}-${over}`} x={left + place * (CELL + 6) + CELL / 2} y={28} text-anchor="middle" class="cv-p-ink">
                {fitted(over === null ? token(model, key) : `${token(model, key)} over ${token(model, over)}`, CELL - 8)}
              </text>
            ))}
            {queries.map((query, place) => (
              <text key={query} x={left - 12} y={tops[place] + heights[place] / 2 + 4} text-anchor="end" class="cv-p-ink">
                {names[place]}
              </text>
            ))}
          </g>
          {head.scores.map((score) => (
            <ScoreCell
              key={score.target}
              store={store}
              score={score}
              mark={mark(score.target)}
              hatch={hatch}
              scale={scale}
              box={[left + columnOf(score) * (CELL + 6), tops[rowOf(score)], heights[rowOf(score)]]}
            />
          ))}
        </>
      )}
    </Picture>
  );
}

/** “ is” × “ capital”. */
export function product(store: Store, row: number, score: Score): string {
  const { query, others } = sides(store.model, row, score.at);
  return [query, ...others].map((name) => short(placed(store.model, name), 60)).join(" × ");
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
  box: [number, number, number];
}

/** The strongest products of a score, a line each: a bar, its value, who meets whom. */
function ScoreCell({ store, score, mark, hatch, scale, box: [x, y, height] }: CellProps) {
  const { weight } = store.model.graph.hyperedges;
  const shown = score.rows.length > LINES + 1 ? score.rows.slice(0, LINES) : score.rows;
  const zero = x + 8 + scale(0);
  return (
    <g {...mark}>
      <rect class="cv-p-box" x={x} y={y} width={CELL} height={height} rx={4} />
      <g aria-hidden="true">
        <line class="cv-p-zero" x1={zero} x2={zero} y1={y + 6} y2={y + 8 + LINE * shown.length} />
        {shown.map((row, place) => {
          const at = y + 7 + LINE * (place + 0.5);
          return (
            <g key={row}>
              <Bar
                from={zero}
                to={x + 8 + scale(weight[row])}
                at={at}
                thick={9}
                upright={false}
                value={weight[row]}
                hatch={hatch}
                interval={null}
              />
              <text x={x + BAR + 54} y={at + 4} text-anchor="end" class="cv-p-value">
                {signed(weight[row])}
              </text>
              <text x={x + BAR + 61} y={at + 4} class="cv-p-small">
                {brief(store, row, score, CELL - BAR - 66)}
              </text>
            </g>
          );
        })}
        {shown.length < score.rows.length && (
          <text x={x + BAR + 61} y={y + 7 + LINE * (shown.length + 0.5) + 4} class="cv-p-small cv-muted">
            and {score.rows.length - shown.length} more
          </text>
        )}
      </g>
    </g>
  );
}

function Products({ store, score }: { store: Store; score: Score }) {
  const { model } = store;
  const { query, key, over } = score.at;
  const against = over === null ? "" : ` over ${token(model, over)}`;
  return (
    <section class="cv-p-detail" aria-label="Products of the selected score">
      <h3>
        <bdi>{`${short(token(model, query as number))} looks at ${short(token(model, key as number))}${against && short(against)}`}</bdi>
      </h3>
      <ul class="cv-p-list">
        {score.rows.map((row) => {
          const one = combination(model, row);
          return (
            <li key={one.id}>
              <button
                type="button"
                class="cv-p-node"
                aria-pressed={store.combination.value === one.id}
                onClick={() => chooseCombination(store, row)}
              >
                <bdi class="cv-p-name">{product(store, row, score)}</bdi>
              </button>{" "}
              <span class={sign(one.weight)}>{signed(one.weight)}</span>{" "}
              <span class="cv-muted">
                {KINDS[one.kind]}
                {one.share === null ? "" : `, ${percent(one.share)} of what moves the target`}
              </span>
            </li>
          );
        })}
      </ul>
      <CombinationDetail store={store} hint="Select a product for its numbers." />
    </section>
  );
}
