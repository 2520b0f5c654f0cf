/** The store behind the screens: the package, with the names that the screens use. */
import { createStore as create, type ReportedStatus, type Store as ClientStore } from "requery-client";

export type { ReadModel, Store, Subscribable, View, Watch } from "requery-client";
export type Status = ReportedStatus;

export const createStore = (project: string | null): ClientStore => create(project === null ? {} : { project });
