/** Keeps the keyboard in the viewer where what has it goes away: else its keys would no longer be heard. */
import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

/** When the element is removed with the focus in it, the view around it gets the focus. */
export function useKeptFocus(held: RefObject<HTMLElement | null>): void {
  useLayoutEffect(() => {
    const element = held.current;
    const view = element?.closest<HTMLElement>(".cv-view");
    return () => {
      if (element?.contains(document.activeElement)) view?.focus({ preventScroll: true });
    };
  }, []);
}
