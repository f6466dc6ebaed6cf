/** The viewer: toolbar above, a view in the middle, the panel of what is selected at its side. */
import { useMemo } from "preact/hooks";
import type { ViewerDocument } from "./document";
import type { Host } from "./host";
import { Model } from "./model";
import { createStore } from "./store";
import { VIEWS } from "./views";

export function Viewer({ document, host }: { document: ViewerDocument; host: Host }) {
  const store = useMemo(() => createStore(new Model(document), host), [document, host]);
  const view = VIEWS.find((one) => one.id === store.view.value) ?? VIEWS[0];
  const Shown = store.shape.value === "table" ? view.Table : view.Picture;
  const nothing = view.empty(store.model);
  return (
    <div class="circuits-viewer">
      <div class="cv-view">{nothing ? <p class="cv-empty">{nothing}</p> : <Shown store={store} />}</div>
      <p class="cv-told" role="status">
        {store.told}
      </p>
    </div>
  );
}
