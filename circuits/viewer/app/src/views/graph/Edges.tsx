/** Edges on two canvases: all that are shown, and above them those that are lit, so that lighting draws little. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Curve, curves, DASH, FAINT, paintCurves, type Palette, pathOf, WIDTHS } from "./curves";
import { useAtOnce } from "./effects";
import { readPalette, watchPalette } from "./palette";
import type { Scene } from "./scene";
import { MARGIN } from "./zoom";

/** What a canvas shows, for whoever looks at it with other eyes: tests, and the printed page. */
export interface DrawnCanvas extends HTMLCanvasElement {
  circuitsDrawn?: readonly Curve[];
}

/** More pixels than this a canvas does not get: some browsers refuse, and slow machines wait. */
const MOST_PIXELS = 16_000_000;

export function Edges({ scene, done }: { scene: Scene; done(): void }) {
  const all = useRef<HTMLCanvasElement>(null);
  const lit = useRef<HTMLCanvasElement>(null);
  const [theme, setTheme] = useState(0);
  const palette = useRef<Palette | null>(null);
  useEffect(() => {
    if (!all.current) return undefined;
    const anew = () => {
      palette.current = null;
      setTheme((was) => was + 1);
    };
    return watchPalette(all.current, anew);
  }, []);
  const coloursOf = (canvas: Element) => (palette.current ??= readPalette(canvas));
  useFrame([theme], () => {
    const { store, layout } = scene;
    const list = curves(store.model, layout.value, store.visibleEdges.value);
    return () => {
      if (!all.current) return;
      paint(all.current, scene, list, coloursOf(all.current), false);
      done();
    };
  });
  useFrame([theme], () => {
    const { store, layout, emphasis } = scene;
    const edges = emphasis.value?.edges ?? [];
    const list = curves(store.model, layout.value, edges);
    return () => {
      if (lit.current) paint(lit.current, scene, list, coloursOf(lit.current), true);
    };
  });
  return (
    <>
      <canvas ref={all} class="cv-g-edges" aria-hidden="true" />
      <canvas ref={lit} class="cv-g-edges cv-g-lit" aria-hidden="true" />
    </>
  );
}

/**
 * Edges as lines of the page, for paper: browsers print what canvases held on the screen, or nothing. Thousands
 * of faint ones would only make the file heavy: the strongest.
 */
export function PaperEdges({ scene }: { scene: Scene }) {
  const { store, layout } = scene;
  const edges = scene.emphasis.value?.edges ?? store.visibleEdges.value;
  return (
    <g class="cv-g-paper">
      {curves(store.model, layout.value, edges.slice(0, ON_PAPER)).map((curve) => (
        <path
          key={curve.edge}
          d={pathOf(curve)}
          class={curve.up ? "cv-g-plus" : "cv-g-minus"}
          stroke-width={WIDTHS[curve.wide]}
          stroke-dasharray={curve.up ? undefined : DASH.join(" ")}
          opacity={FAINT[curve.faint]}
        />
      ))}
    </g>
  );
}

const ON_PAPER = 4_000;

/** Runs what it is given whenever a signal it reads changes, and the rest of it at the next frame. */
function useFrame(also: unknown[], prepare: () => () => void): void {
  const frame = useRef(0);
  const last = useRef<(() => void) | null>(null);
  const soon = () => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => last.current?.());
  };
  useAtOnce(() => {
    last.current = prepare();
    soon();
  });
  useEffect(soon, also);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
}

function paint(canvas: DrawnCanvas, scene: Scene, list: readonly Curve[], palette: Palette, strong: boolean): void {
  const { width, height } = scene.size.peek();
  const across = Math.ceil(width * (1 + 2 * MARGIN));
  const down = Math.ceil(height * (1 + 2 * MARGIN));
  if (across === 0 || down === 0) return;
  const dense = Math.min(devicePixelRatio || 1, Math.sqrt(MOST_PIXELS / (across * down)));
  const sizes = { width: Math.round(across * dense), height: Math.round(down * dense) };
  if (canvas.width !== sizes.width) canvas.width = sizes.width;
  if (canvas.height !== sizes.height) canvas.height = sizes.height;
  canvas.style.width = `${across}px`;
  canvas.style.height = `${down}px`;
  const context = canvas.getContext("2d");
  if (!context) return;
  const { x, y, k } = scene.drawn.peek();
  const window = { width: across, height: down, x: x + MARGIN * width, y: y + MARGIN * height, k, dense };
  paintCurves(context, list, window, palette, strong);
  canvas.circuitsDrawn = list;
}
