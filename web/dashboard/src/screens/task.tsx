/** One task: its head, and its timeline. */
import "../styles/task.css";
import { query } from "../ask";
import { useChanges, useModel } from "../live";
import { Failed, Waiting } from "../parts/states";
import { useRead } from "../plain_read";
import { project, to } from "../route";
import type { BookmarkPage } from "../rows";
import { useTaskTitle } from "../title";
import { projectName } from "../words";
import { Head } from "./task_head";
import { Timeline } from "./timeline";

export function TaskScreen({ task_id }: { task_id: string }) {
  const { data, state, error } = useModel(`task:${task_id}`);
  const path = data === null ? null : `/api/v1/bookmarks${query({ task_id, limit: 200 })}`;
  const marks = useRead<BookmarkPage>(path, useChanges("bookmarks"));
  const chosen = project.value;
  useTaskTitle(data?.task.title ?? null);
  if (state === "gone")
    return (
      <div class="empty">
        <h1>{chosen === null ? "The task is gone" : "The task is not here"}</h1>
        <p>
          {chosen === null ? (
            <>
              It was deleted, or the address is wrong. <a href={to("/tasks")}>All tasks</a>
            </>
          ) : (
            <>
              The project <b dir="auto">{projectName(chosen)}</b> does not have it: it was deleted, or it is in another
              project. <a href={to(`/tasks/${task_id}`, { project: null })}>Look in all projects</a>
            </>
          )}
        </p>
      </div>
    );
  if (data === null) return error ? <Failed error={error} /> : <Waiting />;
  const marked = new Set((marks.data?.items ?? []).map(({ event_id, task_id: task }) => event_id ?? task));
  return (
    <div class="task">
      <Head detail={data} isMarked={marked.has(task_id)} />
      <Timeline task_id={task_id} detail={data} marked={marked} />
    </div>
  );
}
