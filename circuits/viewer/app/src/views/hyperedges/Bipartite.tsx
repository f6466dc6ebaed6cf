/** The picture of combinations: names of members, diamonds with their bars, names of what they act on. */
import { type ScaleLinear, scaleLinear } from "d3-scale";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { short } from "../../format";
import type { Store } from "../../store";
import { type Combination, KINDS, sentence, SIGNS, valueText } from "../combination";
import { chooseCombination, chooseName, nodeOf } from "../Detail";
import { called, placed, unit } from "../naming";
import { across, Bar, diamond, type Marker, type MarkProps, Picture, sign } from "../svg";
import { fitted, SMALL, widthOf } from "../text";
import { type Places, places } from "./places";

const NAME = 230;
const CURVE = 104;
const BARS = 130;
const RADIUS = 9;

interface Drawn {
  store: Store;
  shown: Combination[];
  relative: boolean;
}

export function Bipartite({ store, shown, relative }: Drawn) {
  const at = useMemo(() => places(store.model, shown), [store, shown]);
  const named = useMemo(() => names(store, at), [store, at]);
  const columns = useMemo(() => columnsOf(named, shown, relative), [named, shown, relative]);
  const byId = new Map(shown.map((one) => [one.id, one]));
  const faint = faintness(store, shown);
  return (
    <Picture
      label={`${shown.length} combinations: members, combinations, what they act on`}
      width={columns.width}
      height={at.height}
      along="column"
      lanes={[[...at.members.keys()].map(member), shown.map((one) => tie(one.id)), [...at.targets.keys()].map(target)]}
      place={(mark) => (mark[0] === "m" ? at.members : mark[0] === "c" ? at.diamonds : at.targets).get(mark.slice(2)) ?? 0}
      says={(mark) => says(store, shown, mark)}
      enter={(mark) => {
        if (mark[0] === "c") chooseCombination(store, (byId.get(mark.slice(2)) as Combination).row);
        else chooseName(store, mark.slice(2));
      }}
      chosen={(mark) => mark.slice(2) === (mark[0] === "c" ? store.combination.value : store.selected.value)}
    >
      {(mark, hatch) => (
        <>
          <Heads columns={columns} height={at.height} measure={relative ? "share of what moves the target" : unit(store.model, shown[0].target)} />
          <g aria-hidden="true" class="cv-p-ties">
            {shown.map((one) => (
              <Ties key={one.id} one={one} at={at} columns={columns} faint={faint(one)} />
            ))}
          </g>
          <Names store={store} named={named.members} at={at.members} x={columns.left} mark={mark} letter={member} end />
          {shown.map((one) => (
            <Diamond key={one.id} one={one} mark={mark(tie(one.id))} y={at.diamonds.get(one.id) as number} x={columns.middle} faint={faint(one)}>
              <Value one={one} columns={columns} y={at.diamonds.get(one.id) as number} hatch={hatch} relative={relative} />
            </Diamond>
          ))}
          <Names store={store} named={named.targets} at={at.targets} x={columns.right} mark={mark} letter={target} end={false} />
        </>
      )}
    </Picture>
  );
}

/** From the left: the ends of members' names, diamonds, bars with their scale, where effects begin, targets' names. */
interface Columns {
  left: number;
  middle: number;
  bars: number;
  effects: number;
  right: number;
  width: number;
  scale: ScaleLinear<number, number>;
}

function columnsOf(named: { members: Named[]; targets: Named[] }, shown: Combination[], relative: boolean): Columns {
  const widest = (all: Named[]) => Math.max(60, ...all.map((one) => widthOf(one.text)));
  const left = widest(named.members) + 6;
  const middle = left + 12 + CURVE;
  const bars = middle + RADIUS + 12;
  const texts = shown.map((one) => widthOf(valueText(one, relative), SMALL) + widthOf(kindText(one), SMALL));
  const effects = bars + BARS + Math.max(...texts) + 24;
  const right = effects + 84;
  const ends = shown.flatMap((one) => [one.low, one.high, one.value]);
  const scale = scaleLinear([Math.min(0, ...ends), Math.max(0, ...ends)], [bars, bars + BARS]);
  return { left, middle, bars, effects, right, width: right + widest(named.targets) + 8, scale };
}

function says(store: Store, shown: Combination[], mark: string): string {
  const name = mark.slice(2);
  if (mark[0] === "c") return sentence(store.model, shown.find(({ id }) => id === name) as Combination);
  const inside = mark[0] === "m";
  const part = shown.filter((each) => (inside ? each.members.includes(name) : each.target === name));
  return `${short(placed(store.model, name))}: ${inside ? "in" : "acted on by"} ${part.length} of these combinations`;
}

/** What is dimmed: all but the combination that is looked at, or else what the selected node has no part in. */
function faintness({ combination, selected }: Store, shown: Combination[]): (one: Combination) => boolean {
  if (shown.some(({ id }) => id === combination.value)) return ({ id }) => id !== combination.value;
  const part = ({ members, target: acted }: Combination) => [...members, acted].includes(selected.value ?? "");
  return shown.some(part) ? (one) => !part(one) : () => false;
}

function Heads({ columns, height, measure }: { columns: Columns; height: number; measure: string }) {
  const zero = columns.scale(0);
  return (
    <g aria-hidden="true" class="cv-p-axis">
      <text x={columns.left} y={16} text-anchor="end">
        members
      </text>
      <text x={columns.bars} y={16}>
        {fitted(measure, 240, SMALL)}
      </text>
      <text x={columns.right} y={16}>
        acts on
      </text>
      <line x1={zero} x2={zero} y1={24} y2={height - 4} />
    </g>
  );
}

/** Marks are named by a letter for what they are, then their name. */
const member = (name: string) => `m:${name}`;
const target = (name: string) => `t:${name}`;
const tie = (id: string) => `c:${id}`;


function names(store: Store, at: Places): { members: Named[]; targets: Named[] } {
  const fit = (name: string, text: string) => ({ name, text: fitted(text, NAME) });
  return {
    members: [...at.members.keys()].map((name) => fit(name, placed(store.model, name))),
    targets: [...at.targets.keys()].map((name) => fit(name, called(store.model, name))),
  };
}

interface Named {
  name: string;
  text: string;
}

/** “and”, “additive, 3”, “and, estimated”. */
function kindText(one: Combination): string {
  return `${KINDS[one.kind]}${one.order > 2 ? `, ${one.order}` : ""}${one.estimated ? ", estimated" : ""}`;
}

/** Dotted from the members to the diamond, in the style of the sign from the bar to the target. */
function Ties({ one, at, columns, faint }: { one: Combination; at: Places; columns: Columns; faint: boolean }) {
  const y = at.diamonds.get(one.id) as number;
  const { left, middle, effects, right } = columns;
  return (
    <g class={`${sign(one.weight)}${faint ? " cv-p-faint" : ""}`}>
      {one.members.map((name) => (
        <path key={name} class="cv-p-tie" d={across(left + 6, at.members.get(name) as number, middle - RADIUS, y)} />
      ))}
      <path class="cv-p-effect" d={across(effects, y, right - 6, at.targets.get(one.target) as number)} />
    </g>
  );
}

interface ValueProps {
  one: Combination;
  columns: Columns;
  y: number;
  hatch: string;
  relative: boolean;
}

function Value({ one, columns: { scale, bars }, y, hatch, relative }: ValueProps) {
  return (
    <>
      <Bar
        from={scale(0)}
        to={scale(one.value)}
        at={y}
        thick={11}
        upright={false}
        value={one.value}
        hatch={hatch}
        interval={one.unsure ? [scale(one.low), scale(one.high)] : null}
      />
      <text x={bars + BARS + 8} y={y + 4} class="cv-p-value">
        {valueText(one, relative)}
        <tspan class="cv-muted" dx="6">
          {kindText(one)}
        </tspan>
      </text>
    </>
  );
}

interface DiamondProps {
  one: Combination;
  mark: MarkProps;
  x: number;
  y: number;
  faint: boolean;
  children: ComponentChildren;
}

function Diamond({ one, mark, x, y, faint, children }: DiamondProps) {
  return (
    <g {...mark} class={`${mark.class} ${sign(one.weight)}${faint ? " cv-p-faint" : ""}`}>
      <rect class="cv-p-hit" x={x - RADIUS - 4} y={y - 12} width={BARS + 2 * RADIUS + 110} height={24} />
      <path class={one.weight < 0 ? "cv-p-diamond cv-p-hollow" : "cv-p-diamond"} d={diamond(x, y, RADIUS)} />
      <text x={x} y={y + 4} text-anchor="middle" class={one.weight < 0 ? "cv-p-sign cv-p-hollow" : "cv-p-sign"} aria-hidden="true">
        {SIGNS[one.kind]}
      </text>
      {children}
    </g>
  );
}

interface NamesProps {
  store: Store;
  named: Named[];
  at: Map<string, number>;
  x: number;
  mark: Marker;
  letter(name: string): string;
  end: boolean;
}

/** Names one below another; `end`: they end at x. */
function Names({ store, named, at, x, mark, letter, end }: NamesProps) {
  return (
    <>
      {named.map(({ name, text }) => {
        const [y, wide] = [at.get(name) as number, widthOf(text)];
        return (
          <g key={name} {...mark(letter(name), nodeOf(store, name))}>
            <rect class="cv-p-hit" x={end ? x - wide - 4 : x - 4} y={y - 10} width={wide + 8} height={20} />
            <text x={x} y={y + 4} text-anchor={end ? "end" : "start"}>
              {text}
            </text>
          </g>
        );
      })}
    </>
  );
}
