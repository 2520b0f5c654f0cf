/** The connection, in words. It shows no words while all is well. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { now } from "../clock";
import { store, useModel, useSubscribable } from "../live";
import { Age } from "./age";

/** A short doubt is no news: the bar appears when it lasts. */
const PATIENCE_MS = 200;

const isOpenedOnce = signal(false);

export function Connection() {
  const status = useSubscribable(store.value.status);
  const overview = useModel("overview");
  const isWell = status.state === "live" && overview.error === null;
  const [isShown, show] = useState(false);
  if (status.state === "live") isOpenedOnce.value = true;
  useEffect(() => {
    if (isWell) {
      show(false);
      return;
    }
    const timer = setTimeout(() => show(true), status.state === "connecting" ? 1000 : PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isWell]);
  const seconds = status.retryAt === null ? null : Math.max(0, Math.ceil((status.retryAt - now.value) / 1000));
  const canRetry = ["reconnecting", "offline", "closed", "connecting"].includes(status.state);
  return (
    <div class="connection-place" role="status" aria-live="polite">
      {isShown && !isWell ? (
        <div class={`connection is-${status.state.replace(" ", "-")}`}>
          <strong>{WORDS[status.state]}</strong>
          <span>
            {status.state === "live" && overview.error ? overview.error.message : null}
            {status.state !== "live" && status.reason ? `${status.reason}. ` : null}
            {seconds !== null && seconds > 0 ? <span aria-hidden="true">Next try in {seconds} s. </span> : null}
            {overview.data !== null && overview.state !== "fresh" ? <Age time={overview.taken} label="The rows are of" /> : null}
          </span>
          {canRetry ? <button type="button" onClick={() => store.value.reconnectNow()}>Retry now</button> : null}
        </div>
      ) : null}
    </div>
  );
}

const WORDS = {
  connecting: "Connecting",
  live: "Not up to date",
  "catching up": "Catching up",
  reconnecting: "Reconnecting",
  offline: "This device is offline",
  closed: "Closed",
  disabled: "Paused",
} as const;
