/** What stands behind the viewer: a file, a notebook, or a server. */
import type { AnswerPart, TablePart } from "./document";

/** What of the viewer's state goes out and comes in: to a notebook, into the address. */
export interface SharedState {
  view: string;
  selected: string | null;
  pinned: string[];
  /** Groups made by hand, or changed: name to node names. */
  groups: Record<string, string[]>;
  /** Nodes are shown up to this share of the shown influence, 0 … 1. */
  threshold: number;
}

export interface Intervened {
  /** What was done, in words. */
  says: string;
  columns: TablePart;
}

export interface Host {
  kind: "report" | "notebook" | "server";
  /** Questions in the grammar of `circuits ask`; absent where nothing could answer. */
  ask?(question: string): Promise<AnswerPart>;
  sql?(query: string): Promise<TablePart>;
  intervene?(actions: string[]): Promise<Intervened>;
  /** The state to begin with. */
  state?: Partial<SharedState>;
  /** Calls back with state that is set from outside; gives what ends that. */
  follow?(apply: (state: Partial<SharedState>) => void): () => void;
  /** Told of each change of the shared state. */
  changed?(state: SharedState): void;
}
