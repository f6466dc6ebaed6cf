/** The views, in the order of their tabs. Adding a view is adding a line here. */
import type { ComponentType } from "preact";
import type { Model } from "../model";
import type { Store } from "../store";
import { GraphTable } from "./graph/GraphTable";
import { GraphView } from "./graph/GraphView";

export interface View {
  id: string;
  /** On its tab. */
  name: string;
  /** Why there is nothing to show in this view, or null where there is. */
  empty(model: Model): string | null;
  Picture: ComponentType<{ store: Store }>;
  /** The same things as an accessible table. */
  Table: ComponentType<{ store: Store }>;
}

export const VIEWS: View[] = [
  { id: "graph", name: "Graph", empty: () => null, Picture: GraphView, Table: GraphTable },
];
