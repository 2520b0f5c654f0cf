/** Hooks for React. */
import { createContext, useContext, useSyncExternalStore } from "react";
import { machine } from "./environment.js";
import type { ReportedStatus } from "./host.js";
import type { ReadModel } from "./models.js";
import { createStore, type Store, type StoreOptions } from "./store.js";
import type { BodyOf, View } from "./view.js";

/** The stores of an application: one for all projects, and one for each project that it shows. */
export type Stores = (project?: string) => Store;

/** Each store has a connection, so a store that no component uses is closed when so many others are there. */
const mostUnused = 4;

/** A component follows its store some time after the component was drawn first: a part of the page can still load. */
const patience = 30_000;

/** Makes the stores of an application, each when it is first used. */
export function createStores(options: Omit<StoreOptions, "project"> = {}): Stores {
  const environment = options.environment ?? machine();
  /** The store that was used last is at the end. */
  const stores = new Map<string | undefined, { store: Store; usedAt: number }>();
  let isDue = false;
  const closeLater = () => {
    if (!isDue) {
      isDue = true;
      environment.setTimer(closeUnused, patience);
    }
  };
  const closeUnused = () => {
    isDue = false;
    const unused = [...stores].filter(([, { store }]) => !store.isFollowed).slice(0, -mostUnused);
    for (const [project, { store, usedAt }] of unused) {
      if (usedAt + patience <= environment.now()) {
        stores.delete(project);
        store.close();
      } else {
        closeLater();
      }
    }
  };
  return (project) => {
    const store = stores.get(project)?.store ?? createStore(project === undefined ? options : { ...options, project });
    stores.delete(project);
    stores.set(project, { store, usedAt: environment.now() });
    if (stores.size > mostUnused) {
      closeLater();
    }
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
