/**
 * The host of a connection: one driver for the pages that share it. It speaks with each page by messages that can be
 * cloned, so that it can live in the page itself or in a shared worker.
 */
import { type Continuation, Driver, type Holding, type Pulse } from "./driver.js";
import { Endpoint } from "./endpoint.js";
import type { EngineSettings, EngineStatus } from "./engine.js";
import type { Environment } from "./environment.js";
import type { ReadModel } from "./models.js";

/** The settings of a host. Pages with equal settings can share one. */
export interface HostSettings {
  url: string;
  project: string | null;
  token: string | null;
  engine: EngineSettings;
}

/** A message of a page. */
export type ToHost =
  | { do: "hello"; visible: boolean; online: boolean; continuation: Continuation | null }
  | { do: "watch" | "unwatch" | "refresh"; model: ReadModel }
  | { do: "wrote"; model: ReadModel; cursor: string }
  | { do: "visible"; visible: boolean }
  | { do: "online"; online: boolean }
  /** `gone`: the page ended without a word. `close`: its store was closed. */
  | { do: "pause" | "resume" | "reconnect" | "gone" | "close" };

/** The state of one read model. The body is left out if the page has that version. */
export interface Update extends Omit<Holding, "body"> {
  model: ReadModel;
  body: Holding["body"] | undefined;
}

/** The status, with the text of the last loss. */
export type ReportedStatus = EngineStatus & { text?: string | null };

/** A message for a page. */
export type ToPage =
  | { is: "updates"; updates: Update[] }
  | { is: "status"; status: ReportedStatus }
  | { is: "known"; known: boolean }
  | ({ is: "pulse" } & Pulse);

/** Pages hear of messages that change no view once in this time. */
const pulsePause = 1_000;

/** A stream of server-sent events that no person looks at for so long is given up, for the other tabs of the browser. */
const hiddenPatience = 2_000;

/** The read models of a page that has gone are followed for so long: a page that is loaded again finds them unchanged. */
const reloadPatience = 3_000;

interface Page {
  send: (message: ToPage) => void;
  /** The watched read models, with the version that the page has. */
  watched: Map<ReadModel, number>;
  visible: boolean;
  paused: boolean;
}

export class Host {
  readonly #module: WebAssembly.Module;
  readonly #settings: HostSettings;
  readonly #environment: Environment;
  readonly #pages = new Set<Page>();
  #driver: Driver | null = null;
  #status: ReportedStatus = { name: "connecting" };
  #known: boolean | null = null;
  #pulse: Pulse | null = null;
  #pulsedAt = 0;
  #visible = true;
  #enabled = true;
  /** The end of the patience with a hidden page, whether it came, and whether a stream was given up for it. */
  #hiddenTimer: unknown = null;
  #hiddenLong = false;
  #rests = false;

  constructor(module: WebAssembly.Module, settings: HostSettings, environment: Environment) {
    this.#module = module;
    this.#settings = settings;
    this.#environment = environment;
  }

  /** Adds a page. Returns the function that takes its messages. */
  connect(send: (message: ToPage) => void): (message: ToHost) => void {
    const page: Page = { send, watched: new Map(), visible: true, paused: false };
    return (message) => this.#take(page, message);
  }

  #take(page: Page, message: ToHost): void {
    if (message.do === "hello") {
      this.#pages.add(page);
      page.visible = message.visible;
      const isNew = this.#driver === null;
      const driver = this.#start(message.continuation);
      if (!isNew || !message.online) {
        driver.setOnline(message.online);
      }
      this.#look(message.visible && !isNew);
      this.#pause();
      page.send({ is: "status", status: this.#status });
      if (this.#known !== null) {
        page.send({ is: "known", known: this.#known });
      }
      return;
    }
    const driver = this.#driver;
    if (!driver || !this.#pages.has(page)) {
      return;
    }
    switch (message.do) {
      case "watch":
        page.watched.set(message.model, -1);
        this.#follow(message.model);
        // Another page may have the read model on its screen already.
        this.#send(page, [message.model]);
        break;
      case "unwatch":
        page.watched.delete(message.model);
        this.#follow(message.model);
        break;
      case "refresh":
        driver.refresh(message.model);
        break;
      case "wrote":
        driver.wrote(message.model, message.cursor);
        break;
      case "visible":
        page.visible = message.visible;
        this.#look(message.visible);
        break;
      case "online":
        driver.setOnline(message.online);
        break;
      case "pause":
      case "resume":
        page.paused = message.do === "pause";
        this.#pause();
        page.send({ is: "status", status: page.paused ? paused : this.#status });
        this.#send(page, [...page.watched.keys()]);
        break;
      case "reconnect":
        // A browser can be wrong about the network, and a person who asks knows more.
        driver.setOnline(true);
        driver.reconnect();
        break;
      case "gone":
        page.send = () => {};
        page.visible = false;
        this.#environment.setTimer(() => this.#close(page), reloadPatience);
        this.#look(false);
        break;
      case "close":
        this.#close(page);
        break;
    }
  }

  #start(continuation: Continuation | null): Driver {
    const { url, project, token, engine } = this.#settings;
    this.#driver ??= new Driver(
      this.#module,
      engine,
      this.#environment,
      new Endpoint(this.#environment, url, project, token),
      continuation,
      {
        changed: (models, pulse) => this.#changed(models, pulse),
        status: (status, text) => {
          this.#status = { ...status, text };
          for (const page of this.#pages) {
            if (!page.paused) {
              page.send({ is: "status", status: this.#status });
            }
          }
          // The patience can end during an attempt over WebSocket, and a stream of server-sent events can follow.
          this.#rest();
        },
        known: (known) => {
          if (known !== this.#known) {
            this.#known = known;
            this.#tell({ is: "known", known });
          }
        },
      },
    );
    return this.#driver;
  }

  #changed(models: ReadonlySet<ReadModel>, pulse: Pulse | null): void {
    this.#pulse = pulse ?? this.#pulse;
    for (const page of this.#pages) {
      this.#send(
        page,
        [...models].filter((model) => page.watched.has(model)),
      );
    }
    // The cursor comes last: a page that ends in between must not keep a body as true at a cursor that made it stale.
    if (models.size > 0 || (pulse && pulse.at - this.#pulsedAt >= pulsePause)) {
      this.#sendPulse();
    }
  }

  #send(page: Page, models: ReadModel[]): void {
    const { watched } = page;
    if (page.paused) {
      return;
    }
    const updates = models.flatMap((model) => {
      const holding = this.#driver?.holding(model);
      if (!holding) {
        return [];
      }
      const body = watched.get(model) === holding.version ? undefined : holding.body;
      watched.set(model, holding.version);
      return [{ ...holding, model, body }];
    });
    if (updates.length > 0) {
      page.send({ is: "updates", updates });
    }
  }

  #sendPulse(): void {
    if (this.#pulse) {
      this.#pulsedAt = this.#pulse.at;
      this.#tell({ is: "pulse", ...this.#pulse });
      this.#pulse = null;
    }
  }

  #tell(message: ToPage): void {
    for (const page of this.#pages) {
      page.send(message);
    }
  }

  /** Follows a read model while a page watches it. A page that rests counts only while every page rests. */
  #follow(model: ReadModel): void {
    const wanted = [...this.#pages].some((page) => page.watched.has(model) && !(page.paused && this.#enabled));
    if (wanted) {
      this.#driver?.watch(model);
    } else {
      this.#driver?.unwatch(model);
    }
  }

  /** Some page is visible, or none. `cameToFront`: a page became visible or got the focus. */
  #look(cameToFront: boolean): void {
    const visible = [...this.#pages].some((page) => page.visible);
    if (visible !== this.#visible || cameToFront) {
      this.#visible = visible;
      this.#environment.clearTimer(this.#hiddenTimer);
      this.#hiddenLong = false;
      if (!visible) {
        this.#hiddenTimer = this.#environment.setTimer(() => {
          this.#hiddenLong = true;
          this.#rest();
        }, hiddenPatience);
      } else if (this.#rests) {
        this.#rests = false;
        this.#driver?.setEnabled(this.#enabled);
      }
      this.#driver?.setVisible(visible);
    }
  }

  #rest(): void {
    if (this.#hiddenLong && !this.#rests && this.#driver?.usesSse && this.#enabled) {
      this.#rests = true;
      this.#driver.setEnabled(false);
    }
  }

  /** The connection rests while every page rests. */
  #pause(): void {
    const enabled = [...this.#pages].some((page) => !page.paused);
    if (enabled !== this.#enabled) {
      this.#enabled = enabled;
      this.#driver?.setEnabled(enabled && !this.#rests);
    }
    for (const model of new Set([...this.#pages].flatMap((page) => [...page.watched.keys()]))) {
      this.#follow(model);
    }
  }

  #close(page: Page): void {
    if (!this.#pages.delete(page)) {
      return;
    }
    if (this.#pages.size === 0) {
      this.#driver?.close();
      this.#driver = null;
      this.#environment.clearTimer(this.#hiddenTimer);
      this.#hiddenLong = false;
      this.#rests = false;
      this.#status = { name: "connecting" };
      this.#enabled = true;
      this.#visible = true;
      this.#known = null;
      this.#pulse = null;
      return;
    }
    for (const model of page.watched.keys()) {
      this.#follow(model);
    }
    this.#look(false);
    this.#pause();
  }
}

/** The status of a page that rests while others do not. */
const paused: ReportedStatus = { name: "disabled" };
