/** The shared part of the adapters for query libraries. */
import type { ReadModel } from "./models.js";
import type { Store } from "./store.js";
import type { BodyOf, View } from "./view.js";

/**
 * The key of a read model: `["requery", model]`. A key that has more after it names a query of the application that
 * depends on the read model, such as a page of its timeline.
 */
export function requeryKey<M extends ReadModel>(model: M, ...rest: unknown[]): ["requery", M, ...unknown[]] {
  return ["requery", model, ...rest];
}

/** The read model of a key. Null: the key is of another kind. */
export function modelOfKey(key: unknown): ReadModel | null {
  return Array.isArray(key) && key[0] === "requery" && typeof key[1] === "string" ? (key[1] as ReadModel) : null;
}

/** Whether a key is of a query that depends on `model` and is not the read model itself. */
export function dependsOn(key: unknown, model: ReadModel): boolean {
  return modelOfKey(key) === model && (key as unknown[]).length > 2;
}

/** The body of a read model, once it can be trusted. Fails with the error of the store where there is no body. */
export function load<M extends ReadModel>(store: Store, model: M, signal?: AbortSignal): Promise<BodyOf<M> | null> {
  return new Promise((resolve, reject) => {
    let leave = () => {};
    let ended = false;
    const end = (act: () => void) => {
      if (!ended) {
        ended = true;
        // The subscription begins with a call, before it can be ended.
        queueMicrotask(() => leave());
        act();
      }
    };
    signal?.addEventListener("abort", () => end(() => reject(signal.reason)));
    leave = store.watch(model).subscribe((view) => {
      if (view.state === "fresh" || view.state === "gone" || view.state === "unconfirmed") {
        end(() => resolve(view.data));
      } else if (view.error !== null && view.data === null) {
        end(() => reject(new Error(view.error as string)));
      }
    });
  });
}

/**
 * Reads over REST what depends on `model`, such as its timeline. The read begins when the body of `model` is there, so the
 * store reports every change that the answer lacks.
 */
export async function requeryRead<T>(store: Store, model: ReadModel, path: string, signal?: AbortSignal): Promise<T> {
  await load(store, model, signal);
  return store.read<T>(path);
}

/**
 * Calls `changed` for each view of `model`, with whether the read model has changed: its body is another one, or it was
 * stale and is no longer. An equal body proves no equal timeline.
 */
export function followModel<M extends ReadModel>(
  store: Store,
  model: M,
  changed: (view: View<BodyOf<M>>, hasChanged: boolean) => void,
): () => void {
  let last: View<BodyOf<M>> | null = null;
  return store.watch(model).subscribe((view) => {
    const { data, state } = last ?? {};
    last = view;
    changed(view, !!data && (view.data !== data || (state === "stale" && view.state !== "stale")));
  });
}
