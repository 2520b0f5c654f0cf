/**
 * The store behind the screens, by the interface of the package `requery-client`.
 *
 * The package takes the place of this file; the screens use only the types and the functions that are exported here.
 * Until then every frame that reports a change makes all watched read models stale.
 */
import { ask, Failure, query } from "./ask";
import type { BookmarkPage, Overview, TaskDetail, TaskPage } from "./rows";

export interface Subscribable<T> {
  subscribe(listener: (value: T) => void): () => void;
  getSnapshot(): T;
}

export interface View<T> {
  readonly data: T | null;
  readonly state: "loading" | "fresh" | "stale" | "unconfirmed" | "gone";
  /** The time since which `data` is not known to be true, or the time at which it was last known to be. */
  readonly taken: number;
  readonly error: Error | null;
  readonly cursor: string | null;
}

export interface Status {
  readonly state: "connecting" | "live" | "catching up" | "reconnecting" | "offline" | "closed" | "disabled";
  readonly retryAt: number | null;
  readonly reason: string | null;
}

export interface OverviewScreen {
  readonly overview: Overview;
  readonly tasks: TaskPage;
}

export interface ReadModels {
  overview: OverviewScreen;
  bookmarks: BookmarkPage;
  [task: `task:${string}`]: TaskDetail;
}

export interface Store {
  watch<M extends keyof ReadModels>(model: M): Subscribable<View<ReadModels[M]>>;
  readonly status: Subscribable<Status>;
  refresh(model: keyof ReadModels): void;
  wrote(model: keyof ReadModels, cursor: string | null): void;
  reconnectNow(): void;
  close(): void;
}

class Value<T> implements Subscribable<T> {
  readonly listeners = new Set<(value: T) => void>();
  constructor(private held: T) {}
  getSnapshot = (): T => this.held;
  subscribe = (listener: (value: T) => void): (() => void) => {
    this.listeners.add(listener);
    listener(this.held);
    return () => this.listeners.delete(listener);
  };
  set(value: T): void {
    this.held = value;
    for (const listener of [...this.listeners]) listener(value);
  }
}

const PACE_MS = 250;
const CEILING_MS = 30_000;

class Watched {
  readonly view = new Value<View<unknown>>({ data: null, state: "loading", taken: Date.now(), error: null, cursor: null });
  private readonly etags = new Map<string, { etag: string | null; body: unknown }>();
  private isAsking = false;
  private isStale = false;
  private next = 0;
  constructor(
    private readonly paths: readonly string[],
    private readonly join: (bodies: unknown[]) => unknown,
  ) {}

  stale(): void {
    const held = this.view.getSnapshot();
    if (held.state === "fresh") this.view.set({ ...held, state: "stale", taken: Date.now() });
    this.isStale = true;
    if (this.view.listeners.size > 0) void this.request();
  }

  confirm(): void {
    const held = this.view.getSnapshot();
    if (held.state === "fresh") this.view.set({ ...held, taken: Date.now() });
  }

  doubt(): void {
    const held = this.view.getSnapshot();
    if (held.state === "fresh") this.view.set({ ...held, state: "unconfirmed" });
  }

  async request(): Promise<void> {
    if (this.isAsking) return;
    this.isAsking = true;
    const wait = this.next - Date.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    this.next = Date.now() + PACE_MS;
    this.isStale = false;
    const held = this.view.getSnapshot();
    try {
      let cursor: string | null = null;
      const bodies = await Promise.all(this.paths.map(async (path) => {
        const known = this.etags.get(path);
        const answer = await ask<unknown>(path, { etag: known?.etag ?? null });
        if (answer === null) return known?.body;
        cursor ??= answer.cursor;
        this.etags.set(path, { etag: answer.etag, body: answer.body });
        return answer.body;
      }));
      this.view.set({ data: this.join(bodies), state: "fresh", taken: Date.now(), error: null, cursor });
    } catch (error) {
      const isGone = error instanceof Failure && error.status === 404;
      this.view.set({ ...held, state: isGone ? "gone" : held.data === null ? "loading" : "stale", error: error as Error });
      if (!isGone) setTimeout(() => this.stale(), 4000);
    }
    this.isAsking = false;
    if (this.isStale) void this.request();
  }
}

export function createStore({ project }: { project: string | null }): Store {
  const models = new Map<string, Watched>();
  const status = new Value<Status>({ state: "connecting", retryAt: null, reason: null });
  let socket: WebSocket | null = null;
  let timer = 0;
  let failures = 0;
  let isClosed = false;

  function model(name: string): Watched {
    const known = models.get(name);
    if (known) return known;
    const scope = query({ project });
    const made = name === "overview"
      ? new Watched([`/api/v1/overview${scope}`, `/api/v1/tasks${scope}`], ([overview, tasks]) => ({ overview, tasks }))
      : name === "bookmarks"
        ? new Watched([`/api/v1/bookmarks${scope}`], ([page]) => page)
        : new Watched([`/api/v1/tasks/${encodeURIComponent(name.slice(5))}`], ([detail]) => detail);
    models.set(name, made);
    return made;
  }

  function connect(): void {
    clearTimeout(timer);
    status.set({ ...status.getSnapshot(), state: failures === 0 ? "connecting" : "reconnecting", retryAt: null });
    const url = new URL(`/ws${query({ project })}`, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const opened = new WebSocket(url);
    socket = opened;
    opened.onmessage = ({ data }) => {
      failures = 0;
      if (status.getSnapshot().state !== "live") status.set({ state: "live", retryAt: null, reason: null });
      const { type } = JSON.parse(String(data)) as { type?: string };
      if (type === "closing") opened.close();
      for (const one of models.values()) type === "heartbeat" ? one.confirm() : one.stale();
    };
    opened.onclose = () => {
      if (isClosed || socket !== opened) return;
      for (const one of models.values()) one.doubt();
      const wait = Math.random() * Math.min(CEILING_MS, 500 * 2 ** failures++);
      const state = navigator.onLine ? "reconnecting" : "offline";
      status.set({ state, retryAt: Date.now() + wait, reason: "the connection to the server ended" });
      timer = window.setTimeout(connect, wait);
    };
  }

  connect();
  window.addEventListener("online", connect);
  return {
    status,
    watch: (name) => {
      const { view } = model(name);
      return {
        getSnapshot: view.getSnapshot as never,
        subscribe: (listener) => {
          if (view.listeners.size === 0) queueMicrotask(() => void model(name).request());
          return view.subscribe(listener as never);
        },
      };
    },
    refresh: (name) => model(name).stale(),
    wrote: (name) => model(name).stale(),
    reconnectNow: () => {
      socket?.close();
      connect();
    },
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      window.removeEventListener("online", connect);
      socket?.close();
    },
  };
}
