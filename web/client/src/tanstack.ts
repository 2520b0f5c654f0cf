/** The adapter for TanStack Query: queries of read models, and queries that depend on them, stay true. */
import type { QueryClient } from "@tanstack/query-core";
import { dependsOn, followModel, load, modelOfKey, requeryKey } from "./follow.js";
import type { ReadModel } from "./models.js";
import type { Store } from "./store.js";
import type { BodyOf } from "./view.js";

export { requeryKey } from "./follow.js";

/** The options of a query for a read model, for `useQuery` and the like. */
export function requeryOptions<M extends ReadModel>(store: Store, model: M) {
  return {
    queryKey: requeryKey(model),
    queryFn: ({ signal }: { signal: AbortSignal }): Promise<BodyOf<M> | null> => load(store, model, signal),
    // The store knows when a body is stale, and it tries again by itself.
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  };
}

/**
 * Follows each read model of which a query has observers: its query is marked stale when a change is reported and gets
 * the new body, and the queries that depend on it are fetched again. Returns the function that ends this.
 */
export function followQueries(store: Store, client: QueryClient): () => void {
  const cache = client.getQueryCache();
  const followed = new Map<ReadModel, () => void>();
  const look = (model: ReadModel) => {
    const active = cache.findAll({ queryKey: requeryKey(model), type: "active" }).length > 0;
    if (!active) {
      followed.get(model)?.();
      followed.delete(model);
    } else if (!followed.has(model)) {
      followed.set(model, () => {});
      const leave = followModel(store, model, (view, isNewBody) => {
        const query = cache.find({ queryKey: requeryKey(model), exact: true });
        if (query && view.state === "stale") {
          query.invalidate();
        } else if (query && view.data !== null && (isNewBody || query.state.isInvalidated || !query.state.data)) {
          client.setQueryData(requeryKey(model), view.data);
        }
        if (isNewBody) {
          // A fetch under way began before this change, so it begins anew.
          void client.invalidateQueries({ predicate: ({ queryKey }) => dependsOn(queryKey, model) });
        }
      });
      followed.set(model, leave);
    }
  };
  const unsubscribe = cache.subscribe(({ type, query }) => {
    const model = type === "observerAdded" || type === "observerRemoved" ? modelOfKey(query.queryKey) : null;
    if (model !== null) {
      look(model);
    }
  });
  for (const { queryKey } of cache.findAll({ queryKey: ["requery"] })) {
    look(modelOfKey(queryKey) as ReadModel);
  }
  return () => {
    unsubscribe();
    for (const leave of followed.values()) {
      leave();
    }
    followed.clear();
  };
}
