/** One picture of a comparison: both graphs merged, or one of them in the places of both. */
import { useMemo } from "preact/hooks";
import type { DiffPart } from "../../document";
import { short, signed } from "../../format";
import type { Model } from "../../model";
import type { Store } from "../../store";
import { outline } from "../graph/Glyph";
import { token } from "../naming";
import { type MarkProps, Picture, sign, upward } from "../svg";
import { fitted, SMALL, widthOf } from "../text";
import { nameOf, open, type Side, stateOf, WHERE } from "./DiffView";
import { type Change, changes, type Merged } from "./merge";
import { LEAST, type Line, LINE, type Placed, places } from "./places";

/** Edges drawn of the node that is looked at. */
const EDGES = 16;
/** The widest text of a token. */
const WORD = 110;

interface PaneProps {
  store: Store;
  shown: Merged[];
  all: Merged[];
  side: Side;
  label: string;
}

export function Pane({ store, shown, all, side, label }: PaneProps) {
  const { model } = store;
  const diff = model.document.diff as DiffPart;
  const words = useMemo(() => diff.positions.map((_, place) => fitted(tokens(model, diff, place, side), WORD)), [model, diff, side]);
  const at = useMemo(
    () => places(shown, words.map((word) => widthOf(word)), (one) => side === "both" || (side === "first" ? one.here : one.there) !== null),
    [shown, words, side],
  );
  const state = stateOf(store);
  const byId = new Map(shown.map((one) => [one.id, one]));
  const opened = all.find(({ id }) => id === state.value.open);
  const largest = Math.max(...shown.map((one) => Math.abs(valueOf(one, side) ?? 0)), 1e-300);
  return (
    <Picture
      label={`${label}: ${at.at.size} nodes by token and layer`}
      width={at.width}
      height={at.height}
      along="column"
      lanes={at.lanes}
      place={(mark) => at.at.get(mark)?.y ?? 0}
      says={(mark) => says(model, byId.get(mark) as Merged)}
      enter={(mark) => open(store, byId.get(mark) as Merged)}
      chosen={(mark) => mark === state.value.open}
    >
      {(mark, hatch) => (
        <>
          <Ground model={model} words={words} at={at} />
          {opened && <Edges model={model} all={all} one={opened} at={at} side={side} />}
          {shown.map((one) => {
            const line = at.at.get(one.id);
            return line ? (
              <Node
                key={one.id}
                one={one}
                text={one.level < 0 ? "" : nameOf(model, one, side)}
                side={side}
                line={line}
                part={Math.abs(valueOf(one, side) ?? 0) / largest}
                mark={mark(one.id, one.here === null ? undefined : model.graph.nodes.node[one.here])}
                hatch={hatch}
              />
            ) : null;
          })}
        </>
      )}
    </Picture>
  );
}

/** The change of the effect in the merged picture, the effect itself in a pane. */
function valueOf(one: Merged, side: Side): number | null {
  return side === "both" ? one.change : one.effects[side === "first" ? 0 : 1];
}

function says(model: Model, one: Merged): string {
  const [first, second] = one.effects;
  const change = one.change === null ? "" : `, changed by ${signed(one.change)}`;
  const value = (effect: number | null) => (effect === null ? "unknown" : signed(effect));
  const level = one.level < 0 ? one.kind : one.kind === "logit" ? "target" : `${one.kind}, layer ${one.level}`;
  return `${short(nameOf(model, one))} (${level}), ${WHERE[one.where]}: effect ${value(first)} in the first, ${value(second)} in the second${change}`;
}

function Ground({ model, words, at }: { model: Model; words: string[]; at: Placed }) {
  const foot = at.bands[at.bands.length - 1].top;
  // Layers are named at the left, and again beside the first features where these stand far from it.
  const begin = Math.min(...at.columns.filter(({ width }) => width >= LEAST).map(({ left }) => left));
  const beside = begin > 160 && Number.isFinite(begin) ? [8, begin - 24] : [8];
  return (
    <g aria-hidden="true" class="cv-p-axis">
      {at.bands.map(({ level, top, height }, place) => (
        <g key={level}>
          {place % 2 === 0 && <rect class="cv-p-band" x={0} width={at.width} y={top} height={height} />}
          {beside.map((x) => (
            <text key={x} x={x} y={top + height / 2 + 4}>
              {level < 0 ? "" : level >= model.graph.layers ? "out" : `L${level}`}
            </text>
          ))}
        </g>
      ))}
      {at.columns.map(({ left, width }, place) => (
        <text key={left} x={left + 22} y={foot + 16} class="cv-p-ink">
          {fitted(words[place], width - 24)}
        </text>
      ))}
    </g>
  );
}

/** The token of a column: where the two prompts differ, both. */
function tokens(model: Model, diff: DiffPart, place: number, side: Side): string {
  const [here, there] = diff.positions[place];
  const first = here === null ? "–" : token(model, here);
  const second = there === null ? "–" : token(model.against as Model, there);
  if (side !== "both") return side === "first" ? first : second;
  return first === second ? first : `${first} | ${second}`;
}

interface NodeProps {
  one: Merged;
  text: string;
  side: Side;
  line: Line;
  part: number;
  mark: MarkProps;
  hatch: string;
}

const TAGS = { both: "", first: "1 only", second: "2 only", "first shown": "1 shown", "second shown": "2 shown" };

/** The mark of its kind, outlined by where it is, its name, the change, and in words where it is. */
function Node({ one, text, side, line: { x, y, width }, part, mark, hatch }: NodeProps) {
  const value = valueOf(one, side);
  const tone = value === null ? "" : sign(value);
  const radius = 5.2;
  const path = outline(one.kind, radius);
  const said = value === null ? "?" : signed(value);
  const tag = TAGS[one.where];
  const token = one.level < 0;
  const right = x + width - 24;
  const name = width - 40 - widthOf(said, SMALL) - (tag ? widthOf(tag, SMALL) + 10 : 0) - 8;
  return (
    <g {...mark} class={`${mark.class} ${tone}`}>
      <rect class="cv-p-hit" x={x - 9} y={y - LINE / 2} width={token ? 18 : width - 12} height={LINE} />
      <g transform={`translate(${x},${y})`}>
        <path d={path} class="cv-p-ground" />
        <path d={path} class="cv-p-changed" style={{ fillOpacity: 0.12 + 0.88 * Math.sqrt(part) }} />
        {value !== null && value < 0 && <path d={path} class="cv-p-cell-hatch" style={{ fill: hatch }} />}
        <path d={path} class={`cv-p-edge cv-p-in-${one.where.split(" ")[0]}`} />
      </g>
      {!token && (
        <g aria-hidden="true" class="cv-p-line">
          <text x={x + 12} y={y + 4} class="cv-p-small">
            {fitted(text, name, SMALL)}
          </text>
          <text x={right - (tag ? widthOf(tag, SMALL) + 6 : 0)} y={y + 4} text-anchor="end" class="cv-p-value">
            {said}
          </text>
          {tag && (
            <text x={right} y={y + 4} text-anchor="end" class="cv-p-small cv-muted">
              {tag}
            </text>
          )}
        </g>
      )}
    </g>
  );
}

/** The edges of the node that is looked at: their weights in a pane, what changes of them in the merged picture. */
function Edges({ model, all, one, at, side }: { model: Model; all: Merged[]; one: Merged; at: Placed; side: Side }) {
  const found = useMemo(() => changes(model, all, one), [model, all, one]);
  const weight = ({ weights }: Change) => (side === "both" ? weights[1] - weights[0] : weights[side === "first" ? 0 : 1]);
  const drawn = found.filter((edge) => weight(edge) !== 0 && at.at.has(edge.source) && at.at.has(edge.target)).slice(0, EDGES);
  const largest = Math.max(...drawn.map((edge) => Math.abs(weight(edge))), 1e-300);
  return (
    <g aria-hidden="true">
      {drawn.map((edge) => {
        const [from, to] = [at.at.get(edge.source) as Line, at.at.get(edge.target) as Line];
        return (
          <path
            key={`${edge.source} ${edge.target}`}
            class={`cv-p-effect ${sign(weight(edge))}`}
            style={{ strokeWidth: 1 + (4 * Math.abs(weight(edge))) / largest }}
            d={upward(from.x, from.y, to.x, to.y)}
          />
        );
      })}
    </g>
  );
}
