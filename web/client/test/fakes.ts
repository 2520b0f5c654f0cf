/** The machine of a test: a clock that moves by command, sockets and requests that the test answers. */
import { readFileSync } from "node:fs";
// A store without a worker imports the host when it needs it. Here it is there already, so no promise waits for a file.
import "../src/host.js";
import "../src/load.js";
import type { Environment, Socket } from "../src/environment.js";
import type { PageEvents, PageState } from "../src/page.js";

export const engine = new WebAssembly.Module(readFileSync(new URL("../../wasm/requery_engine.wasm", import.meta.url)));

/** Lets every promise that is ready run. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export class FakeSocket implements Socket {
  onopen: ((event: unknown) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: string[] = [];
  closed = false;

  constructor(readonly url: string) {}

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed = true;
  }

  open(): void {
    this.onopen?.({});
  }

  frame(type: string, payload: unknown, cursor: string, more: object = {}): void {
    this.onmessage?.({ data: JSON.stringify({ type, payload, cursor, ...more }) });
  }

  resumed(cursor: string, ...stale: string[]): void {
    this.frame("resumed", { server_time: "", heartbeat_ms: 25_000, version: "1.0", known: true, stale }, cursor);
  }

  watching(cursor: string, ...read_models: string[]): void {
    this.frame("watching", { read_models }, cursor);
  }

  logged(task_id: string, cursor: string): void {
    this.frame("event.logged", { event_id: task_id, task_id, project: "p", kinds: null, lanes: null }, cursor);
  }

  end(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

export interface FakeRequest {
  path: string;
  headers: Record<string, string>;
  method: string;
  aborted: boolean;
  respond(response: Response): void;
  fail(): void;
  answer(cursor: string, body: unknown, etag?: string): void;
  unchanged(cursor: string): void;
}

/** Answers that the server would give. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  const text = status === 304 || status === 204 ? null : JSON.stringify(body);
  return new Response(text, { status, headers: { "content-type": "application/json", ...headers } });
}

export class FakeMachine implements Environment {
  time = 1_800_000_000_000;
  readonly sockets: FakeSocket[] = [];
  readonly requests: FakeRequest[] = [];
  readonly WebSocket: Environment["WebSocket"];
  #timers = new Map<number, { at: number; run: () => void }>();
  #ids = 0;

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    };
  }

  readonly now = () => this.time;
  readonly random = () => 0.5;
  readonly takeSlot = () => Promise.resolve(() => {});

  readonly setTimer = (run: () => void, ms: number): number => {
    this.#ids += 1;
    this.#timers.set(this.#ids, { at: this.time + ms, run });
    return this.#ids;
  };

  readonly clearTimer = (timer: unknown): void => {
    this.#timers.delete(timer as number);
  };

  readonly fetch = (url: string, init: RequestInit): Promise<Response> =>
    new Promise((resolve, reject) => {
      const { pathname, search } = new URL(url);
      const request: FakeRequest = {
        path: pathname + search,
        headers: init.headers as Record<string, string>,
        method: init.method ?? "GET",
        aborted: false,
        respond: resolve,
        fail: () => reject(new TypeError("fetch failed")),
        answer: (cursor, body, etag) =>
          resolve(json(200, body, { "requery-cursor": cursor, ...(etag ? { etag } : {}) })),
        unchanged: (cursor) => resolve(json(304, null, { "requery-cursor": cursor })),
      };
      init.signal?.addEventListener("abort", () => {
        request.aborted = true;
        reject(new DOMException("aborted", "AbortError"));
      });
      this.requests.push(request);
    });

  /** Takes the requests that came since the last call. */
  taken(): FakeRequest[] {
    return this.requests.splice(0);
  }

  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (!last) {
      throw new Error("there is no socket");
    }
    return last;
  }

  /** The machine sleeps: its timers stand still. */
  sleep(ms: number): void {
    this.time += ms;
    for (const timer of this.#timers.values()) {
      timer.at += ms;
    }
  }

  /** Lets so much time pass, with every timer at its time. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) {
        break;
      }
      this.#timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].run();
      await settle();
    }
    this.time = end;
    await settle();
  }
}

/** A page that the test hides, shows and leaves. */
export class FakePage implements PageState {
  events: PageEvents | null = null;
  isOnline = true;

  visible(): boolean {
    return true;
  }

  online(): boolean {
    return this.isOnline;
  }

  listen(events: PageEvents): () => void {
    this.events = events;
    return () => {
      this.events = null;
    };
  }
}

export class FakeStorage {
  readonly items = new Map<string, string>();

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }

  removeItem(key: string): void {
    this.items.delete(key);
  }
}
