/** Effects that follow their signals at once; those of the framework wait for a frame, which paper never sees. */
import { effect } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";

/** Runs now and whenever a signal it reads changes, until the component goes; what it gives is run before the next. */
export function useAtOnce(run: () => void | (() => void)): void {
  useLayoutEffect(() => effect(run), []);
}
