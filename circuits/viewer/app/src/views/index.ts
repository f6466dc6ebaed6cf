/** The views, in the order of their tabs. Adding a view is adding a line here. */
import type { ComponentType } from "preact";
import type { Model } from "../model";
import type { Store } from "../store";
import { ConceptsTable } from "./concepts/ConceptsTable";
import { ConceptsView } from "./concepts/ConceptsView";
import { DiffTable } from "./diff/DiffTable";
import { DiffView } from "./diff/DiffView";
import * as empty from "./empty";
import { GraphTable } from "./graph/GraphTable";
import { GraphView } from "./graph/GraphView";
import { HyperedgesTable } from "./hyperedges/HyperedgesTable";
import { HyperedgesView } from "./hyperedges/HyperedgesView";
import { MatrixTable } from "./matrix/MatrixTable";
import { MatrixView } from "./matrix/MatrixView";
import { QkTable } from "./qk/QkTable";
import { QkView } from "./qk/QkView";
import { UpsetTable } from "./upset/UpsetTable";
import { UpsetView } from "./upset/UpsetView";

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
  { id: "concepts", name: "Concepts", empty: () => null, Picture: ConceptsView, Table: ConceptsTable },
  { id: "hyperedges", name: "Combinations", empty: empty.combinations, Picture: HyperedgesView, Table: HyperedgesTable },
  { id: "upset", name: "UpSet", empty: empty.combinations, Picture: UpsetView, Table: UpsetTable },
  { id: "matrix", name: "Layers", empty: empty.matrix, Picture: MatrixView, Table: MatrixTable },
  { id: "qk", name: "Query–key", empty: empty.qk, Picture: QkView, Table: QkTable },
  { id: "diff", name: "Compare", empty: empty.diff, Picture: DiffView, Table: DiffTable },
];
