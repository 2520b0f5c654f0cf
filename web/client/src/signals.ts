/** Messages of the stream as signals for the engine. */
import { type Signal, What } from "./engine.js";
import { noticeKinds, templates } from "./generated/invalidation.js";
import type { components } from "./generated/openapi.js";
import { type ModelNumbers, overviewNumber } from "./models.js";

type Schemas = components["schemas"];

/** The overview, which comes from two requests. */
export interface OverviewBody {
  overview: Schemas["Overview"];
  tasks: Schemas["TaskPage"];
}

/** A message: its signal, and the parts of it that are for screens. */
export interface Message {
  signal: Signal;
  /** The overview that came with the message. */
  overview: OverviewBody | null;
  /** Whether the project of the stream has a task. Null: the message does not say so. */
  known: boolean | null;
  /** The version of the contract that the server speaks. Null: the message does not say so. */
  version: string | null;
}

type Fields = Record<string, unknown>;

/** Reads a message. A message that is no JSON, or lacks a field, is unknown: every read model may have changed. */
export function readMessage(text: string, numbers: ModelNumbers): Message {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    frame = null;
  }
  const envelope = isFields(frame) ? frame : {};
  const signal = {
    cursor: typeof envelope["cursor"] === "string" ? envelope["cursor"] : null,
    more: envelope["more"] === true,
    spreadMs: isCount(envelope["spread_ms"]) ? envelope["spread_ms"] : null,
  };
  const payload = isFields(envelope["payload"]) ? envelope["payload"] : {};
  const content = signal.cursor === null ? null : read(String(envelope["type"]), payload, numbers);
  if (!content) {
    const unknown = { ...signal, what: What.unknown, number: 0, places: [] };
    return { signal: unknown, overview: null, known: null, version: null };
  }
  const { what, number = 0, places = [], overview = null, known = null } = content;
  const isFirst = what === What.snapshot || what === What.resumed;
  const version = isFirst && typeof payload["version"] === "string" ? payload["version"] : null;
  return { signal: { ...signal, what, number, places }, overview, known, version };
}

interface Content {
  what: Signal["what"];
  number?: number;
  places?: readonly number[];
  overview?: OverviewBody | null;
  known?: boolean;
}

function read(type: string, payload: Fields, numbers: ModelNumbers): Content | null {
  const heartbeat = payload["heartbeat_ms"];
  const known = payload["known"] !== false;
  const listed = (name: string) => places(payload[name], numbers);
  switch (type) {
    case "snapshot": {
      if (!isCount(heartbeat)) {
        return null;
      }
      const overview = carriedOverview(payload);
      return { what: What.snapshot, number: heartbeat, places: overview ? [overviewNumber] : [], overview, known };
    }
    case "resumed": {
      const stale = listed("stale");
      return isCount(heartbeat) && stale ? { what: What.resumed, number: heartbeat, places: stale, known } : null;
    }
    case "stale": {
      const stale = listed("read_models");
      return stale && { what: What.stale, places: stale };
    }
    case "watching": {
      const confirmed = listed("read_models");
      return confirmed && { what: What.watching, places: confirmed };
    }
    case "heartbeat":
      return { what: What.heartbeat };
    case "resync":
      return { what: What.resync };
    case "closing": {
      const retry = payload["retry_ms"];
      return isCount(retry) ? { what: What.closing, number: retry } : null;
    }
    default: {
      const kind = noticeKinds.indexOf(type as never);
      const places = kind < 0 ? null : noticePlaces(kind, payload, numbers);
      return places && { what: What.notice, number: kind, places };
    }
  }
}

/** The read models that a notice makes stale. Null: the payload lacks a field. */
function noticePlaces(kind: number, payload: Fields, numbers: ModelNumbers): number[] | null {
  const found: number[] = [];
  for (const [prefix, field] of templates[kind] ?? []) {
    const value = field === null ? "" : payload[field];
    if (value === undefined || (value === null && field === "task_id")) {
      return null;
    }
    if (typeof value === "string") {
      const place = numbers.place(prefix + value);
      if (place !== undefined) {
        found.push(place);
      }
    }
  }
  return found;
}

function places(list: unknown, numbers: ModelNumbers): number[] | null {
  if (!Array.isArray(list)) {
    return null;
  }
  return list.map((entry) => numbers.place(String(entry))).filter((place) => place !== undefined);
}

/** The overview, if the first message has all parts of it. */
function carriedOverview(payload: Fields): OverviewBody | null {
  const { stats, needs_you, activity, sources, usage, tasks, next } = payload;
  if (!stats || !needs_you || !activity || !sources || !usage || !Array.isArray(tasks)) {
    return null;
  }
  // The fields of the two answers, as the contract says.
  const overview = { stats, needs_you, activity, sources, usage } as unknown as Schemas["Overview"];
  return { overview, tasks: { items: tasks, next: next ?? null } as Schemas["TaskPage"] };
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A whole number of 32 bits, as the fields of the contract are. */
function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}
