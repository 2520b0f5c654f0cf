/** The state of the work on a task: its calls that run now, its list, its outcome in version control, its files. */
import { Age, Span } from "../parts/age";
import type { OpenCall, TaskDetail, Todo, TouchedFile } from "../rows";
import { number, progressWords, pullRequestWords, relativePath } from "../words";

const MARKS: Record<Todo["state"], string> = { completed: "✓", in_progress: "▸", pending: "○" };
const STATES: Record<Todo["state"], string> = { completed: "done", in_progress: "in progress", pending: "not begun" };

export function TaskWork({ detail }: { detail: TaskDetail }) {
  const { task, todos, open_calls, files } = detail;
  const { progress } = task;
  return (
    <>
      <Outcome task={task} />
      {task.status === "running" || open_calls.length > 0 ? <OpenCalls rows={open_calls} /> : null}
      {progress && todos.length > 0 ? (
        <details class="more-of-task">
          <summary>
            <span class="one-line">
              <span class="cut" dir="auto">
                {progressWords(progress)}
              </span>
            </span>
          </summary>
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

/**
 * The calls that run now: one line, which opens. Calls begin and end many times a minute, so the height of the line and
 * of the opened list is the same for any number of calls, and the timeline below stays in its place.
 */
function OpenCalls({ rows }: { rows: readonly OpenCall[] }) {
  const [oldest] = rows;
  return (
    <details class="more-of-task open-calls">
      <summary>
        <span class="one-line">
          {oldest === undefined ? (
            "No call runs now"
          ) : (
            <>
              <span class="cut" dir="auto">
                {oldest.title}
              </span>
              <Span since={oldest.since} state="runs" />
              {rows.length > 1 ? <span>and {number(rows.length - 1)} more</span> : null}
            </>
          )}
        </span>
      </summary>
      <ul class="pairs" aria-label="Running now">
        {rows.map((call) => (
          <li key={call.event_id}>
            <span dir="auto">{call.title}</span>
            <Span since={call.since} state="runs" />
          </li>
        ))}
      </ul>
    </details>
  );
}

function Todos({ rows }: { rows: readonly Todo[] }) {
  return (
    <ol class="todos" aria-label="The agent's list">
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
