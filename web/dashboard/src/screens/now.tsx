/** The first screen: which agent needs a person, and the work around it. */
import { signal } from "@preact/signals";
import { isDeleting } from "../actions";
import { useCalm, useFlash } from "../calm";
import { query } from "../ask";
import { useModel, useRead } from "../live";
import { Age } from "../parts/age";
import { Figures } from "../parts/figures";
import { Mark } from "../parts/mark";
import { Empty, Failed, Waiting } from "../parts/states";
import { useRowKeys } from "../parts/row_keys";
import { TaskRow } from "../parts/task_row";
import { project, to } from "../route";
import type { NeedsYou, Task, TaskPage } from "../rows";
import { byWeight, projectName, SHAPE_WORDS, shapeOfReason, why } from "../words";

/** The number of done tasks that are shown before "more". */
const DONE_SHOWN = 5;
const isDoneOpen = signal(false);

export function Now() {
  const { data, error } = useModel("overview");
  useRowKeys();
  const running = useStatus("running", data?.tasks.items, data?.overview.stats.running_tasks);
  const failed = useStatus("errored", data?.tasks.items, data?.overview.stats.errored_tasks);
  if (data === null) return error ? <Failed error={error} /> : <Waiting />;
  const { overview, tasks } = data;
  const entries = byWeight(overview.needs_you);
  const isEmpty = overview.stats.total_tasks === 0;
  return (
    <div class="now">
      <div class="now-lists">
        {isEmpty ? (
          <Empty command="requery hooks install --agent claude-code" waits="Waiting for the first event">
            {project.value === null
              ? "No agent has reported yet. This command lets Claude Code report its work here."
              : `The project ${projectName(project.value)} has no task. Choose another one, or let an agent report.`}
          </Empty>
        ) : (
          <>
            <NeedsYouList entries={entries} running={overview.stats.running_tasks} />
            <Section
              id="running"
              name="Running"
              tasks={running.filter(({ stale_since }) => !stale_since)}
              count={overview.stats.running_tasks - running.filter(({ stale_since }) => stale_since).length}
              status="running"
            />
            <Section
              id="ready"
              name="Ready for a prompt"
              tasks={tasks.items.filter(
                ({ status, status_reason }) => status === "waiting" && status_reason === "ready",
              )}
              status="waiting"
            />
            <Section id="failed" name="Failed" tasks={failed} count={overview.stats.errored_tasks} status="errored" />
            <Section
              id="done"
              name="Done"
              tasks={tasks.items.filter(({ status }) => status === "completed")}
              count={overview.stats.completed_tasks}
              status="completed"
              folds
            />
          </>
        )}
      </div>
      {isEmpty ? null : (
        <aside aria-label="Figures">
          <Figures overview={overview} />
        </aside>
      )}
    </div>
  );
}

/** The tasks of a status: from the first page, or by a request of their own where the page has not all of them. */
function useStatus(status: "running" | "errored", first: readonly Task[] = [], count = 0): readonly Task[] {
  const held = first.filter((task) => task.status === status);
  const isWhole = held.length >= count;
  const read = useRead<TaskPage>(
    isWhole ? null : `/api/v1/tasks${query({ project: project.value, status, limit: 200 })}`,
    first,
  );
  return isWhole ? held : (read.data?.items ?? held);
}

function NeedsYouList({ entries, running }: { entries: readonly NeedsYou[]; running: number }) {
  const rows = useCalm(entries, ({ task_id }) => task_id, project.value);
  return (
    <section class={`needs${entries.length === 0 ? " is-quiet" : ""}`} aria-labelledby="needs-you">
      <h1 id="needs-you">
        {entries.length === 0
          ? "No agent needs you"
          : entries.length === 1
            ? "1 agent needs you"
            : `${entries.length} agents need you`}
      </h1>
      {rows.length === 0 ? (
        <p class="dim">
          {running === 0 ? "No agent is at work." : `${running} at work. The page tells you when one stops.`}
        </p>
      ) : null}
      <ol>
        {rows.map(({ id, row, isLeft }) => (
          <NeedsYouEntry key={id} entry={row} isLeft={isLeft} />
        ))}
      </ol>
    </section>
  );
}

function NeedsYouEntry({ entry, isLeft }: { entry: NeedsYou; isLeft: boolean }) {
  const shape = shapeOfReason(entry.reason ?? null);
  const isGoing = isDeleting(entry.task_id);
  const flash = useFlash<HTMLQuoteElement>(`${entry.reason} ${entry.detail}`);
  return (
    <li class={`need is-${shape}${isLeft ? " is-left" : ""}`}>
      <a href={to(`/tasks/${entry.task_id}`)} data-row={entry.task_id} data-title={entry.title}>
        <span class="need-mark">
          <Mark shape={shape} silent />
          <b>{SHAPE_WORDS[shape]}</b>
        </span>
        <span class="need-wait">
          <Age time={entry.since} label={shape === "doubt" ? "since" : "waits"} />
        </span>
        <span class="need-title" dir="auto">
          {entry.title}
        </span>
        <span class="need-why">
          <span class="need-who" dir="auto">
            {entry.source ?? "The agent"}
          </span>{" "}
          {isGoing
            ? "is being deleted; press u to keep it"
            : isLeft
              ? "no longer needs you"
              : why(entry.reason ?? null)}
          <span class="need-project" dir="auto">
            {" "}
            · {projectName(entry.project)}
          </span>
        </span>
        {entry.detail ? (
          <q class="need-detail" dir="auto" ref={flash}>
            {entry.detail}
          </q>
        ) : null}
      </a>
    </li>
  );
}

function Section({
  id,
  name,
  tasks,
  count,
  status,
  folds = false,
}: {
  id: string;
  name: string;
  tasks: readonly Task[];
  count?: number;
  status: string;
  folds?: boolean;
}) {
  const rows = useCalm(tasks, ({ task_id }) => task_id, project.value);
  const isFolded = folds && !isDoneOpen.value;
  const shown = isFolded ? rows.slice(0, DONE_SHOWN) : rows;
  const total = Math.max(count ?? tasks.length, tasks.length);
  const more = total - shown.length;
  if (rows.length === 0 && total === 0) return null;
  return (
    <section class={`list-${id}`} aria-labelledby={id}>
      <h2 id={id}>
        {name} <span class="dim">{total}</span>
      </h2>
      <ol class="rows">
        {shown.map(({ id: key, row, isLeft }) => (
          <TaskRow key={key} task={row} isLeft={isLeft} showsProject={project.value === null} />
        ))}
      </ol>
      {more > 0 ? (
        isFolded && rows.length > DONE_SHOWN ? (
          <button
            type="button"
            class="more"
            onClick={() => {
              isDoneOpen.value = true;
            }}
          >
            {more} more
          </button>
        ) : (
          <a class="more" href={to("/tasks", { status })}>
            {more} more
          </a>
        )
      ) : null}
    </section>
  );
}
