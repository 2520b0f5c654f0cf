/**
 * The first rows of the page, from plain reads, while the engine starts.
 *
 * They are shown as not confirmed. The store takes over with its first answer. A page that continues from the session
 * storage has rows at once, so it makes no such read.
 */
import { signal } from "@preact/signals";
import { ask, query } from "./ask";
import type { ReadModel, View } from "./store";

export interface Early {
  model: ReadModel;
  project: string | null;
  view: View<unknown>;
  /** When the rows were asked for. */
  askedAt: number;
}

export const early = signal<Early | null>(null);

export async function readEarly(model: ReadModel, project: string | null): Promise<void> {
  const askedAt = Date.now();
  const scope = query({ project });
  try {
    const data =
      model === "overview"
        ? await Promise.all([ask(`/api/v1/overview${scope}`), ask(`/api/v1/tasks${scope}`)]).then(
            ([overview, tasks]) => ({ overview: overview?.body, tasks: tasks?.body }),
          )
        : (await ask(`/api/v1/tasks/${model.slice(5)}${scope}`))?.body;
    early.value = { model, project, view: { data, state: "unconfirmed", error: null }, askedAt };
  } catch {
    // The store asks too, and its status has the words for the failure.
  }
}
