/** The view of a read model: its newest body, and how far the body can be trusted. */
import type { Holding } from "./driver.js";
import type { components } from "./generated/openapi.js";
import type { ReadModel } from "./models.js";
import { reuse } from "./reuse.js";
import type { OverviewBody } from "./signals.js";
import type { HeldState } from "./words.js";

type Schemas = components["schemas"];

/** The body of each read model. */
export type BodyOf<M extends ReadModel> = M extends "overview"
  ? OverviewBody
  : M extends "bookmarks"
    ? Schemas["BookmarkPage"]
    : M extends "agents"
      ? Schemas["Agents"]
      : Schemas["TaskDetail"];

/**
 * The view of a read model. A new object says that one of its fields changed; equal rows of `data` keep their identity.
 * The age moves all the time, so it is no field: see `Watch.age`.
 */
export interface View<T> {
  /** The newest body. Null: no answer came yet. A deleted task keeps its last body. */
  readonly data: T | null;
  /** How far the body can be trusted. */
  readonly state: HeldState;
  /** Why the last fetch failed. Null: it succeeded. */
  readonly error: string | null;
}

const empty: View<never> = Object.freeze({ data: null, state: "loading", error: null });

/** The state of one read model in a page. */
export class Mirror {
  view: View<unknown> = empty;
  /** The holding behind the view. */
  holding: Holding | null = null;
  /** Whether the stream reported every change of the body up to its last message, also if that stream was lost since. */
  isReported = false;
  /** The callbacks of the screens that show it. */
  readonly listeners = new Set<() => void>();

  /** The page hears of no change from now on, so the body is no longer known to be true. Returns whether the view changed. */
  leave(): boolean {
    this.isReported = false;
    if (this.view.state !== "fresh" || !this.holding) {
      return false;
    }
    this.holding = { ...this.holding, state: "unconfirmed" };
    this.view = Object.freeze({ ...this.view, state: "unconfirmed" });
    return true;
  }

  /** Takes the state of the host. Returns whether the view changed. */
  take(model: ReadModel, update: Omit<Holding, "body"> & { body: Holding["body"] | undefined }): boolean {
    const { view } = this;
    const held = this.holding?.body ?? null;
    const body = update.body === undefined ? held : update.body;
    const isSame = this.holding?.version === update.version && body === held;
    this.isReported = update.state === "fresh" || (update.state === "unconfirmed" && this.isReported && isSame);
    this.holding = { ...update, body };
    const data = body === held && view.data !== null ? view.data : body && reuse(view.data, asData(model, body.parts));
    if (data === view.data && update.state === view.state && update.error === view.error) {
      return false;
    }
    this.view = Object.freeze({ data, state: update.state, error: update.error });
    return true;
  }
}

function asData(model: ReadModel, parts: readonly unknown[]): unknown {
  return model === "overview" ? { overview: parts[0], tasks: parts[1] } : parts[0];
}
