/** The state of the frame around the views: which panel is open, full window, the theme. */
import { type Signal, signal } from "@preact/signals";
import type { Store } from "../store";

export type PanelId = "card" | "groups" | "paths" | "answer";
export type Theme = "light" | "dark";

export interface Shell {
  readonly store: Store;
  /** Which panel is at the side, and whether it is drawn out (below 700 px it covers part of the view). */
  readonly panel: Signal<PanelId>;
  readonly open: Signal<boolean>;
  /** The viewer covers the whole window. */
  readonly full: Signal<boolean>;
  /** Chosen by the switch; null follows the page, and where it says nothing, the system. */
  readonly theme: Signal<Theme | null>;
  /** What the page and the system say. */
  readonly outside: Signal<Theme>;
  /** The element of the viewer. */
  root: HTMLElement | null;
  /** Where the focus was in the view before it went to a panel or an overlay. */
  left: HTMLElement | null;
}

export function createShell(store: Store): Shell {
  return {
    store,
    panel: signal<PanelId>("card"),
    open: signal(true),
    full: signal(false),
    theme: signal<Theme | null>(null),
    outside: signal<Theme>(themeOutside()),
    root: null,
    left: null,
  };
}

/** The theme of the page: `data-theme` on its root, or what the system wants. */
export function themeOutside(): Theme {
  const said = document.documentElement.dataset["theme"];
  if (said === "light" || said === "dark") return said;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Keeps `outside` true; gives what ends that. */
export function watchTheme(outside: Signal<Theme>): () => void {
  const look = () => {
    outside.value = themeOutside();
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const page = new MutationObserver(look);
  page.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  system.addEventListener("change", look);
  return () => {
    page.disconnect();
    system.removeEventListener("change", look);
  };
}

/** Opens a panel, drawn out. */
export function openPanel(shell: Shell, panel: PanelId): void {
  shell.panel.value = panel;
  shell.open.value = true;
}
