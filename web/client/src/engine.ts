/**
 * The engine: the rules of a client, compiled from Rust. It has no clock and no I/O. Its glue takes and gives numbers,
 * texts and lists of numbers; this file makes objects of them.
 *
 * A time is a number of milliseconds. A read model is a number below 2^31; see `models.ts`.
 */
import { initSync, WebEngine } from "../wasm/requery_engine.js";
import { type HeldState, type LossReason, lossReasons, states, type Why, why } from "./words.js";

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

export const some = (number: number): number | null => (number < 0 ? null : number);

/** One engine. */
export class Engine {
  protected readonly wasm: WebEngine;

  /** The read models below `carried` are those whose bodies the first message of a stream carries. */
  constructor(module: WebAssembly.Module, settings: EngineSettings, carried: number, seed: number) {
    // All engines of a page are in one instance of the module: only the first call makes it.
    initSync({ module });
    const numbers = times.map((name) => settings[name] ?? -1);
    numbers.push(settings.parallel ?? 0, settings.remembered ?? -1, settings.attempts ?? 0);
    this.wasm = new WebEngine(Float64Array.from(numbers), carried, seed);
  }

  /** The first stream continues at this cursor. After the first poll this has no effect, and neither has `restore`. */
  resumeAt(cursor: string): void {
    this.wasm.resume_at(cursor);
  }

  /** The driver holds a body of an earlier run. It was read at `cursor`, and fresh at the resume cursor of that run. */
  restore(model: number, cursor: string, askedAt: number, now: number): void {
    this.wasm.restore(model, cursor, askedAt, now);
  }

  /** The cursor at which the next stream continues. */
  resumeCursor(): string | null {
    return this.wasm.resume_cursor() || null;
  }

  watch(model: number, now: number): void {
    this.wasm.watch(model, now);
  }

  unwatch(model: number, now: number): void {
    this.wasm.unwatch(model, now);
  }

  /** The driver no longer holds the body of `model`. */
  forget(model: number): void {
    this.wasm.forget(model);
  }

  refresh(model: number, now: number): void {
    this.wasm.refresh(model, now);
  }

  /** False: the text is no cursor. */
  wrote(model: number, cursor: string, now: number): boolean {
    return this.wasm.wrote(model, cursor, now);
  }

  /** The application left out changes of `model` up to `cursor`, which a screen needs now. False: the text is no cursor. */
  leftOut(model: number, cursor: string, now: number): boolean {
    return this.wasm.left_out(model, cursor, now);
  }

  connected(id: number, duplex: boolean, now: number): void {
    this.wasm.connected(id, duplex, now);
  }

  disconnected(id: number, loss: Loss, now: number): void {
    const number = { ended: 0, "not reached": 1, busy: 2, refused: 3 }[loss.kind];
    const retryAfter = loss.kind === "busy" ? (loss.retryAfter ?? -1) : -1;
    this.wasm.disconnected(id, number, retryAfter, loss.kind === "refused" ? loss.reason : "", now);
  }

  /** Returns the read models whose bodies came with the message and are to be shown. */
  signal(id: number, signal: Signal, now: number): number[] {
    const { what, cursor, more, spreadMs, number } = signal;
    const places = Uint32Array.from(signal.places);
    return [...this.wasm.signal(id, what, cursor ?? "", more, spreadMs ?? -1, number, places, now)];
  }

  /** Returns whether to show the answer. */
  fetched(ticket: number, outcome: Outcome, now: number): boolean {
    const number = { fresh: 0, "not modified": 1, gone: 2, failed: 3 }[outcome.kind];
    const cursor = outcome.kind === "failed" ? "" : outcome.cursor;
    const retryAfter = outcome.kind === "failed" ? (outcome.retryAfter ?? -1) : -1;
    return this.wasm.fetched(ticket, number, cursor, retryAfter, now);
  }

  hidden(): void {
    this.wasm.hidden();
  }

  visible(now: number): void {
    this.wasm.visible(now);
  }

  offline(): void {
    this.wasm.offline();
  }

  online(now: number): void {
    this.wasm.online(now);
  }

  reconnect(now: number): void {
    this.wasm.reconnect(now);
  }

  disable(): void {
    this.wasm.disable();
  }

  enable(now: number): void {
    this.wasm.enable(now);
  }

  /** The next action. A driver polls until there is none. */
  poll(now: number): Action | null {
    const action = this.wasm.poll(now);
    if (action === 0) {
      return null;
    }
    const [first, second, third] = this.numbers();
    switch (action) {
      case 1:
        return { do: "disconnect", id: first };
      case 2:
        return { do: "connect", id: first, sse: second === 1, since: this.wasm.take_text() || null };
      case 3:
        return { do: "narrow", id: first, places: [...this.wasm.take_list()] };
      case 4:
        return {
          do: "fetch",
          ticket: first,
          model: second,
          why: why(third),
          atLeast: this.wasm.take_text() || null,
        };
      case 5:
        return { do: "cancel", ticket: first };
      default:
        throw new Error(`the engine has an action ${action} that this driver does not know`);
    }
  }

  /** The time of the next poll, unless an input comes before. */
  pollTimeout(): number | null {
    return some(this.wasm.poll_timeout());
  }

  /** The first time after `now` at which the state of a held answer changes by itself. */
  nextExpiry(now: number): number | null {
    return some(this.wasm.next_expiry(now));
  }

  /** How long ago the held answer for `model` was last known to be true. */
  age(model: number, now: number): number | null {
    return some(this.wasm.age(model, now));
  }

  status(): EngineStatus {
    const number = this.wasm.status();
    const names = ["connecting", "live", "catching up", "", "polling", "offline", "", "disabled"] as const;
    const name = names[number];
    if (name) {
      return { name };
    }
    const [first, second, third] = this.numbers();
    if (number === 3) {
      const reason = lossReasons[third] ?? "ended";
      return { name: "reconnecting", nextTry: some(first), since: second, reason };
    }
    return { name: "closed", reason: first === 0 ? this.wasm.take_text() : "the limit of attempts is reached" };
  }

  /** The state of `model`. Null: it was never watched, or its last watch ended long ago. */
  held(model: number, now: number): Held | null {
    const state = states[this.wasm.held(model, now)];
    if (!state) {
      return null;
    }
    const [flags, failures, reason, askedAt] = this.numbers();
    return {
      state,
      cursor: this.wasm.take_text() || null,
      watched: (flags & 1) !== 0,
      stale: (flags & 2) !== 0,
      inFlight: (flags & 4) !== 0,
      absent: (flags & 8) !== 0,
      failures,
      why: reason < 0 ? null : why(reason),
      askedAt: some(askedAt),
    };
  }

  /** Frees the engine. No other call may follow. */
  free(): void {
    this.wasm.free();
  }

  protected numbers(): [number, number, number, number] {
    const engine = this.wasm;
    return [engine.number(0), engine.number(1), engine.number(2), engine.number(3)];
  }
}
