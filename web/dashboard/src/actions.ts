/** The writes of the page, each with a sentence for the person. */
import { signal } from "@preact/signals";
import { ask } from "./ask";
import { store } from "./live";
import type { ReadModel } from "./store";

/** The sentence at the foot of the page. A live region reads it. */
export const said = signal("");
let saidTimer = 0;

export function say(sentence: string): void {
  said.value = sentence;
  clearTimeout(saidTimer);
  saidTimer = window.setTimeout(() => {
    said.value = "";
  }, 6000);
}

/** Sends a write, and marks the read models that it changes with its cursor (rules 23 and 32 of the contract). */
export async function write<T>(
  method: string,
  path: string,
  body: unknown,
  models: readonly ReadModel[],
  sentence?: string,
): Promise<T | null> {
  try {
    const answer = await ask<T>(path, { method, body });
    if (answer.cursor) store.peek().wrote(answer.cursor, ...models);
    if (sentence !== undefined) say(sentence);
    return answer.body ?? null;
  } catch (error) {
    say((error as Error).message);
    return null;
  }
}

const taskPath = (task_id: string) => `/api/v1/tasks/${encodeURIComponent(task_id)}`;

export const rename = (task_id: string, title: string) =>
  write("PATCH", taskPath(task_id), { title }, ["overview", `task:${task_id}`], "The task has its new name.");

export const finish = (task_id: string) =>
  write("PATCH", taskPath(task_id), { status: "completed" }, ["overview", `task:${task_id}`], "The task is done.");

export const bookmark = (row: { task_id: string; event_id?: string }, note?: string) =>
  write(
    "PUT",
    "/api/v1/bookmarks",
    note === undefined ? row : { ...row, note },
    ["bookmarks"],
    "The bookmark is saved. Press 3 to see all.",
  );

export const removeBookmark = (bookmark_id: string) =>
  write(
    "DELETE",
    `/api/v1/bookmarks/${encodeURIComponent(bookmark_id)}`,
    undefined,
    ["bookmarks"],
    "The bookmark is gone.",
  );

/** The time in which a person can take a deletion back. */
const UNDO_MS = 5000;

interface Deletion {
  task_id: string;
  title: string;
  timer: number;
  /** The request went out, so the deletion cannot be taken back. */
  isSent: boolean;
}

/** The tasks whose deletion waits for its request, or for the answer to it. Their rows say so. */
export const deletions = signal<readonly Deletion[]>([]);

export const isDeleting = (task_id: string) => deletions.value.some((one) => one.task_id === task_id);

const lastToUndo = () => deletions.value.findLast(({ isSent }) => !isSent);

/** Whether the key takes back this deletion. */
export const isNextToUndo = (task_id: string) => lastToUndo()?.task_id === task_id;

/** The sentence of a row whose task is being deleted; `null` for any other row. */
export function deletingWords(task_id: string): string | null {
  const one = deletions.value.find((deletion) => deletion.task_id === task_id);
  if (one === undefined) return null;
  if (one.isSent) return "is being deleted";
  return isNextToUndo(task_id) ? "is being deleted; press u to keep it" : "is being deleted; its Undo keeps it";
}

export function deleteTask(task_id: string, title: string): void {
  if (isDeleting(task_id)) return;
  const timer = window.setTimeout(() => void send(task_id), UNDO_MS);
  deletions.value = [...deletions.value, { task_id, title, timer, isSent: false }];
}

/** Takes back the deletion of a task; without a task, the last one that waits. */
export function undo(task_id: string | undefined = lastToUndo()?.task_id): void {
  const taken = deletions.value.find((one) => one.task_id === task_id && !one.isSent);
  if (taken === undefined) {
    say("No deletion can be taken back now.");
    return;
  }
  clearTimeout(taken.timer);
  deletions.value = deletions.value.filter((one) => one !== taken);
  say("The task stays.");
}

async function send(task_id: string): Promise<void> {
  deletions.value = deletions.value.map((one) => (one.task_id === task_id ? { ...one, isSent: true } : one));
  await write(
    "DELETE",
    taskPath(task_id),
    undefined,
    ["overview", `task:${task_id}`, "bookmarks"],
    "The task is deleted.",
  );
  deletions.value = deletions.value.filter((one) => one.task_id !== task_id);
}

/** A page that is left sends the requests that still wait. Each deletion outlives the page. */
export function sendOnLeave(): void {
  window.addEventListener("pagehide", () => {
    for (const { task_id, timer, isSent } of deletions.value) {
      if (isSent) continue;
      clearTimeout(timer);
      void ask(taskPath(task_id), { method: "DELETE" }).catch(() => {});
    }
    // A page that comes back from the cache of the browser has the answers of the other requests still before it.
    deletions.value = deletions.value.filter(({ isSent }) => isSent);
  });
}

export async function copy(text: string, sentence: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(sentence);
  } catch {
    say(`The browser does not allow copying. The text is: ${text}`);
  }
}
