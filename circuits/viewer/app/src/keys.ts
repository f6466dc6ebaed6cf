/**
 * Every key of the viewer: what it does, in one list that handles them and that the help shows.
 *
 * Keys are heard while the focus is inside the viewer and not in a field for text; in the served app, where the
 * viewer is the page, also while nothing has the focus. None needs a modifier. What stands for a node on the page
 * carries its name as `data-node`: keys about a node mean the one that has the focus, else the selected one.
 */
import { printPage } from "./panels/printing";
import { openPanel, type PanelId, type Shell } from "./panels/shell";
import { placeOf, shareAt } from "./panels/Sliders";
import { follow } from "./views/graph/follow";
import { VIEWS } from "./views";

export interface Action {
  /** As `KeyboardEvent.key` has it, lower case; absent where the views handle it themselves. */
  key?: string;
  /** On the help's list. */
  shown: string;
  says: string;
  part: "Find" | "Node" | "Show" | "Panels" | "Page";
  run?(shell: Shell, event: KeyboardEvent): void;
}

const viewKeys: Action[] = Array.from({ length: 9 }, (_, place) => ({
  key: String(place + 1),
  shown: String(place + 1),
  says: VIEWS[place] ? `View: ${VIEWS[place].name}` : "",
  part: "Show",
  run: ({ store }) => {
    if (VIEWS[place]) store.view.value = VIEWS[place].id;
  },
}));

export const ACTIONS: readonly Action[] = [
  { shown: "← → ↑ ↓", says: "Move the focus: by token, by layer", part: "Find" },
  { key: "/", shown: "/", says: "Search", part: "Find", run: overlay("search") },
  { key: "v", shown: "V", says: "Go to the view", part: "Find", run: (shell) => toView(shell) },
  { shown: "Enter", says: "Select the node: open its card, light its edges", part: "Node" },
  { key: "p", shown: "P", says: "Pin, or unpin", part: "Node", run: pin },
  { key: "f", shown: "F", says: "Follow: the strongest paths, all downstream, all upstream", part: "Node", run: along },
  { key: "g", shown: "G", says: "Group the pinned and the selected nodes", part: "Node", run: overlay("group") },
  { key: "i", shown: "I", says: "Combinations on, off", part: "Show", run: ({ store }) => flip(store.interactions) },
  { key: "[", shown: "[", says: "Fewer nodes", part: "Show", run: (shell) => moreNodes(shell, -0.05) },
  { key: "]", shown: "]", says: "More nodes", part: "Show", run: (shell) => moreNodes(shell, 0.05) },
  { key: ",", shown: ",", says: "Fewer edges", part: "Show", run: (shell) => moreEdges(shell, -5) },
  { key: ".", shown: ".", says: "More edges", part: "Show", run: (shell) => moreEdges(shell, 5) },
  { key: "t", shown: "T", says: "Picture, or table of the same", part: "Show", run: turn },
  ...viewKeys.filter(({ says }) => says !== ""),
  { key: "c", shown: "C", says: "Card of the selected node", part: "Panels", run: panel("card") },
  { key: "o", shown: "O", says: "Groups", part: "Panels", run: panel("groups") },
  { key: "h", shown: "H", says: "Paths", part: "Panels", run: panel("paths") },
  { key: "a", shown: "A", says: "Answer", part: "Panels", run: panel("answer") },
  { key: "w", shown: "W", says: "Full window, and back", part: "Page", run: fullWindow },
  { key: "d", shown: "D", says: "Dark, light", part: "Page", run: otherTheme },
  { key: "r", shown: "R", says: "Print the page", part: "Page", run: printPage },
  { key: "?", shown: "?", says: "This help", part: "Page", run: overlay("help") },
  { key: "escape", shown: "Esc", says: "Close, go back, clear", part: "Page", run: back },
];

const byKey = new Map(ACTIONS.flatMap((action) => (action.key ? [[action.key, action] as const] : [])));

/** Does what a key says; gives whether it was one of the viewer's. */
export function handle(shell: Shell, event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  const action = byKey.get(event.key.toLowerCase());
  const busy = shell.store.overlay.value !== null || writing(event.target);
  if (!action?.run || (busy && event.key !== "Escape")) return false;
  action.run(shell, event);
  event.preventDefault();
  event.stopPropagation();
  return true;
}

/** Where the viewer is the page, hears keys also while nothing has the focus; gives what ends that. */
export function watchPage(shell: Shell): () => void {
  if (shell.store.host.kind !== "server") return () => undefined;
  const hear = (event: KeyboardEvent) => {
    if (event.target === document.body) handle(shell, event);
  };
  addEventListener("keydown", hear);
  return () => removeEventListener("keydown", hear);
}

/** Whether keys belong to a field for text, or to a list that is searched by typing. */
function writing(target: EventTarget | null): boolean {
  if (!(target instanceof Element)) return false;
  return target.closest("textarea, select, [contenteditable=true], input:not([type=range], [type=checkbox], [type=radio])") !== null;
}

/** The node a key is about. */
export function nodeOf(shell: Shell, event: Event): string | null {
  const held = event.target instanceof Element ? event.target.closest<HTMLElement | SVGElement>("[data-node]") : null;
  return held?.dataset["node"] ?? shell.store.selected.value;
}

/** Puts the focus back where it was in the view, or on the view. */
export function toView(shell: Shell): void {
  const before = shell.left?.isConnected ? shell.left : null;
  (before ?? shell.root?.querySelector<HTMLElement>(".cv-view"))?.focus();
}

function overlay(which: "help" | "search" | "group") {
  return ({ store }: Shell) => {
    store.overlay.value = which;
  };
}

function panel(which: PanelId) {
  return (shell: Shell) => {
    openPanel(shell, which);
    requestAnimationFrame(() => shell.root?.querySelector<HTMLElement>(".cv-panel")?.focus());
  };
}

function pin(shell: Shell, event: Event): void {
  const node = nodeOf(shell, event);
  if (node === null) shell.store.told.value = "Nothing to pin: select a node first.";
  else shell.store.togglePin(node);
}

function along(shell: Shell, event: Event): void {
  const node = nodeOf(shell, event);
  if (node === null) shell.store.told.value = "Nothing to follow: select a node first.";
  else follow(shell.store, node);
}

function moreNodes({ store }: Shell, by: number): void {
  store.threshold.value = Math.min(1, Math.max(0, Math.round(100 * (store.threshold.value + by)) / 100));
}

function moreEdges({ store }: Shell, by: number): void {
  store.edgeThreshold.value = shareAt(Math.min(100, Math.max(0, placeOf(store.edgeThreshold.value) + by)));
}

function turn({ store }: Shell): void {
  store.shape.value = store.shape.value === "table" ? "picture" : "table";
}

function fullWindow(shell: Shell): void {
  if (shell.store.host.kind !== "server") flip(shell.full);
}

function otherTheme(shell: Shell): void {
  shell.theme.value = (shell.theme.value ?? shell.outside.value) === "dark" ? "light" : "dark";
}

function flip(what: { value: boolean }): void {
  what.value = !what.value;
}

/** The nearest thing that can be closed or cleared. */
function back(shell: Shell): void {
  const { store, root } = shell;
  const inPanel = root?.querySelector(".cv-side")?.contains(document.activeElement) ?? false;
  if (store.overlay.value !== null) store.overlay.value = null;
  else if (inPanel) toView(shell);
  else if (store.lit.value !== null) store.lit.value = null;
  else if (store.selected.value !== null) store.select(null);
  else if (shell.full.value) shell.full.value = false;
}
