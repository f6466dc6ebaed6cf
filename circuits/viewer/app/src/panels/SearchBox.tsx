/** The search: a field and the list of what it finds, by the pattern of a combobox. */
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, short, shown } from "../format";
import "../style/search.css";
import { toView } from "../keys";
import { Search } from "./search";
import type { Shell } from "./shell";
import { fullPlaceOf, SHAPES } from "./words";

/** So many of what is found stand in the list; the count tells of all. */
const LISTED = 50;

export function SearchBox({ shell }: { shell: Shell }) {
  const { store } = shell;
  const { model } = store;
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  const search = useMemo(() => new Search(model), [model]);
  const found = useMemo(() => search.find(query), [search, query]);
  const listed = found.slice(0, LISTED);
  useLayoutEffect(() => field.current?.focus(), []); // at once: the next key is the query's
  useEffect(() => {
    document.getElementById(`${id}-${at}`)?.scrollIntoView({ block: "nearest" });
  }, [at, id]);

  const close = () => {
    store.overlay.value = null;
  };
  const choose = (place: number) => {
    const chosen = listed[place];
    if (!chosen) return;
    store.select(chosen.node);
    store.told.value = `Selected ${short(model.graph.nodes.name[chosen.row])}`;
    close();
    requestAnimationFrame(() => toNode(shell, chosen.node));
  };
  const press = (event: KeyboardEvent) => {
    const last = listed.length - 1;
    if (event.key === "ArrowDown") setAt(at >= last ? 0 : at + 1);
    else if (event.key === "ArrowUp") setAt(at <= 0 ? Math.max(0, last) : at - 1);
    else if (event.key === "Enter") choose(at);
    else if (event.key === "Escape") {
      close();
      toView(shell);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const says = query.trim() === "" ? hint(model.size) : told(found.length, model.size);
  return (
    <div
      class="cv-search"
      role="dialog"
      aria-label="Search"
      onFocusOut={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null) && event.relatedTarget !== null) close();
      }}
    >
      <input
        ref={field}
        class="cv-input"
        type="text"
        role="combobox"
        aria-label="Search for nodes"
        aria-expanded={listed.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={listed.length > 0 ? `${id}-${at}` : undefined}
        aria-describedby={`${id}-says`}
        autocomplete="off"
        spellcheck={false}
        maxLength={300}
        placeholder="Texas, tok@3, 2/168 …"
        value={query}
        onInput={(event) => {
          setQuery(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={press}
      />
      <p class="cv-muted cv-fine" id={`${id}-says`} role="status">
        {says}
      </p>
      <ul class="cv-found" role="listbox" id={`${id}-list`} aria-label="Found nodes" hidden={listed.length === 0}>
        {listed.map(({ row, node }, place) => (
          <li
            key={node}
            id={`${id}-${place}`}
            role="option"
            aria-selected={place === at}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => choose(place)}
          >
            <span class="cv-shape" aria-hidden="true">
              {SHAPES[model.graph.nodes.kind[row]]}
            </span>
            <bdi class="cv-text cv-row-name">{shown(model.graph.nodes.name[row])}</bdi>
            <bdi class="cv-text cv-row-place">{fullPlaceOf(model, row) || shown(node)}</bdi>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The node in the view, where it stands as something that takes the focus; else the view. */
function toNode(shell: Shell, node: string): void {
  const view = shell.root?.querySelector(".cv-view");
  const held = view?.querySelector<HTMLElement>(`[data-node="${CSS.escape(node)}"]`);
  if (held && held.tabIndex >= -1 && held.hasAttribute("tabindex")) held.focus();
  else toView(shell);
}

function hint(nodes: number): string {
  return `In ${count(nodes)} nodes: names, labels, tokens, layer/feature, concepts, promoted tokens.`;
}

function told(found: number, nodes: number): string {
  if (found === 0) return `None of ${count(nodes)} nodes.`;
  const list = found > LISTED ? `, the first ${LISTED} listed` : "";
  return `${count(found)} of ${count(nodes)} nodes${list}.`;
}
