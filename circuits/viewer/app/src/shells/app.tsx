/** The served app: a list of runs, a run or two in the viewer, questions, interventions, SQL, new prompts. */
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { short } from "../format";
import "../style/app.css";
import "../style/appForms.css";
import { type Runs, useLoaded } from "./appApi";
import { useJobs } from "./appJobs";
import { NewPage } from "./appNew";
import { place, type Route, useRoute } from "./appRoute";
import { RunPage } from "./appRun";
import { RunsPage } from "./appRuns";

/** Mounts the app where the page has `#circuits-app`. */
export function startApp(): void {
  const place = document.getElementById("circuits-app");
  if (!place) return;
  place.replaceChildren();
  render(<App />, place);
}

function App() {
  const route = useRoute();
  const runs = useLoaded<Runs>("/api/runs");
  const jobs = useJobs(runs.again);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = title(route);
    if (first.current) {
      first.current = false;
      return;
    }
    main.current?.querySelector<HTMLElement>("h1")?.focus();
    if (route.page === "runs") runs.again();
  }, [place(route)]);
  return (
    <div class={`circuits-viewer cv-app cv-app-on-${route.page === "run" ? route.tab : route.page}`}>
      <header class="cv-app-top">
        <a class="cv-app-home" href="#/" aria-current={route.page === "runs" ? "page" : undefined}>
          circuits
        </a>
        <nav aria-label="App">
          <a href="#/new" aria-current={route.page === "new" ? "page" : undefined}>
            New prompt
          </a>
          <a href="/docs">API</a>
        </nav>
      </header>
      <main ref={main}>
        {route.page === "run" ? (
          <RunPage route={route} />
        ) : (
          <div class="cv-app-page">
            {route.page === "new" ? <NewPage runs={runs} jobs={jobs} /> : <RunsPage runs={runs} jobs={jobs} />}
          </div>
        )}
      </main>
    </div>
  );
}

function title(route: Route): string {
  switch (route.page) {
    case "runs":
      return "Runs · circuits";
    case "new":
      return "New prompt · circuits";
    case "run":
      return `${short(route.run, 80)} · circuits`;
  }
}
