/** Moving the picture: wheel, drag, pinch and keys, through d3-zoom. */
import { select } from "d3-selection";
import { type D3ZoomEvent, zoom, type ZoomBehavior, zoomIdentity, type ZoomTransform } from "d3-zoom";
import { fitted, type Scene } from "./scene";

const LEAST = 0.15;
const MOST = 8;
/** After so long without a move the picture is drawn anew, in milliseconds. */
const IDLE = 90;
/** The drawing reaches so far beyond the stage, as a share of it, that a move shows no edge of it. */
export const MARGIN = 0.25;

export interface Mover {
  /** Shows all of it. */
  fit(): void;
  /** Nearer or further, about the middle. */
  scale(by: number): void;
  /** Brings a point of the layout into sight, where it is out of it. */
  reveal(x: number, y: number): void;
  /** Shows all of it for a while; gives the way back to what the reader had. */
  aside(): () => void;
  /** Whether the reader moved it: then a change of the layout leaves it where it is. */
  moved(): boolean;
  stop(): void;
}

/** Starts moving on an element; `settle` is called when the drawing should be made anew. */
export function mover(stage: HTMLElement, scene: Scene, settle: () => void): Mover {
  let timer = 0;
  let moved = false;
  const held = select<HTMLElement, unknown>(stage);
  // a slow drawing in the middle of a drag would make the next move late, which would look like a rest
  let dragging = false;
  const settleSoon = () => {
    clearTimeout(timer);
    if (!dragging) timer = window.setTimeout(settle, IDLE);
  };
  const behaviour: ZoomBehavior<HTMLElement, unknown> = zoom<HTMLElement, unknown>()
    .scaleExtent([LEAST, MOST])
    .clickDistance(4)
    .filter((event: Event) => wanted(event, stage, scene))
    .on("start", ({ sourceEvent }: D3ZoomEvent<HTMLElement, unknown>) => {
      stage.classList.add("cv-g-moving");
      dragging = sourceEvent instanceof Event && sourceEvent.type !== "wheel";
    })
    .on("zoom", (event: D3ZoomEvent<HTMLElement, unknown>) => {
      if (event.sourceEvent) moved = true;
      scene.live.value = event.transform;
      if (tooFar(scene)) settle();
      else settleSoon();
    })
    .on("end", () => {
      stage.classList.remove("cv-g-moving");
      if (dragging) {
        dragging = false;
        settleSoon();
      }
    });
  held.call(behaviour).on("dblclick.zoom", null);
  const to = (transform: ZoomTransform) => behaviour.transform(held, transform);
  const fit = () => {
    moved = false;
    to(fitted(scene));
    settle();
  };
  return {
    fit,
    aside() {
      const before = moved ? scene.live.peek() : null;
      fit();
      return () => {
        if (before === null) return fit();
        moved = true;
        to(before);
        settle();
      };
    },
    scale(by) {
      moved = true;
      behaviour.scaleBy(held, by);
    },
    reveal(x, y) {
      const { width, height } = scene.size.value;
      const { left, right, top, bottom } = scene.margins.value;
      const [px, py] = scene.live.value.apply([x, y]);
      const dx = Math.max(left + 20 - px, 0) + Math.min(width - right - 20 - px, 0);
      const dy = Math.max(top + 10 - py, 0) + Math.min(height - bottom - 4 - py, 0);
      if (dx === 0 && dy === 0) return;
      const { k, x: tx, y: ty } = scene.live.value;
      moved = true;
      to(zoomIdentity.translate(tx + dx, ty + dy).scale(k));
    },
    moved: () => moved,
    stop() {
      clearTimeout(timer);
      held.on(".zoom", null);
    },
  };
}

/**
 * In a page that scrolls, the wheel is the page's until the reader has pressed into the graph, or holds Ctrl.
 */
function wanted(event: Event, stage: HTMLElement, scene: Scene): boolean {
  if (event.target instanceof Element && event.target.closest("[data-still]")) return false;
  if (event instanceof WheelEvent) {
    const inPage = scene.store.host.kind !== "server";
    return event.ctrlKey || !inPage || stage.contains(document.activeElement);
  }
  return !(event instanceof MouseEvent) || (event.button === 0 && !event.ctrlKey && !event.shiftKey);
}

/** Whether the shifted drawing no longer covers the stage, or is much too coarse. */
function tooFar({ live, drawn, size }: Scene): boolean {
  const scale = live.value.k / drawn.value.k;
  if (scale > 2 || scale < 0.6) return true;
  const x = live.value.x - scale * drawn.value.x;
  const y = live.value.y - scale * drawn.value.y;
  const { width, height } = size.value;
  const over = (shift: number, whole: number) =>
    shift > scale * MARGIN * whole || shift + scale * (1 + MARGIN) * whole < whole;
  return over(x, width) || over(y, height);
}
