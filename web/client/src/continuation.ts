/** The answers of a page for the page that is loaded in its place: in the session storage, which ends with the tab. */
import type { Continuation, Kept } from "./driver.js";
import type { ReadModel } from "./models.js";
import type { Mirror } from "./view.js";

/** The most characters that are kept: browsers take about five million for all of a site. */
const mostKept = 2_000_000;
const version = 1;

/** The part of `Storage` that is used. */
export interface KeptStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The key of the answers of one server and project. */
export function storageKey(url: string, project: string | null): string {
  return `requery ${url} ${project === null ? "" : `project ${project}`}`;
}

/** Keeps the fresh answers. Without room for all, the smallest are kept. A storage that refuses keeps none. */
export function keep(
  storage: KeptStorage,
  key: string,
  cursor: string | null,
  mirrors: ReadonlyMap<ReadModel, Mirror>,
): void {
  const texts: string[] = [];
  for (const [model, { holding }] of mirrors) {
    if (holding?.body && holding.state === "fresh" && holding.cursor !== null) {
      const { cursor, body, askedAt } = holding;
      texts.push(JSON.stringify({ model, cursor, askedAt: askedAt ?? 0, body } satisfies Kept));
    }
  }
  texts.sort((one, other) => one.length - other.length);
  let room = mostKept;
  const kept = texts.filter((text) => {
    room -= text.length;
    return room >= 0;
  });
  try {
    if (cursor === null || kept.length === 0) {
      storage.removeItem(key);
    } else {
      const head = JSON.stringify({ version, cursor });
      storage.setItem(key, `${head.slice(0, -1)},"kept":[${kept.join(",")}]}`);
    }
  } catch {
    // The storage is full or forbidden: the next page requests everything.
  }
}

/** The kept answers, which are used once. Null: there are none, or they are not of this version. */
export function takeKept(storage: KeptStorage, key: string): Continuation | null {
  try {
    const text = storage.getItem(key);
    // A copy of the tab has a copy of the storage, and a page that fails with these answers must not fail again.
    storage.removeItem(key);
    const kept: unknown = JSON.parse(text ?? "null");
    return isContinuation(kept) ? { cursor: kept.cursor, kept: kept.kept } : null;
  } catch {
    return null;
  }
}

function isContinuation(value: unknown): value is Continuation {
  const given = value as (Continuation & { version?: unknown }) | null;
  return given?.version === version && typeof given.cursor === "string" && Array.isArray(given.kept);
}
