/** The state of the work on a task: its calls that run now, its list, its outcome in version control, its files. */
import { Age, Span } from "../parts/age";
import type { OpenCall, TaskDetail, Todo, TouchedFile } from "../rows";
import { number, progressWords, pullRequestWords, relativePath } from "../words";

/** How many running calls are drawn. The others are counted. */
const CALLS_SHOWN = 5;

const MARKS: Record<Todo["state"], string> = { completed: "✓", in_progress: "▸", pending: "○" };
const STATES: Record<Todo["state"], string> = { completed: "done", in_progress: "in progress", pending: "not begun" };

export function TaskWork({ detail }: { detail: TaskDetail }) {
  const { task, todos, open_calls, files } = detail;
  const { progress } = task;
  return (
    <>
      <Outcome task={task} />
      {open_calls.length === 0 ? null : <OpenCalls rows={open_calls} />}
      {progress && todos.length > 0 ? (
        <details class="more-of-task">
          <summary dir="auto">{progressWords(progress)}</summary>
          <Todos rows={todos} />
        </details>
      ) : null}
      {files.length === 0 ? null : (
        <details class="more-of-task">
          <summary>
            {number(files.length)} changed {files.length === 1 ? "file" : "files"}
          </summary>
          <Files rows={files} workspace={task.workspace ?? null} />
        </details>
      )}
    </>
  );
}

function Outcome({ task }: { task: TaskDetail["task"] }) {
  const { model, branch, commit, pull_request: address } = task;
  if (!model && !branch && !commit && !address) return null;
  return (
    <p class="task-outcome dim">
      {model ? <span dir="auto">{model}</span> : null}
      {branch ? <span dir="auto">on {branch}</span> : null}
      {commit ? (
        <span>
          commit <code>{commit}</code>
        </span>
      ) : null}
      {address ? <PullRequest address={address} /> : null}
    </p>
  );
}

/** Another program can write any text as an address, and only these two kinds are safe to follow. */
function PullRequest({ address }: { address: string }) {
  if (!/^https?:\/\//.test(address)) return <span dir="auto">{address}</span>;
  return (
    <a href={address} rel="noreferrer noopener" target="_blank" dir="auto">
      {pullRequestWords(address)}
    </a>
  );
}

function OpenCalls({ rows }: { rows: readonly OpenCall[] }) {
  const left = rows.length - CALLS_SHOWN;
  return (
    <ul class="pairs open-calls" aria-label="Runs now">
      {rows.slice(0, CALLS_SHOWN).map((call) => (
        <li key={call.event_id}>
          <span class="open-call" dir="auto">
            {call.title}
          </span>
          <Span since={call.since} state="runs" />
        </li>
      ))}
      {left > 0 ? <li class="dim">and {number(left)} more</li> : null}
    </ul>
  );
}

function Todos({ rows }: { rows: readonly Todo[] }) {
  return (
    <ol class="todos" aria-label="List of the agent">
      {rows.map((todo, at) => (
        // The place is the key: an entry without an id has no other name, and the agent writes the list anew.
        <li key={todo.id ?? at} class={`is-${todo.state}`}>
          <span aria-hidden="true">{MARKS[todo.state]}</span>
          <span dir="auto">{todo.title}</span>
          <span class="unseen">{STATES[todo.state]}</span>
        </li>
      ))}
    </ol>
  );
}

function Files({ rows, workspace }: { rows: readonly TouchedFile[]; workspace: string | null }) {
  return (
    <ul class="pairs" aria-label="Changed files">
      {rows.map((file) => (
        <li key={file.path}>
          <span dir="auto">{relativePath(file.path, workspace)}</span>
          <span>{number(file.changes)} ×</span>
          <Age time={file.changed_at} saysAgo />
        </li>
      ))}
    </ul>
  );
}
