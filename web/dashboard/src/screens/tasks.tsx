/** All tasks: filters, search, and the actions on a row. */
import { useEffect, useRef, useState } from "preact/hooks";
import "../styles/lists.css";
import { query } from "../ask";
import { useCalm } from "../calm";
import { useKeys } from "../keys";
import { useModel } from "../live";
import { joined, useOlder } from "../older_rows";
import { useRead } from "../plain_read";
import { Belief } from "../parts/belief";
import { Mark } from "../parts/mark";
import { Empty, Failed, Waiting } from "../parts/states";
import { useRowKeys } from "../parts/row_keys";
import { TaskRow } from "../parts/task_row";
import { change, parameter, project, to } from "../route";
import type { Task, TaskPage } from "../rows";
import { focusIfWanted } from "../search_focus";
import { installCommand, type Shape } from "../words";
import { Hits } from "./hits";
import { PurgeDialog } from "./purge";

const STATUSES: readonly [string | null, string, Shape | null][] = [
  [null, "All", null],
  ["waiting", "Waiting", "turn"],
  ["running", "Running", "running"],
  ["errored", "Failed", "errored"],
  ["completed", "Done", "completed"],
];

/** The pause in typing after which a search is sent. */
const TYPING_MS = 200;
const PAGE_ROWS = 100;

export function Tasks() {
  const q = parameter("q") ?? "";
  // A search looks at every status, so a status that a person chooses ends the search.
  const isSearch = q.trim() !== "";
  const [typed, setTyped] = useState(q);
  const [isPurging, setPurging] = useState(false);
  const timer = useRef(0);
  useRowKeys();
  const endSearch = () => {
    clearTimeout(timer.current);
    timer.current = 0;
    setTyped("");
  };
  const nextStatus = () => {
    const at = STATUSES.findIndex(([status]) => status === parameter("status"));
    endSearch();
    change({ status: STATUSES[(at + 1) % STATUSES.length]?.[0] ?? null, q: null });
  };
  useKeys([
    { key: "s", does: "the next status", group: "Tasks", run: nextStatus },
    { key: "P", does: "remove finished tasks, with a preview", group: "Tasks", run: () => setPurging(true) },
  ]);
  // The address can change without the field, as by "back". Letters that are being typed win.
  useEffect(() => {
    if (timer.current === 0) setTyped(q);
  }, [q]);
  const type = (text: string) => {
    setTyped(text);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => {
      timer.current = 0;
      change({ q: text === "" ? null : text });
    }, TYPING_MS);
  };
  return (
    <div class="tasks">
      <div class="tools">
        <h1 class="unseen">Tasks</h1>
        <nav class="filters" aria-label="Status">
          {STATUSES.map(([status, word, shape]) => (
            <a
              key={word}
              href={to("/tasks", { status })}
              onClick={endSearch}
              aria-current={!isSearch && parameter("status") === status ? "true" : undefined}
            >
              {shape ? <Mark shape={shape} silent /> : null}
              {word}
            </a>
          ))}
        </nav>
        <input
          ref={focusIfWanted}
          id="search"
          type="search"
          placeholder="Search  /"
          aria-label="Search tasks, events and bookmarks"
          value={typed}
          onInput={(event) => type(event.currentTarget.value)}
        />
        <button type="button" class="plain" onClick={() => setPurging(true)}>
          Purge… <kbd>P</kbd>
        </button>
      </div>
      {isSearch ? <Hits q={q} /> : <TaskList />}
      {isPurging ? <PurgeDialog close={() => setPurging(false)} /> : null}
    </div>
  );
}

const idOf = ({ task_id }: Task) => task_id;

function TaskList() {
  const overview = useModel("overview");
  const status = parameter("status");
  const parent = parameter("parent");
  const scope = query({ project: project.value, status, parent, limit: PAGE_ROWS });
  const read = useRead<TaskPage>(`/api/v1/tasks${scope}`, overview.data);
  // A change behind the first page brings an equal first page, so each answer is a sign.
  const older = useOlder<Task>(`/api/v1/tasks${scope}`, read.data, read.answers, idOf);
  // The overview has the first tasks of all, which are shown until the answer is there.
  const known = parent === null ? (overview.data?.tasks.items ?? null) : null;
  const held = known?.filter((task) => status === null || task.status === status) ?? null;
  const first = read.data?.items ?? held ?? [];
  const all = joined(first, older.items, idOf);
  const rows = useCalm(all, idOf, scope);
  useKeys(older.hasMore ? [{ key: "o", does: "older tasks", group: "Tasks", run: older.load }] : []);
  if (read.data === null && first.length === 0) return read.error ? <Failed error={read.error} /> : <Waiting />;
  if (all.length === 0 && rows.length === 0) {
    return status === null && parent === null ? (
      <Empty command={installCommand()} waits="Waiting for the first event">
        There is no task yet. This command lets Claude Code report its work here.
      </Empty>
    ) : (
      <Empty waits="Waiting for the first one">No task has this status now.</Empty>
    );
  }
  return (
    <>
      <div class="above-rows">
        <Belief model="overview" read={{ ...read, behindSince: read.behindSince ?? older.behindSince }} />
      </div>
      <ol class="rows" aria-label="Tasks, the last changed first">
        {rows.map(({ id, row, isLeft }) => (
          <TaskRow key={id} task={row} isLeft={isLeft} showsProject={project.value === null} />
        ))}
      </ol>
      {read.error ? <Failed error={read.error} /> : null}
      {older.hasMore ? (
        <button type="button" class="more" onClick={older.load}>
          Older tasks <kbd>o</kbd>
        </button>
      ) : null}
      {older.isCut ? <p class="dim">There are older tasks. A status or the search finds them.</p> : null}
    </>
  );
}
