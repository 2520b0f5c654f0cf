/**
 * The first rows of the page, from plain reads, while the engine starts.
 *
 * They are shown as not confirmed. The store takes over with its first answer.
 */
import { signal } from "@preact/signals";
import { type FirstRead, firstRead, readFirst } from "./first_read";
import type { View } from "./store";

export interface Early extends FirstRead {
  view: View<unknown>;
}

export const early = signal<Early | null>(null);

/** For so long the page waits for the rows with its first drawing: a drawing without rows would come before them. */
const PATIENCE_MS = 100;

/**
 * Shows the rows of the first read. `hasRows`: the store has the rows of the screen. The promise ends when the rows are
 * there, or when they are late.
 */
export async function takeFirstRead(hasRows: boolean): Promise<void> {
  // The storage can have rows of other screens alone.
  const read = firstRead ?? (hasRows ? null : readFirst());
  if (read === null) return;
  const taken = read.rows.then(
    (data) => {
      early.value = { ...read, view: { data, state: "unconfirmed", error: null } };
    },
    // The store asks too, and its status has the words for the failure.
    () => {},
  );
  await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
}
