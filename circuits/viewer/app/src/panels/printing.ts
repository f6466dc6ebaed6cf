/** Printing: the view is printed as it stands, made as small as a sheet is wide, in the light theme. */
import type { Shell } from "./shell";

/** So wide a sheet of A4 or letter is inside its margins, in the pixels of a page. */
const SHEET = 640;

/** Tells the style sheet the view's size before each printing; gives what ends that. */
export function watchPrinting(shell: Shell): () => void {
  const before = () => {
    const view = shell.root?.querySelector<HTMLElement>(".cv-view");
    if (!view || view.clientWidth === 0) return;
    const width = Math.max(view.clientWidth, view.scrollWidth);
    view.style.setProperty("--print-width", `${width}px`);
    view.style.setProperty("--print-height", `${Math.max(view.clientHeight, view.scrollHeight)}px`);
    view.style.setProperty("--print-zoom", String(Math.min(1, SHEET / width)));
  };
  addEventListener("beforeprint", before);
  return () => removeEventListener("beforeprint", before);
}

/** Prints the page. What is painted is painted light first: a canvas does not know that it is on paper. */
export function printPage(shell: Shell): void {
  const chosen = shell.theme.value;
  shell.theme.value = "light";
  addEventListener(
    "afterprint",
    () => {
      shell.theme.value = chosen;
    },
    { once: true },
  );
  requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => window.print())));
}
