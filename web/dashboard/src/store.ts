/** The store behind the screens: the package, with the names that the screens use. */
import { createStore as create, type ReportedStatus, type Store as ClientStore } from "requery-client";

export type { ReadModel, Store, Subscribable, View, Watch } from "requery-client";
export type Status = ReportedStatus;

/**
 * The store of a project; it connects when `after` has ended. A hidden page is followed too: its title, its notifications
 * and its sound tell of a task that starts to wait.
 */
export const createStore = (project: string | null, after?: Promise<unknown>): ClientStore =>
  create({ hidden: "follow", ...(after ? { after } : {}), ...(project === null ? {} : { project }) });
