/** A dialog over the viewer: takes the focus, closes by Esc, gives the focus back where it was. */
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import "../style/dialog.css";

interface DialogProps {
  title: string;
  close: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, close, children }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const viewer = box.current?.closest<HTMLElement>(".circuits-viewer");
    box.current?.showModal(); // the browser keeps the focus inside; it gives it back only where it closes it itself
    return () =>
      requestAnimationFrame(() => {
        if (document.activeElement === document.body) (before?.isConnected ? before : viewer)?.focus();
      });
  }, []);
  return (
    <dialog
      ref={box}
      class="cv-dialog"
      aria-labelledby={id}
      onClose={close}
      onClick={(event) => {
        if (event.target === event.currentTarget) close();
      }}
    >
      <div class="cv-dialog-inside">
        <header>
          <h3 id={id}>{title}</h3>
          <button type="button" class="cv-button cv-quiet" aria-label="Close" onClick={close}>
            ×
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
