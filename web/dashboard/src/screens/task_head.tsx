/** The head of a task: its state and question, its actions, its parts on demand. */
import { useRef, useState } from "preact/hooks";
import { copy, deleteTask, deletingWords, finish, rename, say } from "../actions";
import { type Key, useKeys } from "../keys";
import { Age, Asked, Span } from "../parts/age";
import { Belief } from "../parts/belief";
import { Dialog } from "../parts/dialog";
import { Mark } from "../parts/mark";
import { TextBlock } from "../parts/text_block";
import { go, to } from "../route";
import type { Task, TaskDetail } from "../rows";
import {
  isFlagged,
  projectName,
  resumeCommand,
  runsInTerminal,
  SHAPE_WORDS,
  sentenceOf,
  shapeOf,
  why,
  wordOf,
} from "../words";
import { TaskParts } from "./task_parts";
import { TaskWork } from "./task_work";

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
  const [isNaming, setNaming] = useState(false);
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
    { key: "n", word: "Rename", does: "rename the task", run: () => setNaming(true), isShown: true },
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
      <Title task={task} isMarked={isMarked} isNaming={isNaming} setNaming={setNaming} />
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
      <TaskWork detail={detail} />
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
  isNaming,
  setNaming,
}: {
  task: Task;
  isMarked: boolean;
  isNaming: boolean;
  setNaming: (value: boolean) => void;
}) {
  return (
    <div class="task-title">
      <Mark shape={shapeOf(task)} silent />
      {isNaming ? (
        <>
          <h1 class="unseen">{task.title}</h1>
          <NameField task={task} close={() => setNaming(false)} />
        </>
      ) : (
        <h1 dir="auto">
          {task.title}
          {isMarked ? " ★" : ""}
        </h1>
      )}
    </div>
  );
}

function NameField({ task, close }: { task: Task; close: () => void }) {
  const [name, setName] = useState(task.title);
  const [asked] = useState(task.title);
  const isEnded = useRef(false);
  /** The browser reports a field that goes away as left, so the first end alone counts. */
  const end = (isSaved: boolean) => {
    if (isEnded.current) return;
    isEnded.current = true;
    const title = name.trim();
    // A name that another person gave meanwhile stays, unless this person typed one.
    if (isSaved && title !== "" && title !== asked) void rename(task.task_id, title);
    close();
  };
  return (
    <input
      class="rename"
      aria-label="Name of the task"
      maxLength={500}
      value={name}
      ref={(element) => {
        if (element && document.activeElement !== element) element.focus();
      }}
      onInput={(event) => setName(event.currentTarget.value)}
      onBlur={() => end(true)}
      onKeyDown={(event) => {
        if (event.key === "Enter") end(true);
        if (event.key === "Escape") end(false);
      }}
    />
  );
}

function State({ task }: { task: Task }) {
  const shape = shapeOf(task);
  const reason = task.status_reason ?? null;
  const going = deletingWords(task.task_id);
  const isInDoubt = isFlagged(task);
  // The entry of the list that is in progress stands in the line of the list, which keeps its height.
  const isListed = !isInDoubt && task.status === "running" && task.progress?.active;
  const outcome = task.status === "waiting" ? "" : isListed ? (task.summary ?? "") : sentenceOf(task);
  return (
    <>
      <p class="task-state">
        <b class={`is-${shape}`}>{task.status === "waiting" ? wordOf(shape, reason) : SHAPE_WORDS[shape]}</b>
        {task.status === "waiting" ? (
          <span>
            {isInDoubt ? sentenceOf(task) : why(reason, task.status_certain)}
            {shape === "asks" && runsInTerminal(task.source) ? ", in its terminal" : ""}
          </span>
        ) : null}
        {task.waiting_since && shape === "asked" ? (
          <Asked time={task.waiting_since} request={reason ?? ""} />
        ) : task.waiting_since && !isInDoubt ? (
          <Span since={task.waiting_since} state="waits" />
        ) : null}
        {going === null ? null : <span>{going}</span>}
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
