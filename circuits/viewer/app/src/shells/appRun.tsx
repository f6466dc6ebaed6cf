/** A run, or two: the viewer with the server behind it, interventions, SQL, the report. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { ViewerDocument } from "../document";
import { short, shown } from "../format";
import type { Host } from "../host";
import { read, written } from "../panels/address";
import { Viewer } from "../Viewer";
import { type Asked, ofRun, type Rows, send, type Tried, useLoaded } from "./appApi";
import { place, type Route, routeOf, runAddress, type Tab } from "./appRoute";
import { Wrong } from "./appRuns";
import { SqlPage } from "./appSql";
import { TryPage } from "./appTry";

type RunRoute = Extract<Route, { page: "run" }>;

const TABS: [Tab, string][] = [
  ["graph", "Graph"],
  ["try", "Try it"],
  ["sql", "SQL"],
];

export function RunPage({ route }: { route: RunRoute }) {
  const { run, tab, against } = route;
  const query = against === null ? "" : `?against=${encodeURIComponent(against)}`;
  const document_ = useLoaded<ViewerDocument>(ofRun(run, `document${query}`));
  const prompt = document_.data?.graph.prompt;
  return (
    <>
      <div class="cv-app-head">
        <h1 tabIndex={-1} title={prompt === undefined ? run : shown(prompt)}>
          <bdi>{short(prompt || run, 160)}</bdi>
          {against !== null && (
            <>
              {" "}
              <span class="cv-muted">compared with</span> <bdi>{short(document_.data?.against?.prompt || against, 160)}</bdi>
            </>
          )}
        </h1>
        <nav class="cv-app-tabs" aria-label="This run">
          {TABS.map(([id, name]) => (
            <a key={id} href={runAddress(run, id, id === "graph" ? against : null)} aria-current={id === tab ? "page" : undefined}>
              {name}
            </a>
          ))}
          <a href={ofRun(run, `report${query}`)} download>
            Report
          </a>
        </nav>
      </div>
      {tab === "sql" ? (
        <div class="cv-app-page">
          <SqlPage key={run} run={run} />
        </div>
      ) : document_.wrong !== null ? (
        <div class="cv-app-page">
          <Wrong said={document_.wrong} />
        </div>
      ) : document_.data === null ? (
        <p class="cv-app-page cv-muted" role="status">
          Loading the run …
        </p>
      ) : tab === "try" ? (
        <div class="cv-app-page">
          <TryPage key={run} run={run} document={document_.data} />
        </div>
      ) : (
        <Graph document={document_.data} route={route} />
      )}
    </>
  );
}

function Graph({ document: given, route }: { document: ViewerDocument; route: RunRoute }) {
  const host = useMemo(() => served(given, route), [given, place(route)]);
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => followTheme(frame.current), []);
  return (
    <div class="cv-app-viewer" ref={frame}>
      <Viewer document={given} host={host} />
    </div>
  );
}

/** A host that asks the server, and keeps the viewer's state in the address. */
function served(given: ViewerDocument, route: RunRoute): Host {
  const { run, tab, against } = route;
  const concepts = Object.fromEntries(given.graph.concepts.map(({ name, nodes }) => [name, nodes]));
  const here = place(route);
  const stated = (fragment: string) => {
    const now = routeOf(fragment);
    return now.page === "run" && place(now) === here ? read(`#${now.state}`, concepts) : null;
  };
  return {
    kind: "server",
    state: stated(location.hash) ?? {},
    ask: (question) => send<Asked>("POST", ofRun(run, "ask"), { question }),
    sql: (query) => send<Rows>("POST", ofRun(run, "sql"), { query }),
    intervene: (actions) => send<Tried>("POST", ofRun(run, "intervene"), { actions }),
    changed(state) {
      const now = routeOf(location.hash);
      if (now.page !== "run" || place(now) !== here) return;
      const fragment = written(state, concepts);
      history.replaceState(history.state, "", runAddress(run, tab, against, fragment.slice(1)));
    },
    follow(apply) {
      const look = () => {
        const state = stated(location.hash);
        if (state) apply(state);
      };
      addEventListener("hashchange", look);
      return () => removeEventListener("hashchange", look);
    },
  };
}

/** The viewer's own switch of light and dark holds for the whole page. */
function followTheme(frame: HTMLElement | null): () => void {
  if (!frame) return () => undefined;
  const seen = new MutationObserver(() => {
    const theme = frame.querySelector<HTMLElement>(".cv-in-server")?.dataset["theme"];
    if (theme) document.documentElement.dataset["theme"] = theme;
  });
  seen.observe(frame, { attributes: true, attributeFilter: ["data-theme"], subtree: true });
  return () => seen.disconnect();
}
