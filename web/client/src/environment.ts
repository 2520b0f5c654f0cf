/** The boundary to the machine: the clock, timers and the network. A test gives its own. */
import { type Locks, takeSlot } from "./slots.js";

/** The part of `WebSocket` that the package uses. */
export interface Socket {
  onopen: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** The needs of the package of the machine. */
export interface Environment {
  /** Milliseconds since 1970, which never go back while the page lives. */
  now(): number;
  setTimer(run: () => void, ms: number): unknown;
  clearTimer(timer: unknown): void;
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Null: there is no WebSocket. */
  WebSocket: (new (url: string) => Socket) | null;
  /** Below 1. */
  random(): number;
  /** Takes one of the few streams of server-sent events that the pages of a browser may hold. Null: none is free. */
  takeSlot(host: string): Promise<(() => void) | null>;
}

/** The environment of a page or a worker. */
export function machine(): Environment {
  const { performance, fetch, WebSocket } = globalThis;
  return {
    now: clock(() => performance.timeOrigin + performance.now(), Date.now),
    setTimer: (run, ms) => setTimeout(run, ms),
    clearTimer: (timer) => clearTimeout(timer as number),
    fetch: (url, init) => fetch(url, init),
    // The handlers of a WebSocket take an event of one class, and the package uses its named fields alone.
    WebSocket: (WebSocket as unknown as Environment["WebSocket"]) ?? null,
    random: Math.random,
    takeSlot: (host) => {
      // The first look at `navigator.locks` costs a slow page milliseconds before its first rows, so it comes late.
      // Node has neither pages nor a limit of six connections.
      const locks = typeof location === "undefined" ? undefined : (globalThis.navigator?.locks as Locks | undefined);
      return locks ? takeSlot(locks, host) : Promise.resolve(() => {});
    },
  };
}

/** The clocks of a machine differ by less than this without a sleep: their drift is corrected all the time. */
const sleep = 2_000;

/**
 * A clock that never goes back and counts the time during which the machine sleeps. `steady` stands still during a sleep
 * in some browsers, and `wall` is set by people. A wall clock that is set ahead counts as a sleep, which costs a request.
 */
export function clock(steady: () => number, wall: () => number): () => number {
  let slept = 0;
  return () => {
    const now = steady() + slept;
    const ahead = wall() - now;
    if (ahead > sleep) {
      slept += ahead;
      return now + ahead;
    }
    return now;
  };
}
