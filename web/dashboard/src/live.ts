/** Read models and plain reads as values of components. */
import { effect, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask } from "./ask";
import { project } from "./route";
import type { BodyOf } from "requery-client";
import { createStore, type ReadModel, type Store, type Subscribable, type View, type Watch } from "./store";

/** The store of the chosen project. Another project has another stream, so the store changes with it. */
export const store = signal<Store>(createStore(project.peek()));

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

export function useSubscribable<T>(source: Subscribable<T>): T {
  const [held, hold] = useState<{ source: Subscribable<T>; value: T }>(() => ({ source, value: source.getSnapshot() }));
  useEffect(() => source.subscribe(() => hold({ source, value: source.getSnapshot() })), [source]);
  return held.source === source ? held.value : source.getSnapshot();
}

/** The view of a read model. The component is drawn again when the view is another one. */
export function useModel<M extends ReadModel>(name: M): View<BodyOf<M>> {
  return useSubscribable(useWatch(name));
}

export function useWatch<M extends ReadModel>(name: M): Watch<BodyOf<M>> {
  return store.value.watch(name);
}

export interface Read<T> {
  data: T | null;
  error: Error | null;
  isAsking: boolean;
}

/** The least time between two requests of one plain read. */
const READ_PACE_MS = 500;

/**
 * A read that is no read model. It is requested again when `sign` changes, conditionally, one request at a time.
 * A `path` of `null` asks for no rows.
 */
export function useRead<T>(path: string | null, sign: unknown = null): Read<T> {
  const [read, show] = useState<Read<T> & { path: string | null }>({
    path,
    data: null,
    error: null,
    isAsking: path !== null,
  });
  const state = useRef({ path, etag: null as string | null, isAsking: false, isStale: false, next: 0 });
  useEffect(() => {
    const mine = state.current;
    if (mine.path !== path) state.current = { path, etag: null, isAsking: false, isStale: false, next: 0 };
    const current = state.current;
    if (path === null) return;
    const request = async () => {
      if (current.isAsking) {
        current.isStale = true;
        return;
      }
      current.isAsking = true;
      current.isStale = false;
      const wait = current.next - Date.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      current.next = Date.now() + READ_PACE_MS;
      try {
        const answer = await ask<T>(path, { etag: current.etag });
        if (state.current === current && answer !== null) {
          current.etag = answer.etag;
          show({ path, data: answer.body, error: null, isAsking: false });
        }
      } catch (error) {
        if (state.current === current)
          show((held) => ({
            path,
            data: held.path === path ? held.data : null,
            error: error as Error,
            isAsking: false,
          }));
      }
      current.isAsking = false;
      if (current.isStale && state.current === current) void request();
    };
    void request();
  }, [path, sign]);
  return read.path === path ? read : { data: null, error: null, isAsking: path !== null };
}
