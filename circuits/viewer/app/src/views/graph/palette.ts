/** Colours for the canvas: the style sheet's, read again whenever the theme may have changed. */
import type { Palette } from "./curves";

export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  const colour = (name: string, otherwise: string) => style.getPropertyValue(name).trim() || otherwise;
  return { positive: colour("--positive", "#0072b2"), negative: colour("--negative", "#d55e00") };
}

const QUERIES = ["(prefers-color-scheme: dark)", "(forced-colors: active)"];

/** Calls back when the theme changes: the system's, or that of an element above. Gives the way to stop. */
export function watchPalette(element: Element, changed: () => void): () => void {
  const lists = QUERIES.map((query) => matchMedia(query));
  for (const list of lists) list.addEventListener("change", changed);
  const observer = new MutationObserver(changed);
  for (let above: Element | null = element; above; above = above.parentElement)
    observer.observe(above, { attributes: true, attributeFilter: ["data-theme", "class"] });
  return () => {
    for (const list of lists) list.removeEventListener("change", changed);
    observer.disconnect();
  };
}
