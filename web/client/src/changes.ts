/** Answers with changes alone, applied to the held answers. The rules are in the contract, "Changes since a cursor". */
import { reuse } from "./reuse.js";

type Fields = Record<string, unknown>;

/** The changes of a list. */
interface ListChanges {
  changed: readonly { at: number; item: unknown }[];
  removed: readonly string[];
  length: number;
  next: unknown;
}

/** The lists of a task detail, each with the field in which its rows have their id. */
const lists = [
  ["sessions", "session_id"],
  ["children", "task_id"],
] as const;

/** The reads with `since`: a task and its timeline, or a list. A path can have a slash before it and a query behind it. */
const READ = /^\/*api\/v1\/(?:(tasks|bookmarks)|tasks\/[^/?]+(\/timeline)?)(?:\?|$)/;

/** Whether the server can answer this request with changes. */
export function knowsChanges(path: string): boolean {
  return READ.test(path);
}

/** Whether an answer has the changes of the held one alone. */
export function areChanges(json: unknown): json is Fields {
  return isFields(json) && json["full"] === false;
}

/**
 * The whole answer of now, from the held one and the answer to a request that named the cursor of the held one as `since`.
 * Equal rows keep their identity, and an equal answer is the held one. Undefined: the answer has changes of another answer
 * than the held one, so the request is repeated without `since`.
 */
export function mergeAnswer(path: string, held: unknown, answer: unknown): unknown {
  return reuse(held, areChanges(answer) ? applyChanges(path, held, answer) : answer);
}

/**
 * The answer of now. Rows that did not change keep their identity. Undefined: the held answer is not the one whose changes
 * these are.
 */
export function applyChanges(path: string, held: unknown, changes: Fields): unknown {
  const [, name, timeline] = READ.exec(path) ?? [];
  if (!isFields(held)) {
    return undefined;
  }
  if (name === undefined && timeline === undefined) {
    return detail(held, changes);
  }
  const made = page(held, changes, name === undefined ? "event_id" : name === "tasks" ? "task_id" : "bookmark_id");
  return made && { ...made, previous: changes["previous"] };
}

/** The timeline of a detail is such a page, and has no page before it. */
function page(held: Fields, changes: unknown, id: string): Fields | undefined {
  const items = list(held["items"], changes, id);
  return items && { ...held, items, next: (changes as ListChanges).next };
}

/** A part that is `null` did not change. */
function detail(held: Fields, changes: Fields): Fields | undefined {
  const { full: _, ...parts } = changes;
  const made: Fields = { ...held };
  for (const [name, change] of Object.entries(parts)) {
    if (change !== null) {
      made[name] = change;
    }
  }
  for (const [name, id] of lists) {
    if (parts[name]) {
      made[name] = list(held[name], parts[name], id);
    }
  }
  if (parts["timeline"]) {
    const timeline = held["timeline"];
    made["timeline"] = isFields(timeline) ? page(timeline, parts["timeline"], "event_id") : undefined;
  }
  return Object.values(made).includes(undefined) ? undefined : made;
}

function list(held: unknown, changes: unknown, id: string): unknown[] | undefined {
  if (!Array.isArray(held) || !isListChanges(changes)) {
    return undefined;
  }
  const left = new Set<unknown>(changes.removed);
  for (const { item } of changes.changed) {
    left.add(idOf(item, id));
  }
  const rows: unknown[] = held.filter((row) => !left.has(idOf(row, id)));
  for (const { at, item } of changes.changed) {
    if (at > rows.length) {
      return undefined;
    }
    rows.splice(at, 0, item);
  }
  rows.length = Math.min(rows.length, changes.length);
  return rows.length === changes.length ? rows : undefined;
}

function idOf(row: unknown, id: string): unknown {
  return isFields(row) ? row[id] : undefined;
}

function isListChanges(changes: unknown): changes is ListChanges {
  return (
    isFields(changes) &&
    Array.isArray(changes["changed"]) &&
    Array.isArray(changes["removed"]) &&
    typeof changes["length"] === "number"
  );
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
