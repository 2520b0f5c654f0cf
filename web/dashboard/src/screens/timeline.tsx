/** The timeline of a task: a list that follows its end, and the panel of the selected event. */
import { useEffect, useRef, useState } from "preact/hooks";
import { bookmark, say } from "../actions";
import { useKeys } from "../keys";
import { Waiting } from "../parts/states";
import { type Anchor, VirtualList } from "../parts/virtual_list";
import { keepPlace, keptPlace, parameter } from "../route";
import type { TaskDetail, TimelineEvent } from "../rows";
import { useTimelineRows } from "../timeline_rows";
import { number } from "../words";
import { EventPanel } from "./event_panel";
import { EventRow, heightOf } from "./event_row";

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
  const chosen = parameter("event");
  const rows = useTimelineRows(task_id, detail, chosen);
  const { events } = rows;
  const [place] = useState(() => keptPlace() as Anchor | null);
  const [isFollowing, setFollowing] = useState(chosen === null && place === null);
  const list = useRef<HTMLDivElement>(null);
  const anchor = useRef(place);
  const last = events.at(-1)?.position ?? 0;
  const [seen, setSeen] = useState(last);
  const newest = newerThan(events, seen);
  const selected = chosen === null ? null : (events.find(({ event_id }) => event_id === chosen) ?? null);
  useEffect(() => {
    if (isFollowing || seen === 0) setSeen(last);
  }, [isFollowing, last]);
  useEffect(() => keepPlace(() => (isFollowing ? null : anchor.current)), [isFollowing]);
  const isEmpty = events.length === 0;
  useEffect(() => {
    if (!isEmpty && place !== null) void rows.find(place.id);
  }, [isEmpty]);
  useEffect(() => {
    if (chosen === null || selected !== null || isEmpty) return;
    void rows.find(chosen).then((isFound) => {
      if (!isFound) say("The event of this address is not among the newest 10,000, or it is deleted.");
    });
  }, [chosen, isEmpty]);
  const toBegin = async () => {
    setFollowing(false);
    if (await rows.loadAll()) list.current?.scrollTo(0, 0);
  };
  useKeys([
    { key: "l", does: "follow the end of the timeline", group: "Task", run: () => setFollowing(true) },
    { key: "g", does: "go to the begin of the timeline", group: "Task", run: () => void toBegin() },
    {
      key: "b",
      does: "bookmark the selected event, or the task",
      group: "Task",
      run: () => {
        // A second PUT would change no row, and the sentence about it would be wrong.
        if (marked.has(chosen ?? task_id)) say("It is bookmarked already. Press 3 to see all.");
        else void bookmark(chosen === null ? { task_id } : { task_id, event_id: chosen });
      },
    },
  ]);
  if (isEmpty) {
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
      <div class="timeline-list" onWheel={rows.stopLoading} onTouchMove={rows.stopLoading}>
        <VirtualList
          box={list}
          anchor={anchor}
          rows={events}
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
        {rows.isLoadingAll ? (
          <p class="loading-all" role="status">
            {number(events.length)} events are loaded. Scroll to stop.
          </p>
        ) : null}
        {isFollowing ? null : (
          <button type="button" class="follow" onClick={() => setFollowing(true)}>
            {newest > 0 ? `${number(newest)} newer` : "To the end"} <kbd>l</kbd>
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
  return position === 0 ? 0 : events.length - at;
}
