/** The frame of all screens: the bar, the screen, the connection, and the sentences of the page. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { deletions, isNextToUndo, said, say, undo } from "./actions";
import { newer, showNewer } from "./calm";
import { drawn } from "./drawn";
import { wantSearch } from "./search_focus";
import {
  endOffer,
  forgetHeard,
  hear,
  isOffered,
  offer,
  readChoices,
  showBadge,
  toggleNotify,
  toggleSound,
} from "./heard";
import { type Key, readLetterKeys, step, useKeys } from "./keys";
import { useModel } from "./live";
import { Connection } from "./parts/connection";
import { go, project, screen, to } from "./route";
import { Now } from "./screens/now";
import { Bookmarks, Help, ProjectDialog, Tasks, TaskScreen } from "./screens/screens";
import { nameOfTask } from "./title";
import { projectName } from "./words";

/** The dialog over the screens. */
const dialog = signal<"help" | "projects" | null>(null);
const show = (name: "help" | "projects" | null) => {
  dialog.value = name;
};
const close = () => show(null);

const toSearch = () => {
  const field = document.getElementById("search");
  if (field === null) wantSearch();
  go(to("/tasks"));
  field?.focus();
};

const KEYS: readonly Key[] = [
  { key: "1", does: "who needs you, and the overview", run: () => go(to("/")) },
  { key: "2", does: "all tasks", run: () => go(to("/tasks")) },
  { key: "3", does: "bookmarks", run: () => go(to("/bookmarks")) },
  { key: "/", does: "search", run: toSearch },
  { key: "p", does: "choose a project", run: () => show("projects") },
  { key: "j", does: "next row", run: () => step(1) },
  { key: "k", does: "previous row", run: () => step(-1) },
  { key: "Escape", does: "leave the row", run: () => (document.activeElement as HTMLElement | null)?.blur() },
  { key: ".", does: "show newer rows", run: showNewer },
  { key: "u", does: "take a deletion back", run: () => undo() },
  { key: "N", does: "notifications on or off", run: () => void toggleNotify().then(say) },
  { key: "S", does: "sound on or off", run: () => say(toggleSound()) },
  { key: "?", does: "this help", run: () => show("help") },
].map((one) => ({ ...one, group: "Everywhere" }));

const TITLES = { now: null, tasks: "Tasks", bookmarks: "Bookmarks", absent: "No screen" };

export function App() {
  const overview = useModel("overview");
  const waiting = overview.data?.overview.needs_you;
  const needs = waiting ?? [];
  const chosen = project.value;
  const current = screen.value;
  const title = current.name === "task" ? nameOfTask.value : TITLES[current.name];
  useEffect(() => {
    void drawn.then(() => {
      readChoices();
      readLetterKeys();
    });
  }, []);
  useEffect(forgetHeard, [chosen]);
  useEffect(() => {
    // Rows that are not confirmed begin no episode.
    if (waiting && overview.state === "fresh") hear(waiting);
  }, [waiting, overview.state]);
  const waits = needs.length > 0;
  useEffect(() => {
    if (waits) void drawn.then(offer);
  }, [waits]);
  useEffect(() => showBadge(needs.length, title), [needs.length, title]);
  useKeys(KEYS);
  return (
    <>
      <Bar needs={needs.length} />
      <main id="screen" tabIndex={-1} class={`is-${current.name}`}>
        {current.name === "now" ? <Now /> : null}
        {current.name === "tasks" ? <Tasks /> : null}
        {current.name === "task" ? <TaskScreen key={current.task_id} task_id={current.task_id} /> : null}
        {current.name === "bookmarks" ? <Bookmarks /> : null}
        {current.name === "absent" ? (
          <div class="empty">
            <h1>No screen</h1>
            <p>
              This address has no screen. <a href={to("/")}>Who needs you</a>
            </p>
          </div>
        ) : null}
      </main>
      <Foot />
      <div class="unseen" role="status" aria-live="polite">
        {needs[0] ? `${needs.length} ${needs.length === 1 ? "needs" : "need"} you. First: ${needs[0].title}` : ""}
      </div>
      {dialog.value === "help" ? <Help close={close} /> : null}
      {dialog.value === "projects" ? <ProjectDialog close={close} /> : null}
    </>
  );
}

/** A longer number would move the links. */
const MOST_IN_BADGE = 99;

function Bar({ needs }: { needs: number }) {
  const { name } = screen.value;
  const chosen = project.value;
  const isHere = (one: string) => (name === one ? "page" : undefined);
  return (
    <header class="bar">
      <a class="skip" href="#screen">
        To the rows
      </a>
      <a class="brand" href={to("/")}>
        requery
      </a>
      <nav aria-label="Screens">
        <a href={to("/")} aria-current={isHere("now")} title="Key 1">
          Now
          {/* The place is kept without a number too: the links beside it must not move. */}
          <span class="badge-place">
            {needs > 0 ? (
              <span class="badge">
                {needs > MOST_IN_BADGE ? `${MOST_IN_BADGE}+` : needs}
                <span class="unseen"> {needs === 1 ? "needs" : "need"} you</span>
              </span>
            ) : null}
          </span>
        </a>
        <a href={to("/tasks")} aria-current={isHere("tasks")} title="Key 2">
          Tasks
        </a>
        <a href={to("/bookmarks")} aria-current={isHere("bookmarks")} title="Key 3">
          Bookmarks
        </a>
      </nav>
      <button type="button" class="plain project" onClick={() => show("projects")} title="Key p">
        <span dir="auto">{chosen === null ? "All projects" : projectName(chosen)}</span> ▾
      </button>
      <button
        type="button"
        class="plain help-key"
        onClick={() => show("help")}
        aria-label="Keys and signs"
        title="Key ?"
      >
        ?
      </button>
    </header>
  );
}

function Foot() {
  return (
    <footer class="foot">
      {newer.value > 0 ? (
        <button type="button" class="newer" onClick={showNewer}>
          {newer.value} newer, press <kbd>.</kbd>
        </button>
      ) : null}
      {deletions.value.map(({ task_id, title, isSent }) => (
        <div class="said" key={task_id}>
          <span>
            <b dir="auto">{title}</b> is being deleted.
          </span>{" "}
          {isSent ? null : (
            <button type="button" onClick={() => undo(task_id)}>
              Undo {isNextToUndo(task_id) ? <kbd>u</kbd> : null}
            </button>
          )}
        </div>
      ))}
      {isOffered.value ? (
        <div class="said">
          <span>Tell you when a task starts to wait?</span>{" "}
          <button type="button" onClick={() => void toggleNotify().then(say)}>
            Yes <kbd>N</kbd>
          </button>{" "}
          <button type="button" onClick={endOffer}>
            No
          </button>
        </div>
      ) : null}
      <div role="status" aria-live="polite">
        {said.value === "" ? null : <div class="said">{said.value}</div>}
      </div>
      <Connection />
    </footer>
  );
}
