/** The first screen: which agent needs a person, and the work around it. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { query } from "../ask";
import { useKeys } from "../keys";
import { useModel } from "../live";
import { Belief } from "../parts/belief";
import { Figures } from "../parts/figures";
import { useRowKeys } from "../parts/row_keys";
import { Section } from "../parts/section";
import { Empty, Failed, Waiting } from "../parts/states";
import { type Read, useRead } from "../plain_read";
import { project, to } from "../route";
import type { NeedsYou, Task, TaskPage } from "../rows";
import { installCommand, MOST_NEEDS, projectName, withoutRoom } from "../words";
import { NeedsYouList } from "./needs_you";

const isDoneOpen = signal(false);
const openDone = () => {
  isDoneOpen.value = true;
};

export function Now() {
  const { data, error } = useModel("overview");
  const needs = data?.overview.needs_you ?? [];
  const isDrawn = useDrawn(data !== null);
  useRowKeys();
  useKeys([{ key: "o", does: "show more of the done tasks", group: "Tasks", run: openDone }]);
  const items = data?.tasks.items;
  const running = useStatus("running", items, data?.overview.stats.running_tasks);
  // A task has one row, so a failed task that is among the needs is not in the list of failed tasks.
  const needed = new Set(needs.filter(({ status }) => status === "errored").map(({ task_id }) => task_id));
  const failures = Math.max(0, (data?.overview.stats.errored_tasks ?? 0) - needed.size);
  const failed = useStatus("errored", items, failures === 0 ? 0 : data?.overview.stats.errored_tasks);
  const waiting = useStatus("waiting", items, data?.overview.stats.waiting_tasks);
  if (data === null) return error ? <Failed error={error} /> : <Waiting />;
  const { overview, tasks } = data;
  const { stats } = overview;
  if (stats.total_tasks === 0) return <NoTask />;
  // The tasks that wait, but not for a person.
  const waits = (reason: string) =>
    waiting.tasks.filter(({ status_reason, stale_since }) => status_reason === reason && !stale_since);
  const inDoubt = running.tasks.filter(({ stale_since }) => stale_since);
  return (
    <div class="now">
      <div class="now-lists">
        <Needs needs={needs} running={stats.running_tasks} />
        {isDrawn || needs.length === 0 ? (
          <>
            <Section
              id="running"
              name="Running"
              tasks={running.tasks.filter(({ stale_since }) => !stale_since)}
              count={stats.running_tasks - inDoubt.length}
              status="running"
              read={running.read}
            />
            <Section id="ready" name="Ready for a prompt" tasks={waits("ready")} status="waiting" read={waiting.read} />
            <Section
              id="scheduled"
              name="Goes on by itself"
              tasks={waits("scheduled")}
              status="waiting"
              read={waiting.read}
            />
            <Section
              id="failed"
              name="Failed"
              tasks={failed.tasks.filter(({ task_id }) => !needed.has(task_id))}
              count={failures}
              status="errored"
              read={failed.read}
            />
            <Section
              id="done"
              name="Done"
              tasks={tasks.items.filter(({ status }) => status === "completed")}
              count={stats.completed_tasks}
              status="completed"
              fold={isDoneOpen.value ? undefined : openDone}
            />
          </>
        ) : null}
      </div>
      <aside aria-label="Figures">{isDrawn ? <Figures overview={overview} /> : null}</aside>
    </div>
  );
}

/** The rows that matter first are drawn first: the others follow in the next frame, below and beside them. */
function useDrawn(hasRows: boolean): boolean {
  const [isDrawn, setDrawn] = useState(false);
  useEffect(() => {
    if (!hasRows || isDrawn) return;
    // A frame that is drawn comes before a timer that begins in it. A hidden page draws no frame.
    const frame = requestAnimationFrame(() => setTimeout(() => setDrawn(true)));
    const timer = setTimeout(() => setDrawn(true), 200);
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
    };
  }, [hasRows]);
  return isDrawn;
}

/** The tasks of a status: from the first page, or by a request of their own where the page has not all of them. */
function useStatus(
  status: "running" | "errored" | "waiting",
  first: readonly Task[] = [],
  count = 0,
): { tasks: readonly Task[]; read: Read<TaskPage> } {
  const held = first.filter((task) => task.status === status);
  const isWhole = held.length >= count;
  const path = isWhole ? null : `/api/v1/tasks${query({ project: project.value, status, limit: 200 })}`;
  const read = useRead<TaskPage>(path, first);
  return { tasks: isWhole ? held : (read.data?.items ?? held), read };
}

function Needs({ needs, running }: { needs: readonly NeedsYou[]; running: number }) {
  const count = needs.length;
  const full = withoutRoom(needs).length;
  return (
    <section class={`needs${count === 0 ? " is-quiet" : ""}`} aria-labelledby="needs-you">
      <div class="heading">
        <h1 id="needs-you">
          {count === 0
            ? "No agent needs you"
            : count === 1
              ? "1 agent needs you"
              : `${full > 0 ? "At least " : ""}${count} agents need you`}
        </h1>
        <Belief model="overview" />
      </div>
      <NeedsYouList entries={needs} running={running} />
      {full > 0 ? (
        <p class="dim">
          There is room for {full} {full < MOST_NEEDS ? "failed or doubtful entries" : "entries"} here. Others can be
          among <a href={to("/tasks", { status: "waiting" })}>the waiting tasks</a>,{" "}
          <a href={to("/tasks", { status: "errored" })}>the failed tasks</a> and{" "}
          <a href={to("/tasks", { status: "running" })}>the running tasks</a>.
        </p>
      ) : null}
    </section>
  );
}

function NoTask() {
  const chosen = project.value;
  return (
    <>
      <h1>{chosen === null ? "No agent has reported yet" : "The project has no task"}</h1>
      <Empty command={installCommand()} waits="Waiting for the first event">
        {chosen === null ? (
          "This command lets Claude Code report its work here."
        ) : (
          <>
            The project <b dir="auto">{projectName(chosen)}</b> has no task. Choose another project with <kbd>p</kbd>,
            or let an agent report.
          </>
        )}
      </Empty>
    </>
  );
}
