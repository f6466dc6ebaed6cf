/** The UpSet plot: a column a combination, a row a member; bars above, what is acted on below. */
import { scaleLinear } from "d3-scale";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { short } from "../../format";
import type { Store } from "../../store";
import { type Combination, KINDS, type Kind, sentence, SIGNS, valueText } from "../combination";
import { chooseCombination, chooseName, nodeOf } from "../Detail";
import { placed, unit } from "../naming";
import { Bar, type MarkProps, Picture } from "../svg";
import { fitted, SMALL, widthOf } from "../text";
import type { Upset } from "./columns";

const PITCH = 46;
const LINE = 24;
const NAME = 280;
const BARS = 190;
const SIGN = 28;
const GAP = 26;
const TOP = 8;
/** What explains bars needs this much at their left. */
const KEY = 150;

interface Rows {
  members: Map<string, number>;
  targets: Map<string, number>;
  left: number;
  height: number;
  base: number;
}

function rowsOf(store: Store, { members, targets }: Upset): Rows {
  const texts = [...members, ...targets].map((name) => widthOf(fitted(rowText(store, name), NAME)));
  const base = TOP + BARS + SIGN;
  const below = base + LINE * members.length + GAP;
  return {
    left: Math.max(KEY, ...texts) + 24,
    base,
    members: new Map(members.map((name, place) => [name, base + LINE * (place + 0.5)])),
    targets: new Map(targets.map((name, place) => [name, below + LINE * (place + 0.5)])),
    height: below + LINE * targets.length + 6,
  };
}

function rowText(store: Store, name: string): string {
  const found = store.model.graph.targets.find((one) => one.node === name);
  return found ? `output ${found.text}` : placed(store.model, name);
}

export function Plot({ store, plot }: { store: Store; plot: Upset }) {
  const rows = useMemo(() => rowsOf(store, plot), [store, plot]);
  const { columns } = plot;
  const width = rows.left + PITCH * columns.length + 12;
  const x = (place: number) => rows.left + PITCH * (place + 0.5);
  const scale = useMemo(() => heights(columns), [columns]);
  const byId = new Map(columns.map((one, place) => [one.id, place]));
  const names = [...plot.members.map((name) => `m:${name}`), ...plot.targets.map((name) => `t:${name}`)];
  const chosen = byId.get(store.combination.value ?? "");
  return (
    <Picture
      label={`UpSet plot of ${columns.length} combinations: bars above, members as dots below`}
      width={width}
      height={rows.height}
      along="row"
      lanes={[columns.map((one) => `c:${one.id}`), ...names.map((name) => [name])]}
      place={(mark) => (mark[0] === "c" ? x(byId.get(mark.slice(2)) as number) : 0)}
      says={(mark) => says(store, plot, mark)}
      enter={(mark) => {
        const name = mark.slice(2);
        if (mark[0] === "c") chooseCombination(store, columns[byId.get(name) as number].row);
        else chooseName(store, name);
      }}
      chosen={(mark) => mark.slice(2) === (mark[0] === "c" ? store.combination.value : store.selected.value)}
    >
      {(mark, hatch) => (
        <>
          <Bands rows={rows} right={width - 4} />
          {chosen !== undefined && (
            <rect class="cv-p-band-chosen" x={x(chosen) - PITCH / 2 + 2} width={PITCH - 4} y={0} height={rows.height} />
          )}
          <Key store={store} plot={plot} right={rows.left - 16} />
          {names.map((name) => (
            <RowName key={name} store={store} name={name} rows={rows} mark={mark(name, nodeOf(store, name.slice(2)))} />
          ))}
          <line class="cv-p-zero" x1={rows.left} x2={width - 8} y1={scale(0)} y2={scale(0)} aria-hidden="true" />
          {columns.map((one, place) => (
            <Column key={one.id} one={one} x={x(place)} rows={rows} mark={mark(`c:${one.id}`)}>
              <Value one={one} x={x(place)} scale={scale} relative={plot.relative} hatch={hatch} />
            </Column>
          ))}
        </>
      )}
    </Picture>
  );
}

/** Values to heights, with room for a number beyond the longest bar on either side. */
function heights(columns: readonly Combination[]) {
  const ends = [...columns.flatMap((one) => [one.low, one.high, one.value]), 0];
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  return scaleLinear([low, high], [TOP + BARS - (low < 0 ? 18 : 0), TOP + (high > 0 ? 18 : 0)]);
}

function says(store: Store, { columns }: Upset, mark: string): string {
  const name = mark.slice(2);
  if (mark[0] === "c") return sentence(store.model, columns.find(({ id }) => id === name) as Combination);
  const inside = mark[0] === "m";
  const part = columns.filter((one) => (inside ? one.members.includes(name) : one.target === name)).length;
  return `${short(rowText(store, name))}: ${inside ? "in" : "acted on by"} ${part} of these combinations`;
}

function Bands({ rows, right }: { rows: Rows; right: number }) {
  const bands = [rows.members, rows.targets].flatMap((block) => [...block.values()].filter((_, place) => place % 2 === 0));
  return (
    <g aria-hidden="true">
      {bands.map((y) => (
        <rect key={y} class="cv-p-band" x={rows.left - 8} width={right - rows.left + 8} y={y - LINE / 2} height={LINE} />
      ))}
    </g>
  );
}

/** What bars and signs mean, left of the bars. */
function Key({ store, plot, right }: { store: Store; plot: Upset; right: number }) {
  const kinds = new Set(plot.columns.map((one) => one.kind));
  const measure = plot.relative ? "as a share of what moves the target" : unit(store.model, plot.columns[0].target);
  const signs = (Object.keys(SIGNS) as Kind[]).filter((kind) => kinds.has(kind));
  const lines = ["the interaction,", measure, ...signs.map((kind) => `${KINDS[kind]} ${SIGNS[kind]}`)];
  return (
    <g aria-hidden="true" class="cv-p-axis">
      {lines.map((line, place) => (
        <text key={line} x={right} y={TOP + 10 + 16 * place} text-anchor="end">
          {fitted(line, right - 8, SMALL)}
        </text>
      ))}
      <text x={right} y={TOP + BARS + SIGN + LINE * plot.members.length + GAP / 2 + 4} text-anchor="end">
        acts on
      </text>
    </g>
  );
}

function RowName({ store, name, rows, mark }: { store: Store; name: string; rows: Rows; mark: MarkProps }) {
  const inside = name[0] === "m";
  const y = (inside ? rows.members : rows.targets).get(name.slice(2)) as number;
  const text = fitted(rowText(store, name.slice(2)), NAME);
  const wide = widthOf(text);
  return (
    <g {...mark} class={`${mark.class}${inside ? "" : " cv-p-soft"}`}>
      <rect class="cv-p-hit" x={rows.left - 20 - wide} width={wide + 8} y={y - LINE / 2 + 1} height={LINE - 2} />
      <text x={rows.left - 16} y={y + 4} text-anchor="end">
        {text}
      </text>
    </g>
  );
}

type Scale = (value: number) => number;

interface ColumnProps {
  one: Combination;
  x: number;
  rows: Rows;
  mark: MarkProps;
  children: ComponentChildren;
}

/** Dots of the members, joined, and a square on what they act on; the bar stands above. */
function Column({ one, x, rows, mark, children }: ColumnProps) {
  const ys = one.members.map((name) => rows.members.get(name) as number);
  const below = rows.targets.get(one.target) as number;
  return (
    <g {...mark}>
      <rect class="cv-p-hit" x={x - PITCH / 2 + 1} width={PITCH - 2} y={1} height={rows.height - 2} />
      <g aria-hidden="true">
        <line class="cv-p-leads" x1={x} x2={x} y1={Math.max(...ys)} y2={below} />
        <line class="cv-p-joins" x1={x} x2={x} y1={Math.min(...ys)} y2={Math.max(...ys)} />
        {ys.map((y, place) => (
          <circle key={one.members[place]} class="cv-p-dot" cx={x} cy={y} r={5.5} />
        ))}
        <rect class="cv-p-acted" x={x - 5} y={below - 5} width={10} height={10} />
        <text class="cv-p-strong" x={x} y={TOP + BARS + SIGN / 2 + 5} text-anchor="middle">
          {SIGNS[one.kind]}
        </text>
      </g>
      {children}
    </g>
  );
}

interface ValueProps {
  one: Combination;
  x: number;
  scale: Scale;
  relative: boolean;
  hatch: string;
}

/** The bar with its interval, and its number beyond both. */
function Value({ one, x, scale, relative, hatch }: ValueProps) {
  const up = one.value >= 0;
  const y = up ? scale(Math.max(one.high, one.value)) - 5 : scale(Math.min(one.low, one.value)) + 13;
  return (
    <>
      <Bar
        from={scale(0)}
        to={scale(one.value)}
        at={x}
        thick={18}
        upright
        value={one.value}
        hatch={hatch}
        interval={one.unsure ? [scale(one.low), scale(one.high)] : null}
      />
      <text x={x} y={y} text-anchor="middle" class="cv-p-value" aria-hidden="true">
        {fitted(valueText(one, relative), PITCH + 4, SMALL)}
      </text>
    </>
  );
}
