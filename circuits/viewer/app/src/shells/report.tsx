/** The viewer inside a report: its document stands in the page, its state in the address. */
import { render } from "preact";
import type { ViewerDocument } from "../document";
import type { Host } from "../host";
import { read, written } from "../panels/address";
import { Viewer } from "../Viewer";

/** Mounts the viewer where the page has `#circuits-viewer` and `#circuits-document`. */
export function startReport(): void {
  const place = document.getElementById("circuits-viewer");
  const data = document.getElementById("circuits-document");
  if (!place || !data) return;
  const given = JSON.parse(data.textContent ?? "") as ViewerDocument;
  place.replaceChildren();
  render(<Viewer document={given} host={addressed(given)} />, place);
  if (read(location.hash, {})) place.scrollIntoView();
}

/** Reads the state from the address at first and whenever it changes, and writes it there. */
function addressed(given: ViewerDocument): Host {
  const concepts = Object.fromEntries(given.graph.concepts.map(({ name, nodes }) => [name, nodes]));
  return {
    kind: "report",
    state: read(location.hash, concepts) ?? {},
    changed(state) {
      const fragment = written(state, concepts);
      try {
        history.replaceState(history.state, "", fragment);
      } catch {
        // a page in a frame without an address of its own keeps its state to itself
      }
    },
    follow(apply) {
      const look = () => {
        const state = read(location.hash, concepts);
        if (!state) return;
        apply(state);
        document.getElementById("circuits-viewer")?.scrollIntoView();
      };
      addEventListener("hashchange", look);
      return () => removeEventListener("hashchange", look);
    },
  };
}
