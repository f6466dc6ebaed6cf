/** Lights and dims what is drawn already, by attributes: nothing is drawn anew for a pointer that passes. */
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useAtOnce } from "./effects";
import type { Scene } from "./scene";

export function useEmphasis(scene: Scene, picture: RefObject<SVGSVGElement | null>): void {
  const before = useRef<Element[]>([]);
  const apply = () => {
    const root = picture.current;
    if (!root) return;
    for (const element of before.current) element.removeAttribute("data-lit");
    before.current = [];
    const emphasis = scene.emphasis.value;
    root.parentElement?.classList.toggle("cv-g-dimmed", emphasis !== null);
    if (!emphasis) return;
    const mark = (selector: string) => {
      const element = root.querySelector(selector);
      if (!element) return;
      element.setAttribute("data-lit", "");
      before.current.push(element);
    };
    for (const row of emphasis.rows) {
      mark(`[data-row="${row}"]`);
      mark(`[data-label="${row}"]`);
    }
    for (const combination of emphasis.combinations) mark(`[data-combination="${combination}"]`);
  };
  useAtOnce(apply);
  // what is drawn anew, with other nodes or at another scale, is marked again
  useEffect(apply);
}
