/** The head of a task: its state and question, its actions, its parts on demand. */
import { useRef, useState } from "preact/hooks";
import { copy, deleteTask, finish, isDeleting, rename, say } from "../actions";
import { type Key, useKeys } from "../keys";
import { Age } from "../parts/age";
import { Belief } from "../parts/belief";
import { Dialog } from "../parts/dialog";
import { Mark } from "../parts/mark";
import { TextBlock } from "../parts/text_block";
import { go, to } from "../route";
import type { Task, TaskDetail } from "../rows";
import { projectName, resumeCommand, SHAPE_WORDS, sentenceOf, shapeOf, why } from "../words";
import { TaskParts } from "./task_parts";

interface Action {
  key: string;
  word: string;
  does: string;
  run: () => void;
  /** The action is possible now, so it has a button. */
  isShown: boolean;
}

export function Head({ detail, isMarked }: { detail: TaskDetail; isMarked: boolean }) {
  const { task, sessions } = detail;
  const [name, setName] = useState<string | null>(null);
  const [isRaw, setRaw] = useState(false);
  const parts = useRef<HTMLDetailsElement>(null);
  const isOpen = task.status === "running" || task.status === "waiting";
  const resume = sessions
    .map(({ source, runtime_session_id }) =>
      runtime_session_id ? resumeCommand(source, runtime_session_id, task.workspace ?? null) : null,
    )
    .find((one) => one !== null);
  const actions: Action[] = [
    {
      key: "f",
      word: "Finish",
      does: "finish the task",
      run: () => (isOpen ? void finish(task.task_id) : say("The task has ended already.")),
      isShown: isOpen,
    },
    {
      key: "c",
      word: "Copy resume",
      does: "copy the command that resumes the session",
      run: () =>
        resume
          ? void copy(resume, "The command that resumes this session is copied.")
          : say("No session of this task can be resumed by a command."),
      isShown: resume !== undefined,
    },
    { key: "n", word: "Rename", does: "rename the task", run: () => setName(task.title), isShown: true },
    {
      key: "x",
      word: "Delete",
      does: "delete the task; u takes it back",
      run: () => deleteTask(task.task_id, task.title),
      isShown: true,
    },
    {
      key: "w",
      word: "Whole task",
      does: "go to the task of which this one is a part",
      run: () =>
        task.parent_task_id ? go(to(`/tasks/${task.parent_task_id}`)) : say("The task is no part of another one."),
      // This action is a link.
      isShown: false,
    },
  ];
  const more: Key[] = [
    {
      key: "m",
      does: "show parts, sessions and usage",
      group: "Task",
      run: () => parts.current?.querySelector("summary")?.click(),
    },
    { key: "r", does: "show the raw JSON of the task", group: "Task", run: () => setRaw(true) },
  ];
  useKeys([...actions.map(({ key, does, run }) => ({ key, does, run, group: "Task" })), ...more]);
  return (
    <header class={`task-head is-${shapeOf(task)}`}>
      <Title task={task} isMarked={isMarked} name={name} setName={setName} />
      <State task={task} />
      <div class="actions">
        {actions
          .filter(({ isShown }) => isShown)
          .map(({ key, word, run }) => (
            <button type="button" key={key} onClick={run}>
              {word} <kbd>{key}</kbd>
            </button>
          ))}
        {task.parent_task_id ? (
          <a href={to(`/tasks/${task.parent_task_id}`)}>
            Whole task <kbd>w</kbd>
          </a>
        ) : null}
      </div>
      <TaskParts detail={detail} element={parts} />
      {isRaw ? (
        <Dialog title="The task as JSON" close={() => setRaw(false)}>
          <TextBlock text={JSON.stringify({ ...detail, timeline: undefined }, null, 2)} />
        </Dialog>
      ) : null}
    </header>
  );
}

function Title({
  task,
  isMarked,
  name,
  setName,
}: {
  task: Task;
  isMarked: boolean;
  name: string | null;
  setName: (name: string | null) => void;
}) {
  const save = () => {
    const title = name?.trim() ?? "";
    if (title !== "" && title !== task.title) void rename(task.task_id, title);
    setName(null);
  };
  return (
    <div class="task-title">
      <Mark shape={shapeOf(task)} silent />
      {name === null ? (
        <h1 dir="auto">
          {task.title}
          {isMarked ? " ★" : ""}
        </h1>
      ) : (
        <>
          <h1 class="unseen">{task.title}</h1>
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
        </>
      )}
    </div>
  );
}

function State({ task }: { task: Task }) {
  const shape = shapeOf(task);
  const outcome = task.status === "waiting" ? "" : sentenceOf(task);
  return (
    <>
      <p class="task-state">
        <b class={`is-${shape}`}>{SHAPE_WORDS[shape]}</b>
        {task.status === "waiting" ? <span>{why(task.status_reason ?? null)}</span> : null}
        {task.waiting_since ? <Age time={task.waiting_since} label="waits" /> : null}
        {isDeleting(task.task_id) ? <span>is being deleted; press u to keep it</span> : null}
        <span class="dim" dir="auto">
          {task.source} · {projectName(task.project)}
        </span>
        <Age time={task.created_at} label="began" />
        <Belief model={`task:${task.task_id}`} />
      </p>
      {task.status === "waiting" && task.status_detail ? (
        <q class="need-detail" dir="auto">
          {task.status_detail}
        </q>
      ) : null}
      {outcome === "" ? null : (
        <p class="outcome" dir="auto">
          {outcome}
        </p>
      )}
    </>
  );
}
