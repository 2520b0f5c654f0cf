/** A row of the timeline: the time, the lane, one line. A failed step is open: its telling lines stand in the list. */
import { clockTime } from "../clock";
import { to } from "../route";
import type { TimelineEvent } from "../rows";

const ROW_PX = 28;
const LINE_PX = 18;
const LINES_OF_A_FAILURE = 4;
const MOST_LINES_READ = 2000;

const isFailure = ({ state, kind }: TimelineEvent) =>
  state === "failed" || state === "denied" || kind === "assistant.error";

/** Rulers and rows of dots have no letter, and tell no cause. */
const HAS_WORDS = /\p{L}/u;
const IS_CAUSE = /\berror\b|error[:[]|exception|panicked|\bfailed\b|not found|denied|^E\s/i;

const linesHeld = new WeakMap<TimelineEvent, readonly string[]>();

function linesOf(event: TimelineEvent): readonly string[] {
  if (!event.body || !isFailure(event)) return [];
  let lines = linesHeld.get(event);
  if (lines === undefined) {
    const told = event.body.split("\n", MOST_LINES_READ).filter((line) => HAS_WORDS.test(line));
    const cause = told.findIndex((line) => IS_CAUSE.test(line));
    const last = Math.max(0, told.length - LINES_OF_A_FAILURE);
    const from = cause === -1 ? last : Math.min(cause, last);
    lines = told.slice(from, from + LINES_OF_A_FAILURE);
    linesHeld.set(event, lines);
  }
  return lines;
}

/** The height follows from the event, so the list measures no row. */
export function heightOf(event: TimelineEvent): number {
  const lines = linesOf(event).length;
  return ROW_PX + (lines === 0 ? 0 : lines * LINE_PX + 8);
}

/** The event without the texts that its row does not show: the row keeps its words and its height. */
export function shortened(event: TimelineEvent): TimelineEvent {
  const title = event.title || (event.body?.split("\n", 1)[0] ?? "");
  const body = isFailure(event) ? linesOf(event).join("\n") : null;
  // No event of the server has this time, so a whole event takes the place of the short one.
  return { ...event, title, body, metadata: {}, updated_at: "" };
}

/** The word of a state that is worth a word. A question that runs waits for the person. */
function wordOf({ state, lane }: TimelineEvent): { word: string; kind: string } | null {
  if (!state || state === "ok") return null;
  return state === "running" && lane === "questions"
    ? { word: "waits for you", kind: "asks" }
    : { word: state, kind: state };
}

export function EventRow({
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
  const state = wordOf(event);
  return (
    <a
      class={`event${isSelected ? " is-selected" : ""}${isFailure(event) ? " is-failure" : ""}`}
      href={to(`/tasks/${task_id}`, { event: isSelected ? null : event.event_id })}
      aria-current={isSelected ? "true" : undefined}
      data-row={event.event_id}
    >
      <span class="event-line">
        <time dateTime={event.created_at}>{clockTime(event.created_at)}</time>
        <span class={`lane is-${event.lane}`}>{event.lane}</span>
        <span class="event-title" dir="auto">
          {title}
        </span>
        {isMarked ? (
          <span class="event-state">
            ★<span class="unseen">bookmarked</span>
          </span>
        ) : null}
        {state ? <span class={`event-state is-${state.kind}`}>{state.word}</span> : null}
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
