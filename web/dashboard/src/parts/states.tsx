/** The states of a screen without rows: it waits, it failed, or it is empty. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { copy } from "../actions";

/** A spinner appears only after 200 ms: most answers are faster, and a flicker helps no person. */
export function Waiting() {
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="waiting" role="status">
      {isSlow ? (
        <>
          <span class="spinner" aria-hidden="true" />
          Reading the rows
        </>
      ) : null}
    </div>
  );
}

export function Failed({ error }: { error: Error | string }) {
  return (
    <p class="failed" role="alert">
      {typeof error === "string" ? error : error.message}
    </p>
  );
}

/** An empty screen is a command to run, and a live sign that the page waits for its effect. */
export function Empty({ children, command, waits }: { children: ComponentChildren; command?: string; waits?: string }) {
  return (
    <div class="empty">
      <p>{children}</p>
      {command === undefined ? null : (
        <p class="command">
          <code>{command}</code>
          <button type="button" onClick={() => void copy(command, "The command is copied.")}>
            Copy
          </button>
        </p>
      )}
      {waits === undefined ? null : (
        <p class="waits">
          <span class="pulse" aria-hidden="true" />
          {waits}
        </p>
      )}
    </div>
  );
}
