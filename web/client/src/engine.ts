/**
 * The engine: the rules of a client, compiled from Rust. It has no clock and no I/O. Only numbers cross its boundary, and
 * texts lie in its memory.
 *
 * A time is a number of milliseconds. A read model is a number below 2^31; see `models.ts`.
 */
import { type HeldState, type LossReason, lossReasons, states, type WaitsFor, waits, type Why, why } from "./words.js";

/** The exports of the module. */
interface EngineExports {
  readonly memory: WebAssembly.Memory;
  engine_scratch(): number;
  engine_new(settings: number, carried: number, seed: number): number;
  engine_free(door: number): void;
  text_reserve(door: number, bytes: number): number;
  text_pointer(door: number): number;
  text_length(door: number): number;
  results_pointer(door: number): number;
  list_clear(door: number): void;
  list_push(door: number, place: number): void;
  list_length(door: number): number;
  list_at(door: number, at: number): number;
  engine_resume_at(door: number): void;
  engine_restore(door: number, model: number, askedAt: number, now: number): void;
  engine_resume_cursor(door: number): void;
  engine_watch(door: number, model: number, now: number): void;
  engine_unwatch(door: number, model: number, now: number): void;
  engine_forget(door: number, model: number): void;
  engine_refresh(door: number, model: number, now: number): void;
  engine_wrote(door: number, model: number, now: number): number;
  engine_connected(door: number, id: number, duplex: number, now: number): void;
  engine_disconnected(door: number, id: number, loss: number, retryAfter: number, now: number): void;
  engine_signal(
    door: number,
    id: number,
    kind: number,
    more: number,
    spread: number,
    number: number,
    now: number,
  ): void;
  engine_fetched(door: number, ticket: number, outcome: number, retryAfter: number, now: number): number;
  engine_hidden(door: number): void;
  engine_visible(door: number, now: number): void;
  engine_offline(door: number): void;
  engine_online(door: number, now: number): void;
  engine_reconnect(door: number, now: number): void;
  engine_disable(door: number): void;
  engine_enable(door: number, now: number): void;
  engine_poll(door: number, now: number): number;
  engine_poll_timeout(door: number): number;
  engine_next_expiry(door: number, now: number): number;
  engine_age(door: number, model: number, now: number): number;
  engine_status(door: number): number;
  engine_held(door: number, model: number, now: number): number;
  engine_explain(door: number, model: number, now: number): number;
}

/** The waits of a client that an application may change, in milliseconds, and its bounds. */
export interface EngineSettings {
  quiet?: number;
  maxWait?: number;
  safety?: number;
  pollInterval?: number;
  backoffFirst?: number;
  backoffMost?: number;
  fetchTimeout?: number;
  rememberedFor?: number;
  patience?: number;
  firstMessageWait?: number;
  websocketRetry?: number;
  stable?: number;
  longestWait?: number;
  parallel?: number;
  remembered?: number;
  attempts?: number;
}

const times = [
  "quiet",
  "maxWait",
  "safety",
  "pollInterval",
  "backoffFirst",
  "backoffMost",
  "fetchTimeout",
  "rememberedFor",
  "patience",
  "firstMessageWait",
  "websocketRetry",
  "stable",
  "longestWait",
] as const;

/** The message kinds that the engine takes. */
export const What = {
  snapshot: 0,
  resumed: 1,
  stale: 2,
  notice: 3,
  watching: 4,
  heartbeat: 5,
  resync: 6,
  closing: 7,
  unknown: 8,
} as const;

/** A message of the stream, as the engine takes it. `places` of a snapshot are the read models that it carries. */
export interface Signal {
  what: (typeof What)[keyof typeof What];
  cursor: string | null;
  more: boolean;
  spreadMs: number | null;
  /** The heartbeat, the number of the notice's kind, or the wait before the next connection. */
  number: number;
  places: readonly number[];
}

/** Why a connection ended, as a driver reports it. */
export type Loss =
  | { kind: "ended" }
  | { kind: "not reached" }
  | { kind: "busy"; retryAfter: number | null }
  | { kind: "refused"; reason: string };

/** The next step of a driver. */
export type Action =
  | { do: "disconnect"; id: number }
  | { do: "connect"; id: number; sse: boolean; since: string | null }
  | { do: "narrow"; id: number; places: number[] }
  | { do: "fetch"; ticket: number; model: number; why: Why; atLeast: string | null }
  | { do: "cancel"; ticket: number };

/** How a fetch ended. */
export type Outcome =
  | { kind: "fresh" | "not modified" | "gone"; cursor: string }
  | { kind: "failed"; retryAfter: number | null };

/** The state of the connection to the server. Times are of the engine's clock. */
export type EngineStatus =
  | { name: "connecting" | "live" | "catching up" | "polling" | "offline" | "disabled" }
  | { name: "reconnecting"; nextTry: number | null; since: number; reason: LossReason }
  | { name: "closed"; reason: string };

/** The state of one read model. */
export interface Held {
  state: HeldState;
  cursor: string | null;
  watched: boolean;
  stale: boolean;
  inFlight: boolean;
  absent: boolean;
  failures: number;
  why: Why | null;
  askedAt: number | null;
}

/** Why a read model is in its state, and what its next fetch waits for. */
export interface Explanation {
  state: HeldState;
  why: Why | null;
  since: number | null;
  need: string | null;
  waitsFor: WaitsFor;
  until: number | null;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const some = (number: number): number | null => (number < 0 ? null : number);

/** One engine. */
export class Engine {
  readonly #exports: EngineExports;
  readonly #door: number;

  /** The read models below `carried` are those whose bodies the first message of a stream carries. */
  constructor(module: WebAssembly.Module, settings: EngineSettings, carried: number, seed: number) {
    // The functions of the module are its own; the signatures above are those of `web/engine`.
    const exports = new WebAssembly.Instance(module, {}).exports as unknown as EngineExports;
    const place = exports.engine_scratch();
    const numbers = new Float64Array(exports.memory.buffer, place, 16);
    times.forEach((name, at) => {
      numbers[at] = settings[name] ?? -1;
    });
    numbers[13] = settings.parallel ?? 0;
    numbers[14] = settings.remembered ?? -1;
    numbers[15] = settings.attempts ?? 0;
    this.#exports = exports;
    this.#door = exports.engine_new(place, carried, seed);
  }

  /** The first stream continues at this cursor. After the first poll this does nothing, and neither does `restore`. */
  resumeAt(cursor: string): void {
    this.#give(cursor);
    this.#exports.engine_resume_at(this.#door);
  }

  /** The driver holds a body of an earlier run. It was read at `cursor`, and fresh at the resume cursor of that run. */
  restore(model: number, cursor: string, askedAt: number, now: number): void {
    this.#give(cursor);
    this.#exports.engine_restore(this.#door, model, askedAt, now);
  }

  /** The cursor at which the next stream continues. */
  resumeCursor(): string | null {
    this.#exports.engine_resume_cursor(this.#door);
    return this.#text() || null;
  }

  watch(model: number, now: number): void {
    this.#exports.engine_watch(this.#door, model, now);
  }

  unwatch(model: number, now: number): void {
    this.#exports.engine_unwatch(this.#door, model, now);
  }

  /** The driver no longer holds the body of `model`. */
  forget(model: number): void {
    this.#exports.engine_forget(this.#door, model);
  }

  refresh(model: number, now: number): void {
    this.#exports.engine_refresh(this.#door, model, now);
  }

  /** False: the text is no cursor. */
  wrote(model: number, cursor: string, now: number): boolean {
    this.#give(cursor);
    return this.#exports.engine_wrote(this.#door, model, now) !== 0;
  }

  connected(id: number, duplex: boolean, now: number): void {
    this.#exports.engine_connected(this.#door, id, duplex ? 1 : 0, now);
  }

  disconnected(id: number, loss: Loss, now: number): void {
    const number = { ended: 0, "not reached": 1, busy: 2, refused: 3 }[loss.kind];
    this.#give(loss.kind === "refused" ? loss.reason : "");
    const retryAfter = loss.kind === "busy" ? (loss.retryAfter ?? -1) : -1;
    this.#exports.engine_disconnected(this.#door, id, number, retryAfter, now);
  }

  /** Returns the read models whose bodies came with the message and are to be shown. */
  signal(id: number, signal: Signal, now: number): number[] {
    const { list_clear, list_push, engine_signal } = this.#exports;
    this.#give(signal.cursor ?? "");
    list_clear(this.#door);
    for (const place of signal.places) {
      list_push(this.#door, place);
    }
    const spread = signal.spreadMs ?? -1;
    engine_signal(this.#door, id, signal.what, signal.more ? 1 : 0, spread, signal.number, now);
    return this.#list();
  }

  /** Returns whether to show the answer. */
  fetched(ticket: number, outcome: Outcome, now: number): boolean {
    const number = { fresh: 0, "not modified": 1, gone: 2, failed: 3 }[outcome.kind];
    this.#give(outcome.kind === "failed" ? "" : outcome.cursor);
    const retryAfter = outcome.kind === "failed" ? (outcome.retryAfter ?? -1) : -1;
    return this.#exports.engine_fetched(this.#door, ticket, number, retryAfter, now) !== 0;
  }

  hidden(): void {
    this.#exports.engine_hidden(this.#door);
  }

  visible(now: number): void {
    this.#exports.engine_visible(this.#door, now);
  }

  offline(): void {
    this.#exports.engine_offline(this.#door);
  }

  online(now: number): void {
    this.#exports.engine_online(this.#door, now);
  }

  reconnect(now: number): void {
    this.#exports.engine_reconnect(this.#door, now);
  }

  disable(): void {
    this.#exports.engine_disable(this.#door);
  }

  enable(now: number): void {
    this.#exports.engine_enable(this.#door, now);
  }

  /** The next action. A driver polls until there is none. */
  poll(now: number): Action | null {
    const action = this.#exports.engine_poll(this.#door, now);
    if (action === 0) {
      return null;
    }
    const [first, second, third] = this.#results();
    switch (action) {
      case 1:
        return { do: "disconnect", id: first };
      case 2:
        return { do: "connect", id: first, sse: second === 1, since: this.#text() || null };
      case 3:
        return { do: "narrow", id: first, places: this.#list() };
      case 4:
        return { do: "fetch", ticket: first, model: second, why: why(third), atLeast: this.#text() || null };
      case 5:
        return { do: "cancel", ticket: first };
      default:
        throw new Error(`the engine has an action ${action} that this driver does not know`);
    }
  }

  /** The time of the next poll, unless an input comes before. */
  pollTimeout(): number | null {
    return some(this.#exports.engine_poll_timeout(this.#door));
  }

  /** The first time after `now` at which the state of a held answer changes by itself. */
  nextExpiry(now: number): number | null {
    return some(this.#exports.engine_next_expiry(this.#door, now));
  }

  /** How long ago the held answer for `model` was last known to be true. */
  age(model: number, now: number): number | null {
    return some(this.#exports.engine_age(this.#door, model, now));
  }

  status(): EngineStatus {
    const number = this.#exports.engine_status(this.#door);
    const names = ["connecting", "live", "catching up", "", "polling", "offline", "", "disabled"] as const;
    const name = names[number];
    if (name) {
      return { name };
    }
    const [first, second, third] = this.#results();
    if (number === 3) {
      const reason = lossReasons[third] ?? "ended";
      return { name: "reconnecting", nextTry: some(first), since: second, reason };
    }
    return { name: "closed", reason: first === 0 ? this.#text() : "the limit of attempts is reached" };
  }

  /** The state of `model`. Null: it was never watched, or its last watch ended long ago. */
  held(model: number, now: number): Held | null {
    const state = states[this.#exports.engine_held(this.#door, model, now)];
    if (!state) {
      return null;
    }
    const [flags, failures, reason, askedAt] = this.#results();
    return {
      state,
      cursor: this.#text() || null,
      watched: (flags & 1) !== 0,
      stale: (flags & 2) !== 0,
      inFlight: (flags & 4) !== 0,
      absent: (flags & 8) !== 0,
      failures,
      why: reason < 0 ? null : why(reason),
      askedAt: some(askedAt),
    };
  }

  /** Why `model` is stale, and what its next fetch waits for. */
  explain(model: number, now: number): Explanation | null {
    const state = states[this.#exports.engine_explain(this.#door, model, now)];
    if (!state) {
      return null;
    }
    const [reason, since, waitsFor, until] = this.#results();
    return {
      state,
      why: reason < 0 ? null : why(reason),
      since: some(since),
      need: this.#text() || null,
      waitsFor: waits[waitsFor] ?? "a change",
      until: some(until),
    };
  }

  /** Frees the engine. No other call may follow. */
  free(): void {
    this.#exports.engine_free(this.#door);
  }

  #give(text: string): void {
    const bytes = encoder.encode(text);
    const place = this.#exports.text_reserve(this.#door, bytes.length);
    new Uint8Array(this.#exports.memory.buffer, place, bytes.length).set(bytes);
  }

  #text(): string {
    const { memory, text_pointer, text_length } = this.#exports;
    return decoder.decode(new Uint8Array(memory.buffer, text_pointer(this.#door), text_length(this.#door)));
  }

  #list(): number[] {
    const { list_length, list_at } = this.#exports;
    return Array.from({ length: list_length(this.#door) }, (_, at) => list_at(this.#door, at) >>> 0);
  }

  #results(): [number, number, number, number] {
    const place = this.#exports.results_pointer(this.#door);
    return [...new Float64Array(this.#exports.memory.buffer, place, 4)] as [number, number, number, number];
  }
}
