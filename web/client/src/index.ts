/** Keeps every open screen true: watches read models of a requery server and requests them again when they change. */
export { areChanges, knowsChanges, mergeAnswer } from "./changes.js";
export { RequestError } from "./failures.js";
export { covers } from "./cursors.js";
export type { EngineSettings, EngineStatus } from "./engine.js";
export type { components, operations, paths } from "./generated/openapi.js";
export type { ReportedStatus } from "./host.js";
export type { ReadModel } from "./models.js";
export { readModel } from "./models.js";
export type { OverviewBody } from "./signals.js";
export { createStore, Store, type StoreOptions, type Watch, type Written } from "./store.js";
export type { Subscribable } from "./value.js";
export type { BodyOf, View } from "./view.js";
export type { HeldState, LossReason } from "./words.js";
