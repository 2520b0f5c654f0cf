/** The boundary to the machine: the clock, timers and the network. A test gives its own. */

/** The part of `WebSocket` that the package uses. */
export interface Socket {
  onopen: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** What the package needs of the machine. */
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
}

/** The environment of a page or a worker. */
export function machine(): Environment {
  const { performance, fetch, WebSocket } = globalThis;
  return {
    now: () => performance.timeOrigin + performance.now(),
    setTimer: (run, ms) => setTimeout(run, ms),
    clearTimer: (timer) => clearTimeout(timer as number),
    fetch: (url, init) => fetch(url, init),
    // The handlers of a WebSocket take an event of one class, and the package uses its named fields alone.
    WebSocket: (WebSocket as unknown as Environment["WebSocket"]) ?? null,
    random: Math.random,
  };
}
