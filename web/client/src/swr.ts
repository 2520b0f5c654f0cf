/** The adapter for SWR: keys of read models, and keys that depend on them, stay true. */
import type { ScopedMutator } from "swr";
import { dependsOn, followModel, modelOfKey, requeryKey } from "./follow.js";
import type { ReadModel } from "./models.js";
import type { Store } from "./store.js";

export { requeryKey } from "./follow.js";

/** The fetcher for keys of read models. SWR has to leave the rest to the store: use `useSWRImmutable`. */
export function requeryFetcher(store: Store): (key: readonly unknown[]) => Promise<unknown> {
  return (key) => {
    const model = modelOfKey(key);
    return model === null ? Promise.reject(new TypeError("not a key of requeryKey")) : store.load(model);
  };
}

/** Follows `model` while a screen shows it: its key gets each new body, and the keys that depend on it are fetched again. */
export function followSwr(store: Store, mutate: ScopedMutator, model: ReadModel): () => void {
  let shown: unknown = null;
  return followModel(store, model, ({ data }, hasChanged) => {
    if (data !== null && data !== shown) {
      shown = data;
      void mutate(requeryKey(model), data, { revalidate: false });
    }
    if (hasChanged) {
      void mutate((key) => dependsOn(key, model));
    }
  });
}
