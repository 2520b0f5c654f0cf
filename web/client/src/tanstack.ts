/** The adapter for TanStack Query: queries of read models, and queries that depend on them, stay true. */
import type { Query, QueryClient } from "@tanstack/query-core";
import { followModel, modelOfKey, requeryKey } from "./follow.js";
import type { ReadModel } from "./models.js";
import type { Store } from "./store.js";
import type { BodyOf } from "./view.js";

export { requeryKey } from "./follow.js";

/** The options of a query for a read model, for `useQuery` and the like. */
export function requeryOptions<M extends ReadModel>(store: Store, model: M) {
  return {
    queryKey: requeryKey(model),
    queryFn: ({ signal }: { signal: AbortSignal }): Promise<BodyOf<M> | null> => store.load(model, signal),
    // The store knows when a body is stale, tries again by itself, and keeps the identity of equal rows.
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    structuralSharing: false,
  };
}

/**
 * Follows each read model of which a query has observers: its query is marked stale when a change is reported and gets
 * the new body, and the queries that depend on it are fetched again. Returns the function that ends this.
 */
export function followQueries(store: Store, client: QueryClient): () => void {
  const cache = client.getQueryCache();
  const followed = new Map<ReadModel, () => void>();
  const dependent = (model: ReadModel) =>
    cache.findAll({ queryKey: requeryKey(model) }).filter(({ queryKey }) => queryKey.length > 2);
  const again = (query: Query) => {
    const { state, promise, queryKey } = query;
    const mark = () => client.invalidateQueries({ queryKey, exact: true });
    // The library begins a fetch anew, but not the first one: the answer under way may lack the change.
    const first = state.fetchStatus !== "idle" && state.data === undefined;
    void (first ? promise?.then(mark, mark) : mark());
  };
  const follow = (model: ReadModel) => {
    // No change of these was reported while no screen showed them.
    let doubtful = dependent(model).filter(({ state }) => state.data !== undefined);
    return followModel(store, model, ({ data, state }, hasChanged) => {
      const query = cache.find({ queryKey: requeryKey(model), exact: true });
      const isStale = state === "stale";
      if (query && data !== null && (query.state.data !== data || (query.state.isInvalidated && !isStale))) {
        client.setQueryData(requeryKey(model), data);
      }
      if (isStale) {
        query?.invalidate();
      }
      if (hasChanged || state === "fresh" || state === "gone") {
        (hasChanged ? dependent(model) : doubtful).forEach(again);
        doubtful = [];
      }
    });
  };
  const look = (model: ReadModel) => {
    const active = cache.findAll({ queryKey: requeryKey(model), type: "active" }).length > 0;
    if (active && !followed.has(model)) {
      followed.set(model, () => {});
      followed.set(model, follow(model));
    } else if (!active && followed.has(model)) {
      followed.get(model)?.();
      followed.delete(model);
    }
  };
  const unsubscribe = cache.subscribe(({ type, query }) => {
    const model = type === "observerAdded" || type === "observerRemoved" ? modelOfKey(query.queryKey) : null;
    if (model !== null) {
      // A screen that replaces another one shows the same read model a moment later.
      queueMicrotask(() => ended || look(model));
    }
  });
  let ended = false;
  for (const { queryKey } of cache.findAll({ queryKey: ["requery"] })) {
    look(modelOfKey(queryKey) as ReadModel);
  }
  return () => {
    ended = true;
    unsubscribe();
    for (const leave of followed.values()) {
      leave();
    }
  };
}
