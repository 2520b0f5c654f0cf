/** The choice of a project. The list is read when it opens, and again when the overview changes. */
import { useState } from "preact/hooks";
import { useModel } from "../live";
import { joined, useOlder } from "../older_rows";
import { useRead } from "../plain_read";
import { Age } from "../parts/age";
import { Dialog } from "../parts/dialog";
import { Failed, Waiting } from "../parts/states";
import { change, go, project, screen, to } from "../route";
import type { Project, ProjectPage } from "../rows";
import { number, projectName } from "../words";

const PATH = "/api/v1/projects?limit=200";

const idOf = (one: Project) => one.project;

export function ProjectDialog({ close }: { close: () => void }) {
  const overview = useModel("overview");
  const read = useRead<ProjectPage>(PATH, overview.data);
  const older = useOlder<Project>(PATH, read.data, read.answers, idOf);
  const [filter, setFilter] = useState("");
  const choose = (name: string | null) => {
    // A task is in one project. In another one its screen would have no row to show.
    if (screen.value.name === "task") go(to("/", { project: name }));
    else change({ project: name });
    close();
  };
  const all = joined(read.data?.items ?? [], older.items, idOf);
  const items = all.filter((one) => projectName(one.project).toLowerCase().includes(filter.toLowerCase()));
  return (
    <Dialog title="Project" close={close}>
      <input
        type="search"
        autofocus
        aria-label="Filter projects"
        placeholder="Filter"
        value={filter}
        onInput={(event) => setFilter(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && items[0]) choose(items[0].project);
        }}
      />
      {read.data === null ? read.error ? <Failed error={read.error} /> : <Waiting /> : null}
      <ul class="projects">
        <li>
          <button type="button" aria-pressed={project.value === null} onClick={() => choose(null)}>
            <b>All projects</b>
          </button>
        </li>
        {items.map((one) => (
          <li key={one.project}>
            <button type="button" aria-pressed={project.value === one.project} onClick={() => choose(one.project)}>
              <b dir="auto">{projectName(one.project)}</b>
              <span>
                {one.waiting_tasks > 0 ? `${number(one.waiting_tasks)} waiting · ` : ""}
                {one.running_tasks > 0 ? `${number(one.running_tasks)} running · ` : ""}
                {number(one.total_tasks)} in all
              </span>
              <Age time={one.changed_at} />
            </button>
          </li>
        ))}
      </ul>
      {older.hasMore ? (
        <button type="button" class="more" onClick={older.load}>
          Older projects: the filter knows only the {number(all.length)} above
        </button>
      ) : null}
      {older.isCut ? <p class="dim">There are older projects. Their tasks are found by the search.</p> : null}
    </Dialog>
  );
}
