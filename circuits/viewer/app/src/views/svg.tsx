/** What pictures share: a frame that scrolls, marks that take focus, tips, and the style of signs. */
import type { ComponentChildren, JSX, RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import "../style/views.css";
import { useUniqueId } from "./ids";
import { first, type Lanes, MOVES, step } from "./roving";

/** What makes an SVG group a mark: give it to a `<g>`. */
export type MarkProps = JSX.IntrinsicElements["g"];

/** What makes a group the mark of a name; with the name of the node it stands for, if it stands for one. */
export type Marker = (mark: string, node?: string) => MarkProps;

export interface PictureProps extends Lanes {
  /** What is drawn, for those who cannot see it. */
  label: string;
  width: number;
  height: number;
  /** A mark in a sentence: its accessible name, and its tip. */
  says(mark: string): string;
  enter(mark: string): void;
  /** Marks that are selected. */
  chosen(mark: string): boolean;
  children(mark: Marker, hatch: string): ComponentChildren;
}

/**
 * A picture that scrolls inside its own region. One of its marks is in the order of tabs; arrows move from mark
 * to mark, Enter and Space do what a click does, and the tip of a mark shows where it is pointed at or has focus.
 */
export function Picture(props: PictureProps) {
  const { width, height, label } = props;
  const id = useUniqueId();
  const svg = useRef<SVGSVGElement>(null);
  const [tip, setTip] = useState<string | null>(null);
  const { mark, known, handlers } = useMarks(props, svg, setTip);
  return (
    <div class="cv-p-picture">
      <div class="cv-p-scroll" role="region" aria-label={label} {...handlers}>
        <svg
          ref={svg}
          class="cv-p-svg"
          width={width}
          height={height}
          viewBox={`0 0 ${width} ${height}`}
          role="listbox"
          aria-multiselectable={true}
          aria-label={label}
        >
          <defs>
            <pattern id={id} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect width="5" height="5" class="cv-p-paper" />
              <rect width="2" height="5" class="cv-p-hatch" />
            </pattern>
          </defs>
          {props.children(mark, `url(#${id})`)}
        </svg>
      </div>
      <Tip svg={svg.current} mark={tip} text={known(tip) && tip !== null ? props.says(tip) : ""} />
    </div>
  );
}

/**
 * What marks are given, and what happens to them by keys and by the pointer. It is heard outside the SVG: one that
 * listens to focus is in the order of tabs itself in Chromium.
 */
function useMarks(props: PictureProps, svg: RefObject<SVGSVGElement | null>, setTip: (mark: string | null) => void) {
  const [current, setCurrent] = useState<string | null>(null);
  const all = new Set(props.lanes.flat());
  const known = (mark: string | null) => mark !== null && all.has(mark);
  const stop = known(current) ? current : ([...all].find((one) => props.chosen(one)) ?? first(props));
  const mark: Marker = (name, node) => ({
    role: "option",
    "aria-label": props.says(name),
    "aria-selected": props.chosen(name),
    tabindex: name === stop ? 0 : -1,
    class: `cv-p-mark${props.chosen(name) ? " cv-p-chosen" : ""}`,
    ...{ "data-mark": name, "data-node": node },
  });
  const enter = (name: string) => {
    setTip(null); // what is told below would else be covered
    props.enter(name);
  };
  const over = (event: Event) => {
    const name = markOf(event.target);
    if (event.type === "focusin" && name !== null) setCurrent(name);
    setTip(name);
  };
  const out = (event: Event) => {
    if (event.type === "focusout" || !svg.current?.contains(document.activeElement)) setTip(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const name = markOf(event.target);
    if (name === null || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") setTip(null);
    if (event.key === "Enter" || event.key === " ") enter(name);
    else if (!MOVES.has(event.key)) return;
    else focus(svg.current, step(props, name, event.key));
    event.preventDefault();
    event.stopPropagation();
  };
  const onClick = (event: MouseEvent) => {
    const name = markOf(event.target);
    if (name === null) return;
    focus(svg.current, name);
    enter(name);
  };
  return { mark, known, handlers: { onKeyDown, onClick, onFocusIn: over, onFocusOut: out, onPointerOver: over, onPointerLeave: out } };
}

function markOf(target: EventTarget | null): string | null {
  return target instanceof Element ? (target.closest("[data-mark]")?.getAttribute("data-mark") ?? null) : null;
}

function focus(svg: SVGSVGElement | null, name: string | null): void {
  if (name === null) return;
  const found = svg?.querySelector<SVGGElement>(`[data-mark="${CSS.escape(name)}"]`);
  found?.focus({ preventScroll: true });
  found?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** The sentence of a mark, near it, inside the picture's frame. Readers hear it as the mark's name. */
function Tip({ svg, mark, text }: { svg: SVGSVGElement | null; mark: string | null; text: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState({ left: 0, top: 0 });
  useLayoutEffect(() => {
    const found = mark === null ? null : svg?.querySelector(`[data-mark="${CSS.escape(mark)}"]`);
    const frame = box.current?.parentElement?.getBoundingClientRect();
    if (!found || !frame || !box.current) return;
    const seen = found.getBoundingClientRect();
    const size = box.current.getBoundingClientRect();
    const left = Math.max(0, Math.min(seen.left - frame.left, frame.width - size.width));
    const below = seen.bottom - frame.top + 6;
    const above = seen.top - frame.top - size.height - 6;
    setAt({ left, top: below + size.height > frame.height && above >= 0 ? above : below });
  }, [svg, mark, text]);
  if (!text) return null;
  return (
    <div ref={box} class="cv-p-tip" aria-hidden="true" style={{ left: `${at.left}px`, top: `${at.top}px` }}>
      {text}
    </div>
  );
}

/** The class of what pushes up (solid, blue) or down (dashed or hatched, orange). */
export function sign(value: number): string {
  return value < 0 ? "cv-down" : "cv-up";
}

/** A bar from zero, filled where it pushes up, hatched where down, with the whisker of its interval. */
export function Bar(props: {
  /** Zero, and the value's end, along the bar. */
  from: number;
  to: number;
  /** The middle across, and the thickness. */
  at: number;
  thick: number;
  upright: boolean;
  value: number;
  hatch: string;
  interval: [number, number] | null;
}) {
  const { from, to, at, thick, upright, value, hatch, interval } = props;
  const [start, size] = [Math.min(from, to), Math.max(Math.abs(to - from), 0.75)];
  const box = upright
    ? { x: at - thick / 2, y: start, width: thick, height: size }
    : { x: start, y: at - thick / 2, width: size, height: thick };
  return (
    <g class={sign(value)} aria-hidden="true">
      <rect {...box} class="cv-p-bar" style={value < 0 ? { fill: hatch } : {}} />
      {interval && <Whisker ends={interval} at={at} upright={upright} />}
    </g>
  );
}

function Whisker({ ends, at, upright }: { ends: [number, number]; at: number; upright: boolean }) {
  const d = upright
    ? `M${at},${ends[0]}V${ends[1]}M${at - 4},${ends[0]}h8M${at - 4},${ends[1]}h8`
    : `M${ends[0]},${at}H${ends[1]}M${ends[0]},${at - 4}v8M${ends[1]},${at - 4}v8`;
  return <path d={d} class="cv-p-whisker" />;
}

/** A diamond of a radius around a point. */
export function diamond(x: number, y: number, radius: number): string {
  return `M${x},${y - radius}l${radius},${radius}l${-radius},${radius}l${-radius},${-radius}z`;
}

/** A curve from a point to one right of it, level at both ends. */
export function across(x1: number, y1: number, x2: number, y2: number): string {
  const middle = (x1 + x2) / 2;
  return `M${x1},${y1}C${middle},${y1},${middle},${y2},${x2},${y2}`;
}

/** A curve from a point to one above or below it, upright at both ends. */
export function upward(x1: number, y1: number, x2: number, y2: number): string {
  const middle = (y1 + y2) / 2;
  return `M${x1},${y1}C${x1},${middle},${x2},${middle},${x2},${y2}`;
}
