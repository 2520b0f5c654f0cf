/** The selected event: its whole text, its metadata, and its raw JSON. */
import { useState } from "preact/hooks";
import { copy } from "../actions";
import { fullTime } from "../clock";
import { useKeys } from "../keys";
import { TextBlock } from "../parts/text_block";
import { change } from "../route";
import type { TimelineEvent } from "../rows";

export function EventPanel({ event }: { event: TimelineEvent }) {
  const [isRaw, setRaw] = useState(false);
  const close = () => change({ event: null });
  const copyText = () => void copy(event.body || event.title || event.kind, "The text is copied.");
  useKeys([
    { key: "r", does: "show the raw JSON of the event", group: "Event", run: () => setRaw((held) => !held) },
    { key: "y", does: "copy the text of the event", group: "Event", run: copyText },
    { key: "Escape", does: "close the event", group: "Event", run: close },
  ]);
  const metadata = Object.keys(event.metadata ?? {}).length === 0 ? null : JSON.stringify(event.metadata, null, 2);
  return (
    <article class="panel" aria-label="Selected event">
      <header>
        <h2 dir="auto">{event.title || event.kind}</h2>
        <button type="button" class="plain" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
          JSON <kbd>r</kbd>
        </button>
        <button type="button" class="plain" onClick={copyText}>
          Copy <kbd>y</kbd>
        </button>
        <button type="button" class="plain" onClick={close}>
          Close <kbd>Esc</kbd>
        </button>
      </header>
      <p class="dim">
        {event.kind}
        {event.family ? ` · ${event.family}` : ""} · {event.lane}
        {event.state ? ` · ${event.state}` : ""} · {fullTime(event.created_at)}
      </p>
      {isRaw ? (
        <TextBlock text={JSON.stringify(event, null, 2)} />
      ) : (
        <>
          {event.body ? <TextBlock text={event.body} /> : <p class="dim">The event has no text.</p>}
          {event.truncated ? <p class="dim">The text was cut: its whole size is {event.truncated} bytes.</p> : null}
          {metadata === null ? null : (
            <>
              <h3>Metadata</h3>
              <TextBlock text={metadata} />
            </>
          )}
        </>
      )}
    </article>
  );
}
