/** Structural sharing: an equal part of a new value keeps the identity of the old part. */

type Fields = Record<string, unknown>;

/** `next`, or `old` where both are equal. Rows with an id are compared with the old row of that id. Both are JSON. */
export function reuse<T>(old: unknown, next: T): T {
  if (Object.is(old, next)) {
    return next;
  }
  if (Array.isArray(old) && Array.isArray(next)) {
    return list(old, next) as T;
  }
  if (isFields(old) && isFields(next)) {
    return fields(old, next) as T;
  }
  return next;
}

function list(old: readonly unknown[], next: readonly unknown[]): readonly unknown[] {
  const byId = new Map<unknown, unknown>();
  for (const row of old) {
    const id = idOf(row);
    if (id !== undefined) {
      byId.set(id, row);
    }
  }
  const shared = next.map((row, at) => {
    const id = idOf(row);
    return reuse(id === undefined ? old[at] : byId.get(id), row);
  });
  const same = shared.length === old.length && shared.every((row, at) => Object.is(row, old[at]));
  return same ? old : shared;
}

function fields(old: Fields, next: Fields): Fields {
  const names = Object.keys(next);
  let same = names.length === Object.keys(old).length;
  // A body can have a field of any name, and an assignment to `__proto__` would make no field.
  const shared = Object.fromEntries(
    names.map((name) => {
      const isOld = Object.hasOwn(old, name);
      const value = isOld ? reuse(old[name], next[name]) : next[name];
      same &&= isOld && Object.is(value, old[name]);
      return [name, value];
    }),
  );
  return same ? old : shared;
}

/** The names under which rows of the contract have their ids, the own one first. */
const ids = ["event_id", "bookmark_id", "session_id", "task_id", "project", "source", "model"];

function idOf(row: unknown): string | undefined {
  if (!isFields(row)) {
    return undefined;
  }
  const name = Object.hasOwn(row, "id")
    ? "id"
    : ids.find((name) => Object.hasOwn(row, name) && typeof row[name] === "string");
  return name === undefined ? undefined : `${name} ${row[name]}`;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
