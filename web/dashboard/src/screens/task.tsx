/** One task: its state and question, its parts, and its timeline. */
import { useState } from "preact/hooks";
import { copy, deleteTask, finish, isDeleting, rename, say } from "../actions";
import { query } from "../ask";
import { useKeys } from "../keys";
import { useModel, useRead } from "../live";
import { Age } from "../parts/age";
import { UsageFigures } from "../parts/figures";
import { Mark } from "../parts/mark";
import { Failed, Waiting } from "../parts/states";
import { to } from "../route";
import type { BookmarkPage, ChildTask, TaskDetail } from "../rows";
import { cost, number, projectName, resumeCommand, SHAPE_WORDS, sentenceOf, shapeOf, short, why } from "../words";
import { Timeline } from "./timeline";

export function TaskScreen({ task_id }: { task_id: string }) {
  const { data, state, error } = useModel(`task:${task_id}`);
  const bookmarks = useModel("bookmarks");
  const marks = useRead<BookmarkPage>(`/api/v1/bookmarks${query({ task_id, limit: 200 })}`, bookmarks.data);
  if (state === "gone")
    return (
      <p class="empty">
        The task is gone: it was deleted, or the address is wrong. <a href={to("/tasks")}>All tasks</a>
      </p>
    );
  if (data === null) return error ? <Failed error={error} /> : <Waiting />;
  const marked = new Set((marks.data?.items ?? []).map(({ event_id, task_id: task }) => event_id ?? task));
  return (
    <div class="task">
      <Head detail={data} isMarked={marked.has(task_id)} />
      {error ? <Failed error={error} /> : null}
      <Timeline key={task_id} task_id={task_id} detail={data} marked={marked} />
    </div>
  );
}

function Head({ detail, isMarked }: { detail: TaskDetail; isMarked: boolean }) {
  const { task, sessions, children, figures, usage, models } = detail;
  const [name, setName] = useState<string | null>(null);
  const shape = shapeOf(task);
  const isOpen = task.status === "running" || task.status === "waiting";
  const isGoing = isDeleting(task.task_id);
  const resume =
    sessions
      .map(({ source, runtime_session_id }) =>
        runtime_session_id ? resumeCommand(source, runtime_session_id, task.workspace ?? null) : null,
      )
      .find((one) => one !== null) ?? null;
  const copyResume = () => {
    if (resume === null) say("No session of this task can be resumed by a command.");
    else void copy(resume, "The command that resumes this session is copied.");
  };
  useKeys([
    { key: "n", does: "rename the task", group: "Task", run: () => setName(task.title) },
    {
      key: "f",
      does: "finish the task",
      group: "Task",
      run: () => (isOpen ? void finish(task.task_id) : say("The task has ended already.")),
    },
    {
      key: "x",
      does: "delete the task; u takes it back",
      group: "Task",
      run: () => deleteTask(task.task_id, task.title),
    },
    { key: "c", does: "copy the command that resumes the session", group: "Task", run: copyResume },
  ]);
  const save = () => {
    const title = name?.trim() ?? "";
    if (title !== "" && title !== task.title) void rename(task.task_id, title);
    setName(null);
  };
  return (
    <header class={`task-head is-${shape}`}>
      <div class="task-title">
        <Mark shape={shape} silent />
        {name === null ? (
          <h1 dir="auto">
            {task.title}
            {isMarked ? " ★" : ""}
          </h1>
        ) : (
          <input
            class="rename"
            aria-label="Name of the task"
            maxLength={500}
            value={name}
            ref={(element) => {
              if (element && document.activeElement !== element) element.focus();
            }}
            onInput={(event) => setName(event.currentTarget.value)}
            onBlur={save}
            onKeyDown={(event) => {
              if (event.key === "Enter") save();
              if (event.key === "Escape") setName(null);
            }}
          />
        )}
      </div>
      <p class="task-state">
        <b class={`is-${shape}`}>{SHAPE_WORDS[shape]}</b>
        {task.status === "waiting" ? <span>{why(task.status_reason ?? null)}</span> : null}
        {task.waiting_since ? <Age time={task.waiting_since} label="waits" /> : null}
        {isGoing ? <span>is being deleted; press u to keep it</span> : null}
        <span class="dim" dir="auto">
          {task.source} · {projectName(task.project)}
        </span>
        <Age time={task.created_at} label="began" />
      </p>
      {task.status === "waiting" && task.status_detail ? (
        <q class="need-detail" dir="auto">
          {task.status_detail}
        </q>
      ) : null}
      {task.summary || task.status_detail || task.status === "errored" || shape === "doubt" ? (
        task.status === "waiting" ? null : (
          <p class="outcome" dir="auto">
            {sentenceOf(task)}
          </p>
        )
      ) : null}
      <div class="actions">
        {isOpen ? (
          <button type="button" onClick={() => void finish(task.task_id)}>
            Finish <kbd>f</kbd>
          </button>
        ) : null}
        {resume ? (
          <button type="button" onClick={copyResume}>
            Copy resume <kbd>c</kbd>
          </button>
        ) : null}
        <button type="button" onClick={() => setName(task.title)}>
          Rename <kbd>n</kbd>
        </button>
        <button type="button" onClick={() => deleteTask(task.task_id, task.title)}>
          Delete <kbd>x</kbd>
        </button>
        {task.parent_task_id ? <a href={to(`/tasks/${task.parent_task_id}`)}>Whole task</a> : null}
      </div>
      <details class="more-of-task">
        <summary>
          {count(figures.events, "event")} · {count(figures.sessions, "session")}
          {figures.children > 0 ? ` · ${count(figures.children, "part")}` : ""}
          {usage.answers > 0 ? ` · ${short(usage.input_tokens + usage.output_tokens)} tokens · ${cost(usage)}` : ""}
        </summary>
        <div class="task-parts">
          {task.workspace ? (
            <p class="dim" dir="auto">
              {task.workspace}
            </p>
          ) : null}
          {children.length === 0 ? null : <Parts children={children} whole={figures.children} parent={task.task_id} />}
          {sessions.length === 0 ? null : (
            <section>
              <h3>Sessions</h3>
              <ul class="pairs">
                {sessions.map((one) => (
                  <li key={one.session_id}>
                    <span dir="auto">{one.source}</span>
                    <span>{one.status}</span>
                    <Age time={one.started_at} />
                  </li>
                ))}
              </ul>
            </section>
          )}
          {models.length === 0 ? null : (
            <section>
              <h3>Usage by model</h3>
              {models.map(({ model, usage: of }) => (
                <div key={model ?? ""}>
                  <b dir="auto">{model ?? "unknown model"}</b>
                  <UsageFigures usage={of} />
                </div>
              ))}
            </section>
          )}
        </div>
      </details>
    </header>
  );
}

function Parts({ children, whole, parent }: { children: readonly ChildTask[]; whole: number; parent: string }) {
  return (
    <section>
      <h3>Parts</h3>
      <ol class="rows">
        {children.map((child) => (
          <li class="row" key={child.task_id}>
            <a class="row-link" href={to(`/tasks/${child.task_id}`)} data-row={child.task_id} data-title={child.title}>
              <Mark shape={shapeOf(child)} />
              <span class="row-name" dir="auto">
                {child.title}
              </span>
              <Age time={child.created_at} />
            </a>
          </li>
        ))}
      </ol>
      {whole > children.length ? (
        <a class="more" href={to("/tasks", { parent })}>
          All {number(whole)} parts
        </a>
      ) : null}
    </section>
  );
}

const count = (value: number, word: string) => `${number(value)} ${word}${value === 1 ? "" : "s"}`;
