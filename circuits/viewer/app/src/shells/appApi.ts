/** What the served app asks its server for. */
import { useCallback, useEffect, useState } from "preact/hooks";
import type { AnswerPart, TablePart } from "../document";
import type { Intervened } from "../host";

export interface RunItem {
  run: string;
  prompt: string | null;
  output: { text: string; probability: number | null } | null;
  model: string | null;
  dictionary: string | null;
  tokens: number | null;
  nodes: number | null;
  edges: number | null;
  hyperedges: number | null;
  verdicts: number | null;
  created: string | null;
  scores: Record<string, number | null>;
  error: string | null;
}

export interface Runs {
  folder: string;
  runs: RunItem[];
  more: boolean;
  choices: { model: string; dictionary: string }[];
  writable: boolean;
}

export interface Job {
  id: string;
  run: string;
  prompt: string;
  model: string;
  dictionary: string;
  status: "waiting" | "running" | "done" | "failed" | "cancelled";
  ahead: number;
  phase: string;
  done: number;
  total: number;
  eta: number | null;
  seconds: number;
  error: string | null;
  note: string | null;
}

export interface Asked extends AnswerPart {
  left_out: string[];
}

export interface Rows extends TablePart {
  finding: string;
  more: boolean;
  code: string;
}

export interface Tried extends Asked, Intervened {}

export interface Schema {
  tables: Record<string, { row: string; rows: number; columns: Record<string, string> }>;
  macros: Record<string, { parameters: string; gives: string; example: string }>;
}

/** What the server refused, in its own sentence. */
export class Refusal extends Error {}

/** The address of something of a run. */
export function ofRun(run: string, what: string): string {
  return `/api/runs/${encodeURIComponent(run)}/${what}`;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return told<T>(() => fetch(path, signal ? { signal } : {}));
}

export async function send<T>(method: "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
  const given = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return told<T>(() => fetch(path, { method, ...given }));
}

async function told<T>(ask: () => Promise<Response>): Promise<T> {
  let answer: Response;
  try {
    answer = await ask();
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new Refusal("The server does not answer: is circuits serve still running?");
  }
  const document: unknown = await answer.json().catch(() => null);
  if (answer.ok && document !== null) return document as T;
  const said = (document as { error?: unknown } | null)?.error;
  throw new Refusal(typeof said === "string" ? said : `The server answered ${answer.status} and said no more.`);
}

export interface Loaded<T> {
  data: T | null;
  wrong: string | null;
  again(): void;
}

/** What stands at an address; asked for anew when the address changes, and on `again`. */
export function useLoaded<T>(path: string): Loaded<T> {
  const [state, setState] = useState<{ path: string; data: T | null; wrong: string | null }>({ path, data: null, wrong: null });
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((was) => was + 1), []);
  useEffect(() => {
    const stop = new AbortController();
    get<T>(path, stop.signal).then(
      (data) => setState({ path, data, wrong: null }),
      (cause: unknown) => {
        if (!stop.signal.aborted) setState({ path, data: null, wrong: sentence(cause) });
      },
    );
    return () => stop.abort();
  }, [path, turn]);
  const current = state.path === path;
  return { data: current ? state.data : null, wrong: current ? state.wrong : null, again };
}

export function sentence(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
