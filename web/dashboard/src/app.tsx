/** The frame of all screens: the bar, the screen, the connection, and what the page says. */
import { useEffect, useState } from "preact/hooks";
import { deletions, said, undo } from "./actions";
import { newer, showNewer } from "./calm";
import { forgetHeard, hear } from "./heard";
import { type Key, step, useKeys } from "./keys";
import { useModel } from "./live";
import { Connection } from "./parts/connection";
import { go, project, screen, to } from "./route";
import { Bookmarks } from "./screens/bookmarks";
import { Help } from "./screens/help";
import { Now } from "./screens/now";
import { ProjectDialog } from "./screens/projects";
import { TaskScreen } from "./screens/task";
import { Tasks } from "./screens/tasks";
import { byWeight, projectName } from "./words";

type Open = "help" | "projects" | null;

export function App() {
  const [open, setOpen] = useState<Open>(null);
  const overview = useModel("overview");
  const needs = byWeight(overview.data?.overview.needs_you ?? []);
  const waiting = overview.data?.overview.needs_you;
  const chosen = project.value;
  useEffect(forgetHeard, [chosen]);
  useEffect(() => {
    if (waiting) hear(waiting);
  }, [waiting]);
  const toSearch = () => {
    go(to("/tasks"));
    requestAnimationFrame(() => document.getElementById("search")?.focus());
  };
  const pages: Key[] = [
    { key: "1", does: "who needs you, and the overview", group: "Everywhere", run: () => go(to("/")) },
    { key: "2", does: "all tasks", group: "Everywhere", run: () => go(to("/tasks")) },
    { key: "3", does: "bookmarks", group: "Everywhere", run: () => go(to("/bookmarks")) },
    { key: "/", does: "search", group: "Everywhere", run: toSearch },
    { key: "p", does: "choose a project", group: "Everywhere", run: () => setOpen("projects") },
    { key: "j", does: "next row", group: "Everywhere", run: () => step(1) },
    { key: "k", does: "previous row", group: "Everywhere", run: () => step(-1) },
    {
      key: "Escape",
      does: "leave the row",
      group: "Everywhere",
      run: () => (document.activeElement as HTMLElement | null)?.blur(),
    },
    { key: ".", does: "show newer rows", group: "Everywhere", run: showNewer },
    { key: "u", does: "take a deletion back", group: "Everywhere", run: undo },
    { key: "?", does: "this help", group: "Everywhere", run: () => setOpen("help") },
  ];
  useKeys(pages);
  const current = screen.value;
  const link = (target: string, name: string, word: string, key: string) => (
    <a href={to(target)} aria-current={current.name === name ? "page" : undefined} title={`Key ${key}`}>
      {word}
    </a>
  );
  return (
    <>
      <a class="skip" href="#screen">
        To the rows
      </a>
      <header class="bar">
        <a class="brand" href={to("/")}>
          requery
        </a>
        <nav aria-label="Screens">
          <a href={to("/")} aria-current={current.name === "now" ? "page" : undefined} title="Key 1">
            Now
            {needs.length > 0 ? (
              <span class="badge">
                {needs.length}
                <span class="unseen"> need you</span>
              </span>
            ) : null}
          </a>
          {link("/tasks", "tasks", "Tasks", "2")}
          {link("/bookmarks", "bookmarks", "Bookmarks", "3")}
        </nav>
        <button type="button" class="plain project" onClick={() => setOpen("projects")} title="Key p">
          <span dir="auto">{chosen === null ? "All projects" : projectName(chosen)}</span> ▾
        </button>
        <button type="button" class="plain help-key" onClick={() => setOpen("help")} aria-label="Keys and signs">
          <kbd>?</kbd>
        </button>
      </header>
      <main id="screen" tabIndex={-1} class={`is-${current.name}`}>
        {current.name === "now" ? <Now /> : null}
        {current.name === "tasks" ? <Tasks /> : null}
        {current.name === "task" ? <TaskScreen task_id={current.task_id} /> : null}
        {current.name === "bookmarks" ? <Bookmarks /> : null}
        {current.name === "absent" ? (
          <p class="empty">
            This address has no screen. <a href={to("/")}>Who needs you</a>
          </p>
        ) : null}
      </main>
      <footer class="foot">
        {newer.value > 0 ? (
          <button type="button" class="newer" onClick={showNewer}>
            {newer.value} newer, press <kbd>.</kbd>
          </button>
        ) : null}
        {deletions.value.map(({ task_id, title }) => (
          <div class="said" key={task_id}>
            <span>
              <b dir="auto">{title}</b> is being deleted.
            </span>{" "}
            <button type="button" onClick={undo}>
              Undo <kbd>u</kbd>
            </button>
          </div>
        ))}
        <div role="status" aria-live="polite">
          {said.value === "" ? null : <div class="said">{said.value}</div>}
        </div>
        <Connection />
      </footer>
      <div class="unseen" role="status" aria-live="polite">
        {needs[0] ? `${needs.length} need you. First: ${needs[0].title}` : ""}
      </div>
      {open === "help" ? <Help close={() => setOpen(null)} /> : null}
      {open === "projects" ? <ProjectDialog close={() => setOpen(null)} /> : null}
    </>
  );
}
