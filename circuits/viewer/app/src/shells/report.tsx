/** The viewer inside a report: its document stands in the page. */
import { render } from "preact";
import type { ViewerDocument } from "../document";
import { Viewer } from "../Viewer";

/** Mounts the viewer where the page has `#circuits-viewer` and `#circuits-document`. */
export function startReport(): void {
  const place = document.getElementById("circuits-viewer");
  const data = document.getElementById("circuits-document");
  if (!place || !data) return;
  const given = JSON.parse(data.textContent ?? "") as ViewerDocument;
  place.replaceChildren();
  render(<Viewer document={given} host={{ kind: "report" }} />, place);
}
