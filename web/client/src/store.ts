/** The store of a page: views of read models that stay true. */
import { type KeptStorage, keep, keptOf, storageKey, takeKept } from "./continuation.js";
import { covers } from "./cursors.js";
import type { Continuation } from "./driver.js";
import { Endpoint } from "./endpoint.js";
import type { EngineSettings } from "./engine.js";
import { type Environment, machine } from "./environment.js";
import type { HostSettings, ReportedStatus, ToHost, ToPage } from "./host.js";
import { type Link, openLink } from "./links.js";
import { type ReadModel, readModel } from "./models.js";
import { browserPage, isLoopback, type PageState } from "./page.js";
import { rememberedSize, size } from "./remembered.js";
import { notify, type Subscribable, Value } from "./value.js";
import { type BodyOf, Mirror, type View } from "./view.js";

/** A read model as a screen sees it. It is fetched and followed while it has a subscriber. */
export interface Watch<T> extends Subscribable<View<T>> {
  readonly model: ReadModel;
  /** Milliseconds since the body was last known to be true. Null: no answer came yet. */
  age(): number | null;
  /** The cursor of the body. */
  cursor(): string | null;
}

/** How the store connects. */
export interface StoreOptions {
  /** The address of the server; the page's own if left out. */
  url?: string | URL;
  /** A token for a proxy before the server. A stream with a token uses server-sent events. */
  token?: string;
  /** Only this project. */
  project?: string;
  /** The function for requests. A store with its own does not share its connection. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** `"share"`: the tabs of a browser share a connection where they can. `"alone"`: this page has its own. */
  tabs?: "share" | "alone";
  /** The storage from which a page that is loaded again continues; null for none. */
  storage?: KeptStorage | null;
  /** `"collect"`: a hidden page fetches when a person looks at it again. `"follow"`: as if it were visible. */
  hidden?: "collect" | "follow";
  /** The store connects when this promise settles, so the page can draw its first frame first; at once if left out. */
  after?: Promise<unknown>;
  /** Waits that differ from the waits of the contract. */
  settings?: EngineSettings;
  /** The boundary to the machine, for tests. */
  environment?: Environment;
  /** The page, for tests. */
  page?: PageState;
  /** The compiled engine, where it cannot be loaded from beside the package. */
  engine?: WebAssembly.Module | Promise<WebAssembly.Module>;
}

/** The result of a write. */
export interface Written {
  body: unknown;
  /** The cursor that contains the write. */
  cursor: string | null;
}

/** How many read models are remembered after their last subscriber left, as in the engine. */
const remembered = 64;

/** Views of read models that stay true. */
export class Store {
  /** The state of the connection. */
  readonly status: Subscribable<ReportedStatus>;
  /** Whether the project has a task. Null: not known yet. */
  readonly known: Subscribable<boolean | null>;
  readonly #status = new Value<ReportedStatus>(Object.freeze({ name: "connecting" }));
  readonly #known = new Value<boolean | null>(null);
  readonly #environment: Environment;
  readonly #endpoint: Endpoint;
  readonly #storage: KeptStorage | null;
  readonly #storageKey: string;
  readonly #mirrors = new Map<ReadModel, Mirror>();
  readonly #watches = new Map<ReadModel, Watch<unknown>>();
  /** The read models without a subscriber, the last one that was left at the end. */
  readonly #left = new Set<ReadModel>();
  readonly #page: PageState;
  readonly #followsHidden: boolean;
  readonly #link: Link;
  readonly #unlisten: () => void;
  readonly #isLocal: boolean;
  /** The answers of an earlier page or host, until the stream of the next one begins. */
  #continuation: Continuation | null;
  #paused = false;
  #pulse: { cursor: string | null; at: number } | null = null;
  /** The floor of the reads that this page makes by itself. */
  #written: string | null = null;
  #closed = false;

  constructor(options: StoreOptions) {
    const page = options.page ?? browserPage();
    const environment = options.environment ?? machine();
    const fetch = options.fetch;
    this.#environment = fetch ? { ...environment, fetch } : environment;
    const settings: HostSettings = {
      url: serverAddress(options.url ?? globalThis.location?.origin ?? ""),
      project: options.project ?? null,
      token: options.token ?? null,
      engine: options.settings ?? {},
    };
    this.#endpoint = new Endpoint(this.#environment, settings.url, settings.project, settings.token);
    this.#storage = options.storage === undefined ? sessionStorageIfAny() : options.storage;
    this.#storageKey = storageKey(settings.url, settings.project, settings.token);
    this.#page = page;
    this.#followsHidden = options.hidden === "follow";
    this.#isLocal = isLoopback(settings.url);
    this.status = this.#status;
    this.known = this.#known;

    this.#continuation = this.#storage ? takeKept(this.#storage, this.#storageKey) : null;
    for (const { model, ...kept } of this.#continuation?.kept ?? []) {
      const rest = { version: 0, error: null, why: null, failures: 0, trueAt: kept.askedAt };
      this.#mirror(model).take(model, { ...kept, ...rest, state: "unconfirmed" });
    }
    const shares = !fetch && !options.environment && !options.engine && options.tabs !== "alone";
    const { engine, after } = options;
    this.#link = openLink(shares, settings, this.#environment, engine, after, {
      receive: (message) => this.#take(message),
      greet: () => this.#greet(),
      lost: () => this.#lose(),
    });
    this.#unlisten = page.listen({
      visible: (visible) => this.#send({ do: "visible", visible: visible || this.#followsHidden }),
      online: (online) => this.#send({ do: "online", online: online || this.#isLocal }),
      left: () => this.#keep(),
    });
  }

  /** The read model with this name: `overview`, `bookmarks`, `agents` or `task:<id>`. The same name gives the same object. */
  watch<M extends ReadModel>(name: M): Watch<BodyOf<M>> {
    const model = readModel(name);
    if (model === null) {
      throw new TypeError(
        `no read model has the name ${JSON.stringify(name)}: overview, bookmarks, agents or task:<id>`,
      );
    }
    let watch = this.#watches.get(model);
    if (!watch) {
      // The bound of the mirrors without a subscriber is that of the watches, too.
      this.#mirror(model);
      watch = this.#newWatch(model);
      this.#watches.set(model, watch);
    }
    // The body of a read model has the type that the contract gives it.
    return watch as Watch<BodyOf<M>>;
  }

  /** The body of a read model, once it can be trusted. Fails with the error of the view where there is no body. */
  load<M extends ReadModel>(model: M, signal?: AbortSignal): Promise<BodyOf<M> | null> {
    return new Promise((resolve, reject) => {
      let leave = () => {};
      const end = (act: () => void) => {
        // The subscription begins with a call, before it can be ended.
        queueMicrotask(() => leave());
        act();
      };
      signal?.addEventListener("abort", () => end(() => reject(signal.reason)), { once: true });
      leave = this.watch(model).subscribe(({ state, data, error }) => {
        if (state === "fresh" || state === "gone" || state === "unconfirmed") {
          end(() => resolve(data));
        } else if (error !== null && data === null) {
          end(() => reject(new Error(error)));
        }
      });
    });
  }

  /** Requests a read model anew, because a person asks for it. */
  refresh(model: ReadModel): void {
    this.#send({ do: "refresh", model });
  }

  /** The application wrote, and these read models show the write. `cursor` is `Requery-Cursor` of the write. */
  wrote(cursor: string, ...models: ReadModel[]): void {
    // Answers can overtake each other.
    if (this.#written === null || !covers(this.#written, cursor)) {
      this.#written = cursor;
    }
    for (const model of models) {
      this.#send({ do: "wrote", model, cursor });
    }
  }

  /** Writes over REST, and asks anew for the read models that show the write. Fails with a `RequestError`. */
  async write(method: string, path: string, body?: unknown, ...models: ReadModel[]): Promise<Written> {
    const { headers, json } = await this.#endpoint.request(method, path, body, null);
    const cursor = headers.get("requery-cursor");
    if (cursor !== null) {
      this.wrote(cursor, ...models);
    }
    return { body: json, cursor };
  }

  /**
   * Reads a resource over REST that is no read model. The answer contains this page's own writes. With `after` the request begins
   * when the body of that read model is there, so a change that the answer lacks is a change of the view. Fails with a
   * `RequestError`.
   */
  async read<T>(path: string, after?: ReadModel, signal?: AbortSignal): Promise<T> {
    if (after !== undefined) {
      await this.load(after, signal);
    }
    const { json } = await this.#endpoint.request("GET", path, undefined, this.#written);
    return json as T;
  }

  /** Replaces the stream by a new one at once. */
  reconnectNow(): void {
    this.#send({ do: "reconnect" });
  }

  /** Ends the connection for this page, and fetches no more, until `resume`. */
  pause(): void {
    this.#paused = true;
    this.#send({ do: "pause" });
    this.#doubt();
  }

  resume(): void {
    this.#paused = false;
    this.#send({ do: "resume" });
  }

  /** Whether a screen follows a read model or the state of the connection. */
  get isFollowed(): boolean {
    return this.#left.size < this.#mirrors.size || this.#status.isFollowed || this.#known.isFollowed;
  }

  /** The time by the clock of the views. */
  now(): number {
    return this.#environment.now();
  }

  /** Ends the store. Its views stay as they are. */
  close(): void {
    if (!this.#closed) {
      this.#keep();
      this.#send({ do: "close" });
      this.#closed = true;
      this.#unlisten();
      this.#link.close();
    }
  }

  #newWatch(model: ReadModel): Watch<unknown> {
    const mirror = () => this.#mirrors.get(model);
    return {
      model,
      getSnapshot: () => this.#mirror(model).view,
      subscribe: (changed) => {
        const shown = this.#mirror(model);
        const { listeners } = shown;
        const listener = () => changed(shown.view);
        if (listeners.size === 0) {
          this.#left.delete(model);
          this.#send({ do: "watch", model });
        }
        listeners.add(listener);
        listener();
        return () => {
          if (listeners.delete(listener) && listeners.size === 0) {
            this.#send({ do: "unwatch", model });
            shown.leave();
            this.#leave(model);
          }
        };
      },
      age: () => {
        const holding = mirror()?.holding;
        if (!holding || holding.trueAt === null) {
          return null;
        }
        // A message of the stream says that each fresh body is still true.
        const followed = holding.state === "fresh" ? (this.#pulse?.at ?? 0) : 0;
        return Math.max(0, this.now() - Math.max(holding.trueAt, followed));
      },
      cursor: () => mirror()?.holding?.cursor ?? null,
    };
  }

  #mirror(model: ReadModel): Mirror {
    let mirror = this.#mirrors.get(model);
    if (!mirror) {
      mirror = new Mirror();
      this.#mirrors.set(model, mirror);
      this.#leave(model);
    }
    return mirror;
  }

  /** Remembers a read model without a subscriber, and forgets the one that was left first. */
  #leave(model: ReadModel): void {
    this.#left.add(model);
    const sizes = [...this.#left].map((left) => size(this.#mirrors.get(left)?.holding?.body));
    let sum = sizes.reduce((sum, size) => sum + size, 0);
    for (const [at, first] of [...this.#left].entries()) {
      if (this.#left.size <= remembered && sum <= rememberedSize) {
        break;
      }
      sum -= sizes[at] ?? 0;
      this.#left.delete(first);
      this.#mirrors.delete(first);
      this.#watches.delete(first);
    }
  }

  /** The state of this page, for a host that does not know it. */
  #greet(): ToHost[] {
    const visible = this.#page.visible() || this.#followsHidden;
    const online = this.#page.online() || this.#isLocal;
    const continuation = this.#kept();
    const watched = [...this.#mirrors].filter(([, { listeners }]) => listeners.size > 0).map(([model]) => model);
    const messages: ToHost[] = [{ do: "hello", visible, online, continuation }];
    messages.push(...watched.map((model) => ({ do: "watch", model }) as const));
    return this.#paused ? [...messages, { do: "pause" }] : messages;
  }

  #send(message: ToHost): void {
    if (!this.#closed) {
      this.#link.send(message);
    }
  }

  #take(message: ToPage): void {
    if (this.#closed) {
      return;
    }
    switch (message.is) {
      case "updates": {
        // Every view is new before the first screen looks at one.
        const changed = message.updates.filter((update) => {
          const mirror = this.#mirror(update.model);
          // The host sent an update before it learned that this page rests or shows the read model no more.
          const isFollowed = mirror.listeners.size > 0 && !this.#paused;
          const state = update.state === "fresh" && !isFollowed ? "unconfirmed" : update.state;
          return mirror.take(update.model, { ...update, state });
        });
        for (const { model } of changed) {
          notify(this.#mirror(model).listeners, undefined);
        }
        break;
      }
      case "status":
        this.#status.set(Object.freeze(message.status));
        break;
      case "known":
        this.#known.set(message.known);
        break;
      case "pulse":
        this.#pulse = message;
        if (message.cursor !== null) {
          this.#continuation = null;
        }
        break;
    }
  }

  /** The host has ended: no message says any more that a body is true. */
  #lose(): void {
    this.#continuation = this.#kept();
    this.#pulse = null;
    this.#status.set(Object.freeze({ name: "connecting" }));
    this.#doubt();
  }

  /** No view is known to be true from now on. */
  #doubt(): void {
    // Every view is new before the first screen looks at one.
    for (const mirror of [...this.#mirrors.values()].filter((mirror) => mirror.leave())) {
      notify(mirror.listeners, undefined);
    }
  }

  /** The answers that a later page or host can continue from. */
  #kept(): Continuation | null {
    const cursor = this.#pulse?.cursor ?? null;
    // Before the stream begins, the cursor of the stream before it is the newest one that is proved.
    return cursor === null ? this.#continuation : keptOf(cursor, this.#mirrors);
  }

  #keep(): void {
    if (this.#storage && !this.#closed) {
      keep(this.#storage, this.#storageKey, this.#kept());
    }
  }
}

function sessionStorageIfAny(): KeptStorage | null {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    // The browser forbids it.
    return null;
  }
}

/** The address of a server, with a slash at its end. */
function serverAddress(given: string | URL): string {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(
      `${JSON.stringify(String(given))} is not the address of a server: give a url such as http://127.0.0.1:7373`,
    );
  }
  url.search = "";
  url.hash = "";
  return url.href.endsWith("/") ? url.href : `${url.href}/`;
}

/** A store for the server at `url`. */
export function createStore(options: StoreOptions = {}): Store {
  return new Store(options);
}
