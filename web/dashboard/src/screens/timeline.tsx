/** The timeline of a task, and the panel of its selected event. */
import { useEffect, useState } from "preact/hooks";
import { bookmark, copy, say } from "../actions";
import { useKeys } from "../keys";
import { clockTime, fullTime } from "../clock";
import { TextBlock } from "../parts/text_block";
import { VirtualList } from "../parts/virtual_list";
import { Waiting } from "../parts/states";
import { change, parameter, to } from "../route";
import type { TaskDetail, TimelineEvent } from "../rows";
import { useTimelineRows } from "../timeline_rows";

const ROW_PX = 28;
const LINE_PX = 18;
const LINES_OF_A_FAILURE = 4;

const isFailure = ({ state, kind }: TimelineEvent) =>
  state === "failed" || state === "denied" || kind === "assistant.error";

/** A failed step is open: its first lines stand in the list. */
function linesOf(event: TimelineEvent): string[] {
  if (!isFailure(event) || event.body === null || event.body === undefined) return [];
  return event.body
    .split("\n", 40)
    .filter((line) => line.trim() !== "")
    .slice(0, LINES_OF_A_FAILURE);
}

function heightOf(event: TimelineEvent): number {
  const lines = linesOf(event).length;
  return ROW_PX + (lines === 0 ? 0 : lines * LINE_PX + 8);
}

const idOf = ({ event_id }: TimelineEvent) => event_id;

export function Timeline({
  task_id,
  detail,
  marked,
}: {
  task_id: string;
  detail: TaskDetail;
  marked: ReadonlySet<string>;
}) {
  const rows = useTimelineRows(task_id, detail);
  const chosen = parameter("event");
  const [isFollowing, setFollowing] = useState(chosen === null);
  const [seen, setSeen] = useState(0);
  const selected = rows.events.find(({ event_id }) => event_id === chosen) ?? null;
  const last = rows.events.at(-1)?.position ?? 0;
  const newest = rows.events.length === 0 ? 0 : newerThan(rows.events, seen);
  useEffect(() => {
    if (isFollowing) setSeen(last);
  }, [isFollowing, last]);
  useEffect(() => {
    if (chosen === null || selected !== null || rows.events.length === 0) return;
    void rows.find(chosen).then((isFound) => {
      if (!isFound) say("The event of this address is not among the newest 10,000, or it is deleted.");
    });
  }, [chosen, rows.events.length === 0]);
  useKeys([
    { key: "l", does: "follow the end of the timeline", group: "Task", run: () => setFollowing(true) },
    {
      key: "b",
      does: "bookmark the selected event, or the task",
      group: "Task",
      run: () => {
        // A second PUT would remove the note of a bookmark.
        if (marked.has(chosen ?? task_id)) say("It is bookmarked already. Press 3 to see all.");
        else void bookmark(chosen === null ? { task_id } : { task_id, event_id: chosen });
      },
    },
  ]);
  if (rows.events.length === 0) {
    return detail.timeline.items.length === 0 ? (
      <p class="empty waits">
        <span class="pulse" aria-hidden="true" />
        Waiting for the first event
      </p>
    ) : (
      <Waiting />
    );
  }
  return (
    <div class={`timeline${selected ? " has-panel" : ""}`}>
      <div class="timeline-list">
        <VirtualList
          rows={rows.events}
          idOf={idOf}
          heightOf={heightOf}
          label="Timeline, the newest event last"
          isFollowing={isFollowing}
          setFollowing={setFollowing}
          atBegin={() => void rows.loadOlder()}
          inView={(first, end) => rows.view(first.position, end.position)}
          shown={chosen}
          render={(event) => (
            <EventRow
              event={event}
              isSelected={event.event_id === chosen}
              isMarked={marked.has(event.event_id)}
              task_id={task_id}
            />
          )}
        />
        {isFollowing ? null : (
          <button type="button" class="follow" onClick={() => setFollowing(true)}>
            {newest > 0 ? `${newest} newer` : "To the end"} <kbd>l</kbd>
          </button>
        )}
      </div>
      {selected ? <EventPanel event={selected} /> : null}
    </div>
  );
}

function newerThan(events: readonly TimelineEvent[], position: number): number {
  let at = events.length;
  while (at > 0 && (events[at - 1]?.position ?? 0) > position) at--;
  return events.length - at;
}

function EventRow({
  event,
  isSelected,
  isMarked,
  task_id,
}: {
  event: TimelineEvent;
  isSelected: boolean;
  isMarked: boolean;
  task_id: string;
}) {
  const lines = linesOf(event);
  const title = event.title || event.body?.split("\n", 1)[0] || event.kind;
  return (
    <a
      class={`event${isSelected ? " is-selected" : ""}${isFailure(event) ? " is-failure" : ""}`}
      href={to(`/tasks/${task_id}`, { event: isSelected ? null : event.event_id })}
      aria-current={isSelected ? "true" : undefined}
      data-row={event.event_id}
    >
      <span class="event-line">
        <time dateTime={event.created_at} title={fullTime(event.created_at)}>
          {clockTime(event.created_at)}
        </time>
        <span class={`lane is-${event.lane}`}>{event.lane}</span>
        <span class="event-title" dir="auto">
          {title}
        </span>
        {isMarked ? (
          <span class="event-state" title="bookmarked">
            ★<span class="unseen">bookmarked</span>
          </span>
        ) : null}
        {event.state && event.state !== "ok" ? (
          <span class={`event-state is-${event.state}`}>{event.state}</span>
        ) : null}
      </span>
      {lines.length === 0 ? null : (
        <span class="event-lines">
          {lines.map((line, at) => (
            <span key={at}>{line}</span>
          ))}
        </span>
      )}
    </a>
  );
}

function EventPanel({ event }: { event: TimelineEvent }) {
  const [isRaw, setRaw] = useState(false);
  const close = () => change({ event: null });
  const raw = isRaw ? JSON.stringify(event, null, 2) : "";
  useKeys([
    { key: "r", does: "show the raw JSON of the event", group: "Event", run: () => setRaw((held) => !held) },
    {
      key: "y",
      does: "copy the text of the event",
      group: "Event",
      run: () => void copy(event.body ?? event.title, "The text is copied."),
    },
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
        <TextBlock text={raw} />
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
