/**
 * Runs a script of `tests/vectors` and produces its trace, as `tests/vectors/README.md` describes. It needs no Node, so
 * that a browser can run it too.
 */
import type { EngineStatus, Loss, Outcome } from "../src/engine.js";
import { carried, ModelNumbers, type ReadModel } from "../src/models.js";
import { readMessage } from "../src/signals.js";
import { ExplainingEngine, type Explanation } from "./explain.js";

const uuid = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;
const task = (text: string) => uuid(Number(text.slice(text.lastIndexOf("t") + 1)));
const long = (text: string) => (/^task:t\d+$/.test(text) ? `task:${task(text.slice(5))}` : text);
const list = (text: string | undefined) => (text ? text.split(",").map(long) : []);

/** `a:5` stands for `a:5:5:`. */
const cursor = (text: string) => {
  const [epoch, next, ...rest] = text.split(":");
  return rest.length > 0 ? text : `${epoch}:${next}:${next}:`;
};
const short = (text: string) => {
  const [epoch, least, next, open] = text.split(":");
  return least === next && open === "" ? `${epoch}:${next}` : text;
};

/** The script with the trace that the engine produces for it. */
export function run(module: WebAssembly.Module, script: string): string {
  const lines = script.split("\n").slice(0, -1);
  const option = (name: string) => lines.find((line) => line.startsWith(name))?.slice(name.length);
  const attempts = option("attempts ");
  const settings = attempts === undefined ? {} : { attempts: Number(attempts) };
  const carries = option("carried ") === undefined ? 0 : carried;
  const vector = new Vector(new ExplainingEngine(module, settings, carries, Number(option("seed ") ?? 1)));
  for (const line of lines.filter((line) => !line.startsWith(">"))) {
    const [, at, input] = /^(\d+) (.*)$/.exec(line) ?? [];
    if (at === undefined || input === undefined) {
      vector.text += `${line}\n`;
      continue;
    }
    vector.advance(Number(at));
    vector.text += `${line}\n`;
    vector.input(input);
    vector.drive();
  }
  return vector.text;
}

class Vector {
  text = "";
  readonly #engine: ExplainingEngine;
  readonly #numbers = new ModelNumbers();
  readonly #connections: number[] = [];
  /** The tickets of all fetches of each read model, the newest last. */
  readonly #tickets = new Map<number, number[]>();
  #now = 0;
  #status = "connecting";

  constructor(engine: ExplainingEngine) {
    this.#engine = engine;
    // The engine orders tasks by their numbers, and the native engine by their ids.
    for (let number = 1; number <= 2_000; number += 1) {
      this.#numbers.of(`task:${uuid(number)}`);
    }
  }

  /** Lets the time up to `to` pass, but not `to` itself. */
  advance(to: number): void {
    for (let step = 0; step < 10_000; step += 1) {
      const at = this.#engine.pollTimeout();
      if (at === null || at >= to) {
        this.#now = to;
        return;
      }
      this.#now = Math.max(this.#now, at);
      this.drive();
    }
    throw new Error(`the engine does not come to rest at ${this.#now}`);
  }

  drive(): void {
    for (let step = 0; step < 10_000; step += 1) {
      const action = this.#engine.poll(this.#now);
      if (!action) {
        this.#sayStatus();
        return;
      }
      switch (action.do) {
        case "disconnect":
          this.#say("disconnect");
          break;
        case "connect": {
          this.#connections.push(action.id);
          const since = action.since === null ? "" : ` since ${short(action.since)}`;
          this.#say(`connect${action.sse ? " sse" : ""}${since}`);
          break;
        }
        case "narrow": {
          const models = action.places.map((place) => brief(this.#numbers.entry(place)));
          this.#say(`send watch ${models.join(",")}`.trimEnd());
          break;
        }
        case "fetch": {
          const atLeast = action.atLeast === null ? "" : ` at-least ${short(action.atLeast)}`;
          this.#say(`fetch ${this.#name(action.model)} why ${action.why}${atLeast}`);
          this.#tickets.set(action.model, [...(this.#tickets.get(action.model) ?? []), action.ticket]);
          break;
        }
        case "cancel": {
          const of = [...this.#tickets].find(([, tickets]) => tickets.includes(action.ticket));
          this.#say(`cancel ${this.#name(of?.[0] ?? -1)}`);
          break;
        }
      }
    }
    throw new Error(`the engine does not end at ${this.#now}`);
  }

  #sayStatus(): void {
    const status = statusText(this.#engine.status());
    if (status !== this.#status) {
      this.#status = status;
      this.#say(`status ${status}`);
    }
  }

  #say(trace: string): void {
    this.text += `> ${this.#now} ${trace}\n`;
  }

  #name(model: number): string {
    return brief(this.#numbers.name(model));
  }

  #number(text: string): number {
    return this.#numbers.of(long(text) as ReadModel);
  }

  input(input: string): void {
    const [engine, now] = [this.#engine, this.#now];
    const old = input.startsWith("old ") ? 1 : 0;
    const words = (old ? input.slice(4) : input).split(" ");
    const [verb, model = "", ...rest] = words;
    const connection = () => this.#connections.at(-1 - old) ?? -1;
    const disconnected = (loss: Loss) => engine.disconnected(connection(), loss, now);
    switch (verb) {
      case "wait":
        break;
      case "restore":
        engine.resumeAt(cursor(rest[2] ?? ""));
        for (const each of list(model)) {
          engine.restore(this.#number(each), cursor(rest[0] ?? ""), now, now);
        }
        break;
      case "watch":
        for (const each of rest[0] === "to" ? range(model, rest[1] ?? "") : [model]) {
          engine.watch(this.#number(each), now);
        }
        break;
      case "unwatch":
        engine.unwatch(this.#number(model), now);
        break;
      case "forget":
        engine.forget(this.#number(model));
        break;
      case "refresh":
        engine.refresh(this.#number(model), now);
        break;
      case "wrote":
        engine.wrote(this.#number(model), cursor(rest[0] ?? ""), now);
        break;
      case "left-out":
        engine.leftOut(this.#number(model), cursor(rest[0] ?? ""), now);
        break;
      case "connected":
        engine.connected(connection(), model !== "sse", now);
        break;
      case "disconnected":
        disconnected({ kind: "ended" });
        break;
      case "not":
        disconnected({ kind: "not reached" });
        break;
      case "busy":
        disconnected({ kind: "busy", retryAfter: model ? Number(model) : null });
        break;
      case "refused":
        disconnected({ kind: "refused", reason: words.slice(1).join(" ") });
        break;
      case "reconnect":
        engine.reconnect(now);
        break;
      case "frame":
        this.#frame(words.slice(1), connection());
        break;
      case "hidden":
        engine.hidden();
        break;
      case "visible":
        engine.visible(now);
        break;
      case "offline":
        engine.offline();
        break;
      case "online":
        engine.online(now);
        break;
      case "disable":
        engine.disable();
        break;
      case "enable":
        engine.enable(now);
        break;
      case "explain": {
        const explanation = engine.explain(this.#number(model), now);
        this.#say(`${model}: ${explanation ? explained(explanation) : "unknown"}`);
        break;
      }
      case "show":
        this.#show(model);
        break;
      case "answer":
      case "same":
      case "gone":
      case "failed":
        this.#answer(verb, model, rest[0], old);
        break;
      default:
        throw new Error(`not an input: ${input}`);
    }
  }

  #frame(words: string[], connection: number): void {
    const isOption = (word: string) => word === "more" || word.includes("=") || word === "";
    const options = words.filter(isOption);
    const option = (name: string) => options.find((word) => word.startsWith(name))?.slice(name.length);
    const [type = "", at, ...rest] = words.filter((word) => !isOption(word));
    const spread = option("spread=");
    const text = JSON.stringify({
      type,
      payload: payload(type, rest, Number(option("heartbeat=") ?? 25_000)),
      ...(at === undefined ? {} : { cursor: cursor(at) }),
      ...(options.includes("more") ? { more: true } : {}),
      ...(spread === undefined ? {} : { spread_ms: Number(spread) }),
    });
    const { signal } = readMessage(text, this.#numbers);
    if (type === "snapshot") {
      signal.places = list(option("carries=")).map((model) => this.#number(model));
    }
    for (const model of this.#engine.signal(connection, signal, this.#now)) {
      this.#say(`carried ${this.#name(model)}`);
    }
  }

  #show(model: string): void {
    const held = this.#engine.held(this.#number(model), this.#now);
    if (!held) {
      this.#say(`${model}: unknown`);
      return;
    }
    const flags: [boolean, string][] = [
      [!held.watched, "unwatched"],
      [held.stale, "stale"],
      [held.inFlight, "in flight"],
      [held.absent, "gone"],
      [held.state === "unconfirmed", "unconfirmed"],
      [held.failures > 0, "failing"],
    ];
    const shown = flags.filter(([on]) => on).map(([, flag]) => `, ${flag}`);
    const age = this.#engine.age(this.#number(model), this.#now);
    const aged = age === null ? "" : `, age ${age}`;
    const at = held.cursor === null ? "nothing" : short(held.cursor);
    this.#say(`${model}: held ${at}${shown.join("")}${aged}`);
  }

  #answer(verb: "answer" | "same" | "gone" | "failed", model: string, last: string | undefined, old: number): void {
    const ticket = this.#tickets.get(this.#number(model))?.at(-1 - old);
    if (ticket === undefined) {
      throw new Error(`no such fetch of ${model}`);
    }
    const kinds = { answer: "fresh", same: "not modified", gone: "gone" } as const;
    const outcome: Outcome =
      verb === "failed"
        ? { kind: "failed", retryAfter: last === undefined ? null : Number(last) }
        : { kind: kinds[verb], cursor: cursor(last ?? "") };
    const keep = this.#engine.fetched(ticket, outcome, this.#now);
    if (outcome.kind !== "failed") {
      this.#say(`${keep ? "keep" : "drop"} ${model} ${short(outcome.cursor)}`);
    }
  }
}

function payload(type: string, words: string[], heartbeat_ms: number): unknown {
  const [first, of, parent] = words;
  const time = "2026-01-01T00:00:00.000Z";
  switch (type) {
    case "snapshot":
      return { stats: {}, tasks: [], server_time: time, heartbeat_ms, version: "1.0", known: true };
    case "resumed":
      return { server_time: time, heartbeat_ms, version: "1.0", known: true, stale: list(first) };
    case "stale":
    case "watching":
      return { read_models: list(first) };
    case "heartbeat":
      return { server_time: time };
    case "resync":
      return { reason: "lagged" };
    case "closing":
      return { retry_ms: Number(first) };
    case "tasks.purged":
      return { project: "p", count: 1 };
    default:
      return {
        project: "p",
        task_id: first === undefined ? undefined : task(first),
        parent_task_id: of === "of" && parent !== undefined ? task(parent) : null,
        status: "completed",
      };
  }
}

/** A read model with the short form of tasks. */
function brief(entry: string): string {
  return entry.startsWith("task:0") ? `task:t${Number(entry.slice(-12))}` : entry;
}

function range(first: string, last: string): string[] {
  const [from, to] = [first, last].map((text) => Number(text.slice(text.lastIndexOf("t") + 1))) as [number, number];
  return Array.from({ length: to - from + 1 }, (_, at) => `task:t${from + at}`);
}

function statusText(status: EngineStatus): string {
  switch (status.name) {
    case "reconnecting":
      return `reconnecting ${status.nextTry === null ? "now" : `at ${status.nextTry}`} (${status.reason})`;
    case "closed":
      return `closed: ${status.reason}`;
    default:
      return status.name;
  }
}

function explained({ state, why, since, need, waitsFor, until }: Explanation): string {
  const doubt = why === null ? "" : ` since ${since} (${why})`;
  const needs = need === null ? "" : `, needs ${need}`;
  return `${state}${doubt}${needs}, waits for ${waitsFor}${until === null ? "" : ` until ${until}`}`;
}
