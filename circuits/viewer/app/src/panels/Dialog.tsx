/** A dialog over the viewer: takes the focus, closes by Esc, gives the focus back where it was. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import "../style/dialog.css";

interface DialogProps {
  title: string;
  close: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, close, children }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = box.current;
    if (dialog && !dialog.open) dialog.showModal(); // the browser keeps the focus inside, and gives it back
    return () => dialog?.close();
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
