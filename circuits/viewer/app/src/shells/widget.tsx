/** The viewer as an anywidget: the document and the shared state are traits of the model. */
import { render } from "preact";
import type { ViewerDocument } from "../document";
import { Viewer } from "../Viewer";

interface WidgetModel {
  get(name: "document"): ViewerDocument;
}

export function renderWidget({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  render(<Viewer document={model.get("document")} host={{ kind: "notebook" }} />, el);
  return () => render(null, el);
}
