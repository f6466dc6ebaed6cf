/** The graph: tokens below, targets above, edges on a canvas under nodes that can be focused. */
import { untracked } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Store } from "../../store";
import "../../style/graph.css";
import { useKeptFocus } from "../keptFocus";
import { Axes } from "./Axes";
import { Combinations } from "./Combinations";
import { Controls } from "./Controls";
import { placeDiamonds } from "./diamonds";
import { Edges, PaperEdges } from "./Edges";
import { useAtOnce } from "./effects";
import { useEmphasis } from "./emphasis";
import { pressed } from "./keys";
import { Ground, Labels } from "./Labels";
import { placeLabels } from "./labelling";
import { beside } from "./names";
import { Nodes } from "./Nodes";
import { combinationAt, entered, left, picked, rowAt } from "./pointer";
import { createScene, type Scene } from "./scene";
import { entry } from "./stops";
import { textWidth } from "./text";
import { MARGIN, type Mover, mover } from "./zoom";

export function GraphView({ store }: { store: Store }) {
  const scene = useMemo(() => createScene(store), [store]);
  const stage = useRef<HTMLDivElement>(null);
  const moving = useRef<Mover | null>(null);
  useStage(scene, stage, moving);
  useKeptFocus(stage);
  const ready = scene.size.value.width > 0;
  const counts = {
    "data-nodes": scene.layout.value.at.size,
    "data-edges": store.visibleEdges.value.length,
    "data-combinations": store.visibleCombinations.value.length,
  };
  return (
    <div class="cv-graph" {...counts}>
      <div
        ref={stage}
        class="cv-g-stage"
        onKeyDown={(event) => pressed(event, scene, moving.current)}
        onClick={(event) => picked(event, scene)}
        onDblClick={(event) => {
          if (rowAt(event) === null && combinationAt(event) === null) moving.current?.fit();
        }}
        onPointerOver={(event) => entered(event, scene)}
        onPointerLeave={() => left(scene)}
        onFocusIn={(event) => entered(event, scene)}
      >
        {ready && <World scene={scene} />}
        {ready && <Axes scene={scene} />}
      </div>
      <Controls scene={scene} mover={() => moving.current} />
    </div>
  );
}

/** What moves: it is drawn beyond the stage's edge, and shifted as a whole until it is drawn anew. */
function World({ scene }: { scene: Scene }) {
  const { store } = scene;
  const world = useRef<HTMLDivElement>(null);
  const picture = useRef<SVGSVGElement>(null);
  const { width, height } = scene.size.value;
  const { k, x, y } = scene.drawn.value;
  const layout = scene.layout.value;
  const possible = store.visibleCombinations.value;
  const labels = useMemo(
    () => placeLabels(store.model, layout, k, (row) => beside(store.model, row, k), textWidth),
    [store, layout, k],
  );
  const diamonds = useMemo(
    () => placeDiamonds(store.model, layout, possible, labels, k),
    [store, layout, possible, labels],
  );
  useShift(scene, world);
  useEmphasis(scene, picture);
  const across = Math.ceil(width * (1 + 2 * MARGIN));
  const down = Math.ceil(height * (1 + 2 * MARGIN));
  const place = `translate(${x + MARGIN * width},${y + MARGIN * height}) scale(${k})`;
  return (
    <div
      ref={world}
      class="cv-g-world"
      style={{
        left: `${-MARGIN * width}px`,
        top: `${-MARGIN * height}px`,
        width: `${across}px`,
        height: `${down}px`,
        transformOrigin: `${MARGIN * width}px ${MARGIN * height}px`,
      }}
    >
      <svg class="cv-g-ground" width={across} height={down} aria-hidden="true">
        <g transform={place}>
          <Ground layout={layout} />
          {scene.paper.value && <PaperEdges scene={scene} />}
        </g>
      </svg>
      <Edges scene={scene} done={() => markReady(world.current)} />
      <svg
        ref={picture}
        class="cv-g-picture"
        width={across}
        height={down}
        role="application"
        aria-roledescription="graph"
        aria-label={`Graph: ${layout.at.size} nodes, ${store.visibleEdges.value.length} edges. Arrow keys move by token and by layer, Enter selects.`}
      >
        <g transform={place}>
          <Combinations scene={scene} diamonds={diamonds} stop={diamonds[0]?.combination ?? null} />
          <Nodes scene={scene} stop={entry(scene)} />
          <Labels scene={scene} labels={labels} />
        </g>
      </svg>
    </div>
  );
}

/** Follows the size of the stage, moves by d3-zoom, and shows all of the picture until the reader moves it. */
function useStage(scene: Scene, stage: RefObject<HTMLDivElement | null>, moving: RefObject<Mover | null>): void {
  useLayoutEffect(() => {
    const element = stage.current;
    if (!element) return undefined;
    const measured = () => {
      const { clientWidth: width, clientHeight: height } = element;
      const was = scene.size.peek();
      if (width > 0 && (was.width !== width || was.height !== height)) scene.size.value = { width, height };
    };
    measured();
    const observer = new ResizeObserver(measured);
    observer.observe(element);
    const move = mover(element, scene, () => {
      scene.drawn.value = scene.live.peek();
    });
    moving.current = move;
    const unprint = whenPrinted(() => {
      measured();
      scene.paper.value = true;
      return move.aside();
    }, () => {
      scene.paper.value = false;
      measured();
    });
    return () => {
      unprint();
      observer.disconnect();
      move.stop();
      moving.current = null;
    };
  }, [scene]);
  useAtOnce(() => {
    scene.layout.value;
    if (scene.size.value.width > 0 && !moving.current?.moved()) untracked(() => moving.current?.fit());
  });
}

/**
 * On paper the stage has another width, and all of it is shown. `begin` is called once it has, and gives the way
 * back, which is taken after `end`.
 */
function whenPrinted(begin: () => () => void, end: () => void): () => void {
  const paper = matchMedia("print");
  let back: (() => void) | null = null;
  const changed = () => {
    if (paper.matches) back = begin();
    else {
      end();
      back?.();
      back = null;
    }
  };
  paper.addEventListener("change", changed);
  return () => paper.removeEventListener("change", changed);
}

/** While moving, the whole of it is shifted: nothing is drawn. */
function useShift(scene: Scene, world: RefObject<HTMLDivElement | null>): void {
  useAtOnce(() => {
    const { live, drawn } = scene;
    const scale = live.value.k / drawn.value.k;
    const x = live.value.x - scale * drawn.value.x;
    const y = live.value.y - scale * drawn.value.y;
    const still = Math.abs(scale - 1) < 1e-9 && Math.abs(x) < 1e-6 && Math.abs(y) < 1e-6;
    if (world.current) world.current.style.transform = still ? "" : `translate(${x}px,${y}px) scale(${scale})`;
  });
}

/** Tells those who wait, tests and measurements, that the first picture stands. */
function markReady(element: Element | null): void {
  const viewer = element?.closest<HTMLElement>(".circuits-viewer");
  if (!viewer || viewer.dataset["ready"] === "true") return;
  viewer.dataset["ready"] = "true";
  performance.mark("circuits-ready");
}
