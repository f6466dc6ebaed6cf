/** Combinations as diamonds, joined to their members at the left and to what they act on at the right. */
import { scaleLinear } from "d3-scale";
import { useMemo } from "preact/hooks";
import { short } from "../../format";
import type { Store } from "../../store";
import { type Combination, combinations, KINDS, sentence, SIGNS, valueText } from "../combination";
import { Filters } from "../Choice";
import { chooseCombination, chooseName, CombinationDetail, nodeOf } from "../Detail";
import { called, placed, unit } from "../naming";
import { across, Bar, diamond, type MarkProps, Picture, sign } from "../svg";
import { fitted, SMALL, widthOf } from "../text";
import { counts, filterOf } from "./filter";
import { type Places, places } from "./places";

export const STEPS = [10, 25, 100];
const NAME = 230;
const CURVE = 130;
const BARS = 150;
const RADIUS = 9;

export function HyperedgesView({ store }: { store: Store }) {
  const filter = filterOf(store, "hyperedges", 25);
  const { model } = store;
  const found = useMemo(() => combinations(model, filter.value), [model, filter.value]);
  return (
    <div class="cv-p-page">
      <Filters model={model} filter={filter.value} steps={STEPS} change={(next) => (filter.value = next)} />
      <p class="cv-p-counts">{counts(store, found.shown.length, found.passing)}</p>
      {found.shown.length ? (
        <Bipartite store={store} shown={found.shown} relative={found.relative} />
      ) : (
        <p class="cv-empty">No combination of this file is of this kind.</p>
      )}
      <CombinationDetail store={store} hint="Select a diamond to see what it runs through." />
    </div>
  );
}

interface Drawn {
  store: Store;
  shown: Combination[];
  relative: boolean;
}

function Bipartite({ store, shown, relative }: Drawn) {
  const { model, combination } = store;
  const at = useMemo(() => places(model, shown), [model, shown]);
  const named = useMemo(() => names(store, at), [store, at]);
  const byId = new Map(shown.map((one) => [one.id, one]));
  const left = Math.min(NAME, Math.max(60, ...named.members.map((one) => widthOf(one.text)))) + 12;
  const middle = left + CURVE;
  const bars = middle + RADIUS + 12;
  const told = Math.max(...shown.map((one) => widthOf(valueText(one, relative), SMALL) + widthOf(kindText(one), SMALL))) + 24;
  const effects = bars + BARS + told;
  const right = effects + 96;
  const width = right + 12 + Math.min(NAME, Math.max(60, ...named.targets.map((one) => widthOf(one.text)))) + 8;
  const scale = scaleLinear()
    .domain([Math.min(0, ...shown.map((one) => one.low)), Math.max(0, ...shown.map((one) => one.high))])
    .range([bars, bars + BARS]);
  const lanes = [[...at.members.keys()].map(member), shown.map((one) => tie(one.id)), [...at.targets.keys()].map(target)];
  const height = (mark: string) => (KIND[mark[0]](at).get(mark.slice(2)) as number) ?? 0;
  const chosen = byId.get(combination.value ?? "");
  const near = store.selected.value;
  const faint = (one: Combination) =>
    chosen ? one !== chosen : near !== null && [...at.members.keys(), ...at.targets.keys()].includes(near)
      ? !one.members.includes(near) && one.target !== near
      : false;
  const first = shown[0];
  const head = relative ? "share of what moves the target" : unit(model, first.target);
  const says = (mark: string) => {
    const name = mark.slice(2);
    if (mark[0] === "c") return sentence(model, byId.get(name) as Combination);
    const inside = mark[0] === "m";
    const part = shown.filter((each) => (inside ? each.members.includes(name) : each.target === name));
    return `${short(placed(model, name))}: ${inside ? "in" : "acted on by"} ${part.length} of these combinations`;
  };
  return (
    <Picture
      label={`${shown.length} combinations: members, combinations, what they act on`}
      width={width}
      height={at.height}
      along="column"
      lanes={lanes}
      place={height}
      says={says}
      enter={(mark) => {
        const name = mark.slice(2);
        if (mark[0] === "c") chooseCombination(store, (byId.get(name) as Combination).row);
        else chooseName(store, name);
      }}
      chosen={(mark) => mark.slice(2) === (mark[0] === "c" ? combination.value : near)}
    >
      {(mark, hatch) => (
        <>
          <g aria-hidden="true" class="cv-p-axis">
            <text x={left - 12} y={16} text-anchor="end">
              members
            </text>
            <text x={bars} y={16}>
              {fitted(head, 240, SMALL)}
            </text>
            <text x={right + 12} y={16}>
              acts on
            </text>
            <line x1={scale(0)} x2={scale(0)} y1={24} y2={at.height - 4} />
          </g>
          <g aria-hidden="true" class="cv-p-ties">
            {shown.map((one) => (
              <Ties key={one.id} one={one} at={at} x={[left - 6, middle, effects, right + 6]} faint={faint(one)} />
            ))}
          </g>
          {named.members.map(({ name, text }) => (
            <Name key={name} mark={mark(member(name), nodeOf(store, name))} x={left - 12} y={at.members.get(name) as number} text={text} end />
          ))}
          {shown.map((one) => (
            <Diamond key={one.id} one={one} mark={mark(tie(one.id))} y={at.diamonds.get(one.id) as number} x={middle} faint={faint(one)}>
              <Bar
                from={scale(0)}
                to={scale(one.value)}
                at={at.diamonds.get(one.id) as number}
                thick={11}
                upright={false}
                value={one.value}
                hatch={hatch}
                interval={one.unsure ? [scale(one.low), scale(one.high)] : null}
              />
              <text x={bars + BARS + 8} y={(at.diamonds.get(one.id) as number) + 4} class="cv-p-value">
                {valueText(one, relative)}
                <tspan class="cv-muted" dx="6">
                  {kindText(one)}
                </tspan>
              </text>
            </Diamond>
          ))}
          {named.targets.map(({ name, text }) => (
            <Name key={name} mark={mark(target(name), nodeOf(store, name))} x={right + 12} y={at.targets.get(name) as number} text={text} end={false} />
          ))}
        </>
      )}
    </Picture>
  );
}

/** Marks are named by a letter for what they are, then their name. */
const member = (name: string) => `m:${name}`;
const target = (name: string) => `t:${name}`;
const tie = (id: string) => `c:${id}`;

const KIND: Record<string, (at: Places) => Map<string, number>> = {
  m: (at) => at.members,
  c: (at) => at.diamonds,
  t: (at) => at.targets,
};

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

/** “and”, “adds up, 3”, “and, estimated”. */
function kindText(one: Combination): string {
  return `${KINDS[one.kind]}${one.order > 2 ? `, ${one.order}` : ""}${one.estimated ? ", estimated" : ""}`;
}

/** Dotted from the members to the diamond, in the style of the sign from the bar to the target. */
function Ties({ one, at, x, faint }: { one: Combination; at: Places; x: [number, number, number, number]; faint: boolean }) {
  const y = at.diamonds.get(one.id) as number;
  return (
    <g class={`${sign(one.weight)}${faint ? " cv-p-faint" : ""}`}>
      {one.members.map((name) => (
        <path key={name} class="cv-p-tie" d={across(x[0], at.members.get(name) as number, x[1] - RADIUS, y)} />
      ))}
      <path class="cv-p-effect" d={across(x[2], y, x[3], at.targets.get(one.target) as number)} />
    </g>
  );
}

interface DiamondProps {
  one: Combination;
  mark: MarkProps;
  x: number;
  y: number;
  faint: boolean;
  children: preact.ComponentChildren;
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

function Name({ mark, x, y, text, end }: { mark: MarkProps; x: number; y: number; text: string; end: boolean }) {
  const wide = widthOf(text);
  return (
    <g {...mark}>
      <rect class="cv-p-hit" x={end ? x - wide - 4 : x - 4} y={y - 10} width={wide + 8} height={20} />
      <text x={x} y={y + 4} text-anchor={end ? "end" : "start"}>
        {text}
      </text>
    </g>
  );
}
