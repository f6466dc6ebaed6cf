import { useMemo } from "preact/hooks";

/** An id no other viewer of the page has either: Preact's own begin anew in each of them, as in two cells of a notebook. */
export function useUniqueId(): string {
  return useMemo(() => `cv-${Math.random().toString(36).slice(2, 12)}`, []);
}
