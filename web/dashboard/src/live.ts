/** Read models as values of components. */
import { effect, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { BodyOf } from "requery-client";
import { drawn } from "./drawn";
import { early, takeFirstRead } from "./early";
import { modelOf, project, screen } from "./route";
import { createStore, type ReadModel, type Store, type Subscribable, type View } from "./store";

/** The store of the chosen project. Another project has another stream, so the store changes with it. */
export const store = signal<Store>(createStore(project.peek(), drawn));

export function followProject(): void {
  let chosen = project.peek();
  effect(() => {
    const next = project.value;
    if (next === chosen) return;
    chosen = next;
    store.peek().close();
    store.value = createStore(next);
  });
}

/** Ends when the first screen has its rows, from the page before or from a read of their own, or when they are late. */
export async function firstRows(): Promise<void> {
  const first = screen.peek();
  if (first.name !== "now" && first.name !== "task") return;
  await takeFirstRead(store.peek().watch(modelOf(first)).getSnapshot().data !== null);
}

export function useSubscribable<T>(source: Subscribable<T>): T {
  const [held, hold] = useState<{ source: Subscribable<T>; value: T }>(() => ({ source, value: source.getSnapshot() }));
  useEffect(
    () =>
      source.subscribe((value) =>
        hold((before) => (before.source === source && before.value === value ? before : { source, value })),
      ),
    [source],
  );
  return held.source === source ? held.value : source.getSnapshot();
}

/** Whether the server reports each change now. */
export function useIsLive(): boolean {
  return useSubscribable(store.value.status).name === "live";
}

/** The view of a read model. The component is drawn again when the view is another one. */
export function useModel<M extends ReadModel>(name: M): View<BodyOf<M>> {
  const view = useSubscribable(store.value.watch(name));
  const first = early.value;
  const isEarly =
    view.data === null && view.state !== "gone" && first?.model === name && first.project === project.value;
  return isEarly ? (first.view as View<BodyOf<M>>) : view;
}

/**
 * Another number when a read model changed. Its body can be the same: a list that goes on behind its first page may have
 * changed there.
 */
export function useChanges(name: ReadModel): number {
  const watch = store.value.watch(name);
  const [count, setCount] = useState(0);
  useEffect(() => {
    let last = watch.getSnapshot();
    return watch.subscribe((view) => {
      const hasChanged = view.data !== last.data || (last.state === "stale" && view.state !== "stale");
      last = view;
      if (hasChanged) setCount((before) => before + 1);
    });
  }, [watch]);
  return count;
}

/** Milliseconds since the shown body of a read model was known to be true; `null` if there is none. */
export function ageOf(name: ReadModel): number | null {
  const age = store.value.watch(name).age();
  const first = early.value;
  return age ?? (first?.model === name ? Date.now() - first.askedAt : null);
}
