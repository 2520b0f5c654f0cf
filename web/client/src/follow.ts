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
