/** The purge of finished tasks, with a preview: no task goes before a person has seen which. */
import { useState } from "preact/hooks";
import { say, write } from "../actions";
import { Age } from "../parts/age";
import { Dialog } from "../parts/dialog";
import { Mark } from "../parts/mark";
import { project } from "../route";
import type { Purged } from "../rows";
import { number, projectName, shapeOf } from "../words";

const DAY_MS = 86_400_000;
const AGES: readonly [string, number][] = [
  ["any time", 0],
  ["over a day ago", 1],
  ["over a week ago", 7],
  ["over a month ago", 30],
];

export function PurgeDialog({ close }: { close: () => void }) {
  const [status, setStatus] = useState("");
  const [days, setDays] = useState(7);
  const [preview, setPreview] = useState<{ body: Record<string, unknown>; purged: Purged } | null>(null);
  const show = async () => {
    const body = {
      ...(status === "" ? {} : { status }),
      // A task that ends after the preview has not been seen, so each purge has a latest end.
      older_than: new Date(Date.now() - days * DAY_MS).toISOString(),
      ...(project.value === null ? {} : { project: project.value }),
    };
    // A server of an earlier version has no such path. It would delete the tasks if the body of a purge asked for a dry run.
    const purged = await write<Purged>("POST", "/api/v1/tasks/purge/dry_run", body, []);
    if (purged !== null) setPreview({ body, purged });
  };
  const purge = async () => {
    if (preview === null) return;
    const purged = await write<Purged>("POST", "/api/v1/tasks/purge", preview.body, ["overview", "bookmarks"]);
    if (purged === null) return;
    say(purged.count === 1 ? "1 task is removed." : `${number(purged.count)} tasks are removed.`);
    close();
  };
  return (
    <Dialog title="Remove finished tasks" close={close}>
      <p class="choices">
        <label>
          Status{" "}
          <select
            value={status}
            onChange={(event) => {
              setStatus(event.currentTarget.value);
              setPreview(null);
            }}
          >
            <option value="">done or failed</option>
            <option value="completed">done</option>
            <option value="errored">failed</option>
          </select>
        </label>
        <label>
          Ended{" "}
          <select
            value={String(days)}
            onChange={(event) => {
              setDays(Number(event.currentTarget.value));
              setPreview(null);
            }}
          >
            {AGES.map(([word, count]) => (
              <option key={word} value={String(count)}>
                {word}
              </option>
            ))}
          </select>
        </label>
        <span>in {project.value === null ? "all projects" : projectName(project.value)}</span>
      </p>
      {preview === null ? (
        <button type="button" onClick={() => void show()}>
          Show which tasks
        </button>
      ) : (
        <>
          <p role="status">
            <b>{number(preview.purged.count)}</b> {preview.purged.count === 1 ? "task goes" : "tasks go"}, with all
            events. This cannot be undone.
          </p>
          <ol class="rows preview">
            {(preview.purged.tasks ?? []).map((task) => (
              <li class="row" key={task.task_id}>
                <span class="row-link">
                  <Mark shape={shapeOf(task)} />
                  <span class="row-name" dir="auto">
                    {task.title}
                  </span>
                  <Age time={task.ended_at ?? task.changed_at} />
                </span>
              </li>
            ))}
          </ol>
          <button type="button" class="danger" disabled={preview.purged.count === 0} onClick={() => void purge()}>
            Remove {number(preview.purged.count)}
          </button>
        </>
      )}
    </Dialog>
  );
}
