/** A dialog over the page. The browser keeps the focus inside, and Escape closes it. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { said } from "../actions";

export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  // The browser tells the end of a dialog later. By then the next dialog can be open, and this end must not close it.
  const isRemoved = useRef(false);
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => {
      isRemoved.current = true;
      dialog?.close();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the key for the click beside the dialog is Escape.
    <dialog
      ref={element}
      aria-labelledby="dialog-title"
      onClose={() => isRemoved.current || close()}
      onClick={(event) => event.target === element.current && close()}
    >
      <div class="dialog-body">
        <header>
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="plain" onClick={close}>
            Close <kbd>Esc</kbd>
          </button>
        </header>
        {children}
        {said.value === "" ? null : <p class="dim">{said.value}</p>}
      </div>
    </dialog>
  );
}
