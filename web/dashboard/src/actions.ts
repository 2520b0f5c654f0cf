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
    if (answer?.cursor) store.peek().wrote(answer.cursor, ...models);
    if (sentence !== undefined) say(sentence);
    return answer?.body ?? null;
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
  until: number;
}

/** The tasks whose deletion waits for its request. Their rows say so. */
export const deletions = signal<readonly Deletion[]>([]);

export const isDeleting = (task_id: string) => deletions.value.some((one) => one.task_id === task_id);

export function deleteTask(task_id: string, title: string): void {
  if (isDeleting(task_id)) return;
  const timer = window.setTimeout(() => void send(task_id), UNDO_MS);
  deletions.value = [...deletions.value, { task_id, title, timer, until: Date.now() + UNDO_MS }];
}

export function undo(): void {
  const last = deletions.value.at(-1);
  if (last === undefined) return;
  clearTimeout(last.timer);
  deletions.value = deletions.value.slice(0, -1);
  say("The task stays.");
}

async function send(task_id: string): Promise<void> {
  await write(
    "DELETE",
    taskPath(task_id),
    undefined,
    ["overview", `task:${task_id}`, "bookmarks"],
    "The task is deleted.",
  );
  deletions.value = deletions.value.filter((one) => one.task_id !== task_id);
}

/** A page that is left sends the requests that still wait; `keepalive` lets them outlive the page. */
export function sendOnLeave(): void {
  window.addEventListener("pagehide", () => {
    for (const { task_id, timer } of deletions.value) {
      clearTimeout(timer);
      void ask(taskPath(task_id), { method: "DELETE", keepalive: true }).catch(() => {});
    }
    deletions.value = [];
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
