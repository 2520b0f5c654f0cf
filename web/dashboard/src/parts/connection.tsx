/** The connection, in words. It shows no words while all is well. */
import { useEffect, useState } from "preact/hooks";
import { now } from "../clock";
import { type Key, useKeys } from "../keys";
import { ageOf, store, useModel, useSubscribable } from "../live";
import { modelOf, screen } from "../route";
import type { Status } from "../store";

/** A short doubt is no news: the bar appears when it lasts. */
const PATIENCE_MS = 200;
const PATIENCE_AT_BEGIN_MS = 1000;

export function Connection() {
  const status = useSubscribable(store.value.status);
  const shown = modelOf(screen.value);
  const { error: errorOfOverview } = useModel("overview");
  const error = useModel(shown).error ?? errorOfOverview;
  const isWell = status.name === "live" && error === null;
  const [isShown, show] = useState(false);
  useEffect(() => {
    if (isWell) {
      show(false);
      return;
    }
    const timer = setTimeout(() => show(true), status.name === "connecting" ? PATIENCE_AT_BEGIN_MS : PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isWell]);
  const canRetry = ["reconnecting", "offline", "closed", "connecting", "polling"].includes(status.name);
  const retry = () => {
    if (status.name === "closed" || status.name === "disabled") store.value.resume();
    store.value.reconnectNow();
  };
  const keys: Key[] = canRetry ? [{ key: "R", does: "connect now", group: "Everywhere", run: retry }] : [];
  useKeys(keys);
  if (isWell || !isShown) return <div role="status" aria-live="polite" />;
  // The countdown and the age move each second; a screen reader hears only the words beside them.
  const at = now.value;
  const age = ageOf(shown);
  const seconds =
    status.name === "reconnecting" && status.nextTry !== null
      ? Math.ceil((status.nextTry - store.value.now()) / 1000)
      : 0;
  return (
    <div role="status" aria-live="polite">
      <div class={`connection is-${status.name.replace(" ", "-")}`} data-at={at}>
        <strong>{WORDS[status.name]}</strong>
        <span>
          {why(status, error)}
          {seconds > 0 ? <span aria-hidden="true">Next try in {seconds} s. </span> : null}
          {age !== null && age >= 1000 ? (
            <span aria-hidden="true">The rows were true {Math.floor(age / 1000)} s ago.</span>
          ) : null}
        </span>
        {canRetry ? (
          <button type="button" onClick={retry}>
            Retry now <kbd>R</kbd>
          </button>
        ) : null}
      </div>
    </div>
  );
}

const WORDS: Record<Status["name"], string> = {
  connecting: "Connecting",
  live: "Not up to date",
  "catching up": "Catching up",
  polling: "Asking again and again",
  reconnecting: "Reconnecting",
  offline: "This device is offline",
  closed: "Closed",
  disabled: "Paused",
};

const LOSSES: Record<string, string> = {
  ended: "The connection ended",
  "not reached": "The server is not reached; check that requery runs",
  busy: "The server is busy",
  silent: "The server sent no sign of life",
  "no first message": "The address answers, but not as requery; check the proxy",
  "not confirmed": "The server did not confirm the watched rows",
  closing: "The server is ending",
  "network returned": "The network returned",
  asked: "You asked for a new connection",
};

function why(status: Status, error: string | null): string {
  if (status.name === "reconnecting") return `${LOSSES[status.reason] ?? status.reason}. `;
  if (status.name === "closed") return `${status.reason}. `;
  if (status.name === "polling") return "No stream reaches the server, so the page asks at intervals. ";
  return error === null ? "" : `${error}. `;
}
