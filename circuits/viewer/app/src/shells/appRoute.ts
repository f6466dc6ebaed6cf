/** Where in the app one is: the fragment of the address, `#/run/NAME/sql?against=OTHER`. */
import { useEffect, useState } from "preact/hooks";

export type Tab = "graph" | "try" | "sql";

export type Route =
  | { page: "runs" }
  | { page: "new" }
  | { page: "run"; run: string; tab: Tab; against: string | null; state: string };

const TABS: readonly string[] = ["graph", "try", "sql"];

/** The route a fragment names; the list of runs where it names none. */
export function routeOf(fragment: string): Route {
  const [path, query = ""] = split(fragment.replace(/^#\/?/, ""), "?");
  const parts = path.split("/").map(decoded);
  if (parts[0] === "new") return { page: "new" };
  if (parts[0] !== "run" || !parts[1]) return { page: "runs" };
  const asked = new URLSearchParams(query);
  const tab = TABS.includes(parts[2]) ? (parts[2] as Tab) : "graph";
  const against = asked.get("against");
  asked.delete("against");
  return { page: "run", run: parts[1], tab, against: against || null, state: asked.toString() };
}

/** The fragment of a run's page; `state` is the viewer's, as `panels/address.ts` writes it. */
export function runAddress(run: string, tab: Tab = "graph", against: string | null = null, state = ""): string {
  const query = [against === null ? "" : `against=${encodeURIComponent(against)}`, state].filter(Boolean).join("&");
  return `#/run/${encodeURIComponent(run)}${tab === "graph" ? "" : `/${tab}`}${query ? `?${query}` : ""}`;
}

/** What a route is of, without the viewer's state: while this stays, the page stays. */
export function place(route: Route): string {
  return route.page === "run" ? JSON.stringify([route.run, route.tab, route.against]) : route.page;
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(location.hash));
  useEffect(() => {
    const look = () => {
      const next = routeOf(location.hash);
      setRoute((was) => (place(was) === place(next) ? was : next));
    };
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return route;
}

function split(text: string, at: string): [string, string?] {
  const place = text.indexOf(at);
  return place < 0 ? [text] : [text.slice(0, place), text.slice(place + 1)];
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
