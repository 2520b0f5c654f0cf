/** The driver: performs the engine's actions, and passes the messages and answers of the network to the engine. */
import { epoch } from "./cursors.js";
import { type Body, type Endpoint, type FetchAnswer, noBody } from "./endpoint.js";
import { type Action, Engine, type EngineSettings, type EngineStatus, type Signal, What } from "./engine.js";
import type { Environment } from "./environment.js";
import { otherVersion } from "./failures.js";
import { carried, ModelNumbers, overviewNumber, type ReadModel, unusedNumber } from "./models.js";
import { rememberedSize, size } from "./remembered.js";
import { type Message, readMessage } from "./signals.js";
import { openStream, type Stream } from "./streams.js";
import type { HeldState, Why } from "./words.js";

/** The longest wait of a timer. A timer stands still while the machine sleeps, and this is the wait after the sleep. */
const longestTimer = 10_000;

/** The major version of the contract that the package speaks. */
const contract = 1;

/** The body and the state of one read model. */
export interface Holding {
  body: Body | null;
  /** Counts the bodies: a new number says that the body is another one. */
  version: number;
  state: HeldState;
  cursor: string | null;
  error: string | null;
  why: Why | null;
  failures: number;
  /** When the held answer was asked for, and when it was last known to be true. */
  askedAt: number | null;
  trueAt: number | null;
}

/** A body of an earlier run. */
export interface Kept {
  model: ReadModel;
  cursor: string;
  askedAt: number;
  body: Body;
}

/** The state from which a later run continues. */
export interface Continuation {
  cursor: string;
  kept: readonly Kept[];
}

/** The last message of the stream: the cursor at which a later stream continues, and when the message came. */
export interface Pulse {
  cursor: string | null;
  at: number;
}

/** The changes that the driver reports. It reports none while an input is being handled. */
export interface DriverEvents {
  /** These read models may have changed. `pulse` is there if a message came. */
  changed(models: ReadonlySet<ReadModel>, pulse: Pulse | null): void;
  status(status: EngineStatus, lossText: string | null): void;
  /** Whether the project of the stream has a task. */
  known(known: boolean): void;
}

interface Stored {
  body: Body | null;
  version: number;
  error: string | null;
}

export class Driver {
  readonly #environment: Environment;
  readonly #endpoint: Endpoint;
  readonly #events: DriverEvents;
  readonly #engine: Engine;
  readonly #numbers = new ModelNumbers();
  readonly #stored = new Map<ReadModel, Stored>();
  /** The read models that a screen shows, as the engine knows them. */
  readonly #watched = new Set<ReadModel>();
  /** The read models that screens wish to see or leave, until the next turn. */
  readonly #wishes = new Map<ReadModel, boolean>();
  /** The read models that no screen shows any more, the last one that was left at the end. */
  readonly #left = new Set<ReadModel>();
  readonly #flights = new Map<number, AbortController>();
  readonly #touched = new Set<ReadModel>();
  #stream: { id: number; stream: Stream } | null = null;
  #sse = false;
  #lastCursor: string | null = null;
  /** When a message came, until the turn that reports it. */
  #heardAt: number | null = null;
  #lossText: string | null = null;
  #statusText = "";
  #expiry: number | null = null;
  #timer: unknown = null;
  #turnIsDue = false;
  #closed = false;

  constructor(
    module: WebAssembly.Module,
    settings: EngineSettings,
    environment: Environment,
    endpoint: Endpoint,
    continuation: Continuation | null,
    events: DriverEvents,
  ) {
    this.#environment = environment;
    this.#endpoint = endpoint;
    this.#events = events;
    const seed = Math.floor(environment.random() * 2 ** 48);
    this.#engine = new Engine(module, settings, carried, seed);
    if (continuation) {
      this.#restore(continuation);
    }
    this.#wake();
  }

  watch(model: ReadModel): void {
    this.#wishes.set(model, true);
    this.#wake();
  }

  unwatch(model: ReadModel): void {
    this.#wishes.set(model, false);
    this.#wake();
  }

  /** A person asks for `model` anew. */
  refresh(model: ReadModel): void {
    this.#input((now) => {
      // A read model that no screen shows is fetched when a screen shows it.
      const number = this.#numbers.known(model);
      if (number !== undefined) {
        this.#engine.refresh(number, now);
      }
    }, model);
  }

  /** The application wrote, and `model` shows the write. */
  wrote(model: ReadModel, cursor: string): void {
    // Also a read model that is watched later has to contain the write.
    this.#input((now) => this.#engine.wrote(this.#numbers.known(model) ?? unusedNumber, cursor, now), model);
  }

  setVisible(visible: boolean): void {
    this.#input((now) => (visible ? this.#engine.visible(now) : this.#engine.hidden()));
  }

  setOnline(online: boolean): void {
    this.#input((now) => (online ? this.#engine.online(now) : this.#engine.offline()));
  }

  setEnabled(enabled: boolean): void {
    this.#input((now) => (enabled ? this.#engine.enable(now) : this.#engine.disable()));
  }

  reconnect(): void {
    this.#input((now) => this.#engine.reconnect(now));
  }

  /** Whether the stream is one of server-sent events: it takes one of the six connections of a browser to the server. */
  get usesSse(): boolean {
    return this.#sse;
  }

  /** The body and the state of `model`. */
  holding(model: ReadModel): Holding {
    const now = this.#environment.now();
    const place = this.#numbers.place(model);
    const held = place === undefined ? null : this.#engine.held(place, now);
    const age = place === undefined ? null : this.#engine.age(place, now);
    const { body, version, error } = this.#stored.get(model) ?? { body: null, version: 0, error: null };
    return {
      body,
      version,
      state: held?.state ?? "loading",
      cursor: held?.cursor ?? null,
      error,
      why: held?.why ?? null,
      failures: held?.failures ?? 0,
      askedAt: held?.askedAt ?? null,
      trueAt: age === null ? null : now - age,
    };
  }

  /** Ends the connection and every fetch. */
  close(): void {
    this.#closed = true;
    this.#environment.clearTimer(this.#timer);
    this.#stream?.stream.close();
    for (const abort of this.#flights.values()) {
      abort.abort();
    }
    this.#flights.clear();
    this.#engine.free();
  }

  #restore({ cursor, kept }: Continuation): void {
    const now = this.#environment.now();
    this.#engine.resumeAt(cursor);
    for (const { model, cursor, askedAt, body } of kept) {
      this.#engine.restore(this.#numbers.of(model), cursor, askedAt, now);
      this.#stored.set(model, { body, version: 1, error: null });
      this.#left.add(model);
    }
  }

  #input(act: (now: number) => void, ...touched: ReadModel[]): void {
    if (this.#closed) {
      return;
    }
    this.#applyWishes();
    act(this.#environment.now());
    for (const model of touched) {
      this.#touched.add(model);
    }
    this.#wake();
  }

  /** Takes a turn soon: inputs of one task share a turn, and no screen hears of a change while it is being drawn. */
  #wake(): void {
    if (!this.#turnIsDue && !this.#closed) {
      this.#turnIsDue = true;
      queueMicrotask(() => this.#turn());
    }
  }

  /** Polls until no action is left, tells the screens, and waits for the deadline. */
  #turn(): void {
    this.#turnIsDue = false;
    if (this.#closed) {
      return;
    }
    const now = this.#environment.now();
    this.#applyWishes();
    for (let action = this.#engine.poll(now); action; action = this.#engine.poll(now)) {
      this.#act(action);
    }
    if (this.#expiry !== null && this.#expiry <= now) {
      this.#touchAll();
    }
    this.#reportStatus();
    if (this.#touched.size > 0 || this.#heardAt !== null) {
      const changed = new Set(this.#touched);
      const pulse = this.#heardAt === null ? null : { cursor: this.#engine.resumeCursor(), at: this.#heardAt };
      this.#touched.clear();
      this.#heardAt = null;
      this.#events.changed(changed, pulse);
    }
    this.#trim(now);
    this.#expiry = this.#engine.nextExpiry(now);
    const times = [this.#engine.pollTimeout(), this.#expiry].filter((time) => time !== null);
    this.#environment.clearTimer(this.#timer);
    this.#timer = null;
    if (times.length > 0) {
      // A timer may fire a moment early by the clock, and the engine would then be asked in vain.
      const wait = Math.ceil(Math.min(...times) - now);
      this.#timer = this.#environment.setTimer(() => this.#wake(), Math.min(Math.max(wait, 1), longestTimer));
    }
  }

  #applyWishes(): void {
    const now = this.#environment.now();
    for (const [model, wanted] of this.#wishes) {
      if (wanted !== this.#watched.has(model)) {
        if (wanted) {
          this.#watched.add(model);
          this.#left.delete(model);
          this.#engine.watch(this.#numbers.of(model), now);
          this.#touched.add(model);
        } else {
          this.#watched.delete(model);
          this.#left.add(model);
          this.#engine.unwatch(this.#numbers.of(model), now);
        }
      }
    }
    this.#wishes.clear();
  }

  #act(action: Action): void {
    switch (action.do) {
      case "disconnect":
        if (this.#stream?.id === action.id) {
          this.#stream.stream.close();
          this.#stream = null;
        }
        break;
      case "connect":
        this.#connect(action);
        break;
      case "narrow": {
        const read_models = action.places.map((place) => this.#numbers.entry(place));
        this.#stream?.stream.send(JSON.stringify({ type: "watch", payload: { read_models } }));
        break;
      }
      case "fetch":
        this.#fetch(action);
        break;
      case "cancel":
        this.#flights.get(action.ticket)?.abort();
        this.#flights.delete(action.ticket);
        break;
    }
    if (action.do === "connect" || action.do === "disconnect") {
      this.#touchAll();
    }
  }

  #connect({ id, sse, since }: Action & { do: "connect" }): void {
    this.#lastCursor = null;
    this.#sse = sse || this.#endpoint.token !== null;
    this.#stream?.stream.close();
    const stream = openStream(this.#environment, this.#endpoint, sse, since, {
      connected: (duplex) => this.#input((now) => this.#engine.connected(id, duplex, now)),
      message: (text) => this.#message(id, readMessage(text, this.#numbers), text.length),
      ended: (loss, text) => {
        this.#lossText = text;
        this.#input((now) => this.#engine.disconnected(id, loss, now), ...this.#watched);
      },
    });
    this.#stream = { id, stream };
  }

  #message(id: number, { signal, overview, known, version }: Message, size: number): void {
    if (this.#closed) {
      return;
    }
    this.#applyWishes();
    const now = this.#environment.now();
    if (version !== null && Number.parseInt(version, 10) !== contract) {
      this.#stream?.stream.close();
      const loss = { kind: "refused", reason: otherVersion(version.slice(0, 20), contract) } as const;
      this.#input((now) => this.#engine.disconnected(id, loss, now), ...this.#watched);
      return;
    }
    this.#touch(signal);
    for (const number of this.#engine.signal(id, signal, now)) {
      if (number === overviewNumber && overview && signal.cursor !== null) {
        this.#store("overview", {
          parts: [overview.overview, overview.tasks],
          etags: [null, null],
          cursors: [signal.cursor, signal.cursor],
          sizes: [size, 0],
        });
      }
    }
    if (known !== null || signal.what === What.notice || signal.what === What.stale) {
      this.#events.known(known ?? true);
    }
    this.#lastCursor = signal.cursor ?? this.#lastCursor;
    this.#heardAt = now;
    this.#wake();
  }

  /** Notes the read models whose state the message can change. */
  #touch(signal: Signal): void {
    const sameEpoch =
      this.#lastCursor !== null && signal.cursor !== null && epoch(this.#lastCursor) === epoch(signal.cursor);
    const lists = signal.what === What.notice || signal.what === What.stale;
    if (sameEpoch && signal.what === What.heartbeat) {
      return;
    }
    if (!sameEpoch || !lists || signal.places.some((place) => place >= 2 ** 31)) {
      this.#touchAll();
      return;
    }
    for (const place of signal.places) {
      this.#touched.add(this.#numbers.name(place));
    }
  }

  #touchAll(): void {
    for (const model of this.#watched) {
      this.#touched.add(model);
    }
  }

  #fetch({ ticket, model, atLeast }: Action & { do: "fetch" }): void {
    const name = this.#numbers.name(model);
    const abort = new AbortController();
    this.#flights.set(ticket, abort);
    this.#touched.add(name);
    const stored = this.#stored.get(name);
    void this.#endpoint.fetch(name, stored?.body ?? noBody, atLeast, abort.signal).then((answer) => {
      // A cancelled fetch is absent here, so its end is ignored.
      if (this.#flights.delete(ticket) && !this.#closed) {
        this.#answer(ticket, name, stored?.version ?? 0, answer);
      }
    });
  }

  #answer(ticket: number, model: ReadModel, version: number, given: FetchAnswer): void {
    const stored = this.#stored.get(model);
    let answer = given;
    if (answer.kind === "not modified" && stored?.version !== version) {
      // A message brought another body during the request, so the answer does not confirm the held one.
      const error = `could not load ${model}: the answer confirms an earlier body`;
      answer = { kind: "failed", error, retryAfter: null };
    }
    this.#input((now) => {
      const keep = this.#engine.fetched(ticket, answer, now);
      if (answer.kind === "failed") {
        this.#note(model, answer.error);
      } else {
        this.#note(model, null);
        if (keep && answer.kind === "fresh") {
          this.#store(model, answer);
        }
        if (keep && answer.kind === "not modified" && stored?.body) {
          const body = { ...stored.body, cursors: answer.cursors };
          this.#stored.set(model, { ...stored, body, error: null });
        }
      }
    }, model);
  }

  #store(model: ReadModel, { parts, etags, cursors, sizes }: Body): void {
    const version = (this.#stored.get(model)?.version ?? 0) + 1;
    this.#stored.set(model, { body: { parts, etags, cursors, sizes }, version, error: null });
  }

  #note(model: ReadModel, error: string | null): void {
    const stored = this.#stored.get(model) ?? { body: null, version: 0, error: null };
    this.#stored.set(model, { ...stored, error });
  }

  #reportStatus(): void {
    const status = this.#engine.status();
    const text = JSON.stringify(status);
    if (text !== this.#statusText) {
      this.#statusText = text;
      // Whether the stream is there decides how far each answer can be trusted.
      this.#touchAll();
      this.#events.status(status, status.name === "reconnecting" ? this.#lossText : null);
    }
  }

  /** Forgets the bodies that the engine no longer remembers, and the ones that were left first where they are large. */
  #trim(now: number): void {
    let room = rememberedSize;
    for (const model of [...this.#left].reverse()) {
      const stored = this.#stored.get(model);
      room -= size(stored?.body);
      if (room < 0 && stored?.body) {
        this.#engine.forget(this.#numbers.of(model));
        this.#stored.set(model, { ...stored, body: null });
      }
    }
    for (const model of this.#left) {
      const place = this.#numbers.place(model);
      if (place === undefined || !this.#engine.held(place, now)) {
        this.#left.delete(model);
        this.#stored.delete(model);
        this.#numbers.release(model);
      }
    }
  }
}
