/** The viewer: toolbar above, a view in the middle, panels at its side, a line below that tells what happened. */
import { useSignalEffect } from "@preact/signals";
import { useEffect, useId, useMemo, useRef } from "preact/hooks";
import type { ViewerDocument } from "./document";
import type { Host } from "./host";
import { handle, watchPage } from "./keys";
import { Model } from "./model";
import { GroupPrompt } from "./panels/GroupPrompt";
import { Help } from "./panels/Help";
import { watchPrinting } from "./panels/printing";
import { SearchBox } from "./panels/SearchBox";
import { createShell, openPanel, type Shell, watchTheme } from "./panels/shell";
import { tied } from "./panels/sharing";
import { Side } from "./panels/Side";
import { Status } from "./panels/Status";
import { Toolbar } from "./panels/Toolbar";
import { createStore, type Store } from "./store";
import { VIEWS } from "./views";

/** Below this width panels cover part of the view: they begin folded. */
const NARROW = 700;

export function Viewer({ document, host }: { document: ViewerDocument; host: Host }) {
  const shell = useMemo(() => createShell(started(document, host)), [document, host]);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    shell.root = root.current;
    if ((root.current?.clientWidth ?? NARROW) < NARROW) shell.open.value = false;
    const ends = [watchTheme(shell.outside), watchPrinting(shell), watchPage(shell), tied(shell.store)];
    return () => {
      for (const end of ends) end();
    };
  }, [shell]);
  useSignalEffect(() => {
    if (shell.store.selected.value !== null) openPanel(shell, "card");
  });
  const full = shell.full.value ? " cv-full" : "";
  return (
    <section
      ref={root}
      class={`circuits-viewer cv-in-${host.kind}${full}`}
      data-theme={shell.theme.value ?? undefined}
      data-lm-suppress-shortcuts="true"
      tabIndex={-1}
      onKeyDown={(event) => handle(shell, event)}
      aria-label={`Interactive graph: ${document.title}`}
    >
      <Toolbar shell={shell} id={id} />
      <div class="cv-main">
        <ViewArea shell={shell} id={id} />
        <Side shell={shell} id={id} />
        <Overlay shell={shell} />
      </div>
      <Status shell={shell} />
    </section>
  );
}

/** The store of a document, with the state its host gives so far as the document has it. */
function started(document: ViewerDocument, host: Host): Store {
  const store = createStore(new Model(document), host);
  const { selected, pinned, view } = host.state ?? {};
  const known = (node: string) => store.model.rowOf.has(node);
  if (selected && !known(selected)) store.selected.value = null;
  if (pinned && !pinned.every(known)) store.pinned.value = new Set(pinned.filter(known));
  if (view !== undefined && !VIEWS.some(({ id }) => id === view)) store.view.value = VIEWS[0].id;
  return store;
}

/** The view of the chosen tab, as its picture or its table. */
function ViewArea({ shell, id }: { shell: Shell; id: string }) {
  const { store } = shell;
  const view = VIEWS.find((one) => one.id === store.view.value) ?? VIEWS[0];
  const Shown = store.shape.value === "table" ? view.Table : view.Picture;
  const nothing = view.empty(store.model);
  return (
    <div
      class={`cv-view cv-as-${store.shape.value}`}
      role="tabpanel"
      id={`${id}-view`}
      aria-labelledby={`${id}-tab-${view.id}`}
      tabIndex={0}
      onFocusIn={(event) => {
        if (event.target !== event.currentTarget) shell.left = event.target as HTMLElement;
      }}
    >
      {nothing ? <p class="cv-empty">{nothing}</p> : <Shown key={view.id} store={store} />}
    </div>
  );
}

function Overlay({ shell }: { shell: Shell }) {
  switch (shell.store.overlay.value) {
    case "search":
      return <SearchBox shell={shell} />;
    case "help":
      return <Help shell={shell} />;
    case "group":
      return <GroupPrompt shell={shell} />;
    case null:
      return null;
  }
}
