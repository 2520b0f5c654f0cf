/**
 * The reads of the first rows. This file is a script of its own, so that the requests run while the script of the page
 * is still on its way: it imports no other file.
 *
 * A page that continues from the session storage has rows at once, so it makes no such read by itself.
 */

export interface FirstRead {
  model: "overview" | `task:${string}`;
  project: string | null;
  /** When the rows were asked for. */
  askedAt: number;
  rows: Promise<unknown>;
}

const TASK = /^\/tasks\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/?$/i;

async function rowsOf(path: string, project: string | null): Promise<unknown> {
  const scope = project === null ? "" : `?${new URLSearchParams({ project })}`;
  const response = await fetch(`/api/v1/${path}${scope}`, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

/** Reads the rows of the screen that the address names; `null` if it has no rows of a read model. */
export function readFirst(): FirstRead | null {
  const { pathname, searchParams } = new URL(location.href);
  const task_id = TASK.exec(pathname)?.[1]?.toLowerCase();
  if (pathname !== "/" && task_id === undefined) return null;
  const project = searchParams.get("project");
  const rows =
    task_id === undefined
      ? Promise.all([rowsOf("overview", project), rowsOf("tasks", project)]).then(([overview, tasks]) => ({
          overview,
          tasks,
        }))
      : rowsOf(`tasks/${task_id}`, project);
  // A failure before the page listens is no fault of the page.
  rows.catch(() => {});
  return { model: task_id === undefined ? "overview" : `task:${task_id}`, project, askedAt: Date.now(), rows };
}

function continues(): boolean {
  try {
    return sessionStorage.length > 0;
  } catch {
    // The browser forbids the storage.
    return false;
  }
}

export const firstRead = continues() ? null : readFirst();
