/** Hooks for React. */
import { createContext, useContext, useSyncExternalStore } from "react";
import type { ReportedStatus } from "./host.js";
import type { ReadModel } from "./models.js";
import { createStore, type Store, type StoreOptions } from "./store.js";
import type { BodyOf, View } from "./view.js";

/** The stores of an application: one for all projects, and one for each project that it shows. */
export type Stores = (project?: string) => Store;

/** Each store has a connection, so a store that no component uses is closed when so many others are there. */
const mostUnused = 4;

/** A component asks for its store first and follows it later, when the library has drawn the component. */
const patience = 10_000;

/** Makes the stores of an application, each when it is first used. */
export function createStores(options: Omit<StoreOptions, "project"> = {}): Stores {
  // The store that was asked for last is at the end.
  const stores = new Map<string | undefined, { store: Store; askedAt: number }>();
  return (project) => {
    const store = stores.get(project)?.store ?? createStore(project === undefined ? options : { ...options, project });
    const now = store.now();
    const isNew = !stores.delete(project);
    if (isNew) {
      const unused = [...stores].filter(([, { store, askedAt }]) => !store.isFollowed && askedAt + patience < now);
      for (const [name, old] of unused.slice(0, -mostUnused)) {
        stores.delete(name);
        old.store.close();
      }
    }
    stores.set(project, { store, askedAt: now });
    return store;
  };
}

const StoresContext = createContext<Stores | null>(null);

/** Gives the stores to the hooks: `<StoresProvider value={createStores()}>`. */
export const StoresProvider = StoresContext.Provider;

/** The store of a project, or of all projects. */
export function useStore(project?: string): Store {
  const stores = useContext(StoresContext);
  if (!stores) {
    throw new Error("there is no StoresProvider around this component");
  }
  return stores(project);
}

/** The view of a read model. The component is drawn again when the view changes. */
export function useReadModel<M extends ReadModel>(model: M, project?: string): View<BodyOf<M>> {
  const watch = useStore(project).watch(model);
  return useSyncExternalStore(watch.subscribe, watch.getSnapshot, watch.getSnapshot);
}

/** The overview of a project, or of all projects. */
export function useOverview(project?: string): View<BodyOf<"overview">> {
  return useReadModel("overview", project);
}

/** The state of the connection. */
export function useStatus(project?: string): ReportedStatus {
  const { status } = useStore(project);
  return useSyncExternalStore(status.subscribe, status.getSnapshot, status.getSnapshot);
}
