/** The answers of a page for the page that is loaded in its place: in the session storage, which ends with the tab. */
import { covers } from "./cursors.js";
import type { Continuation, Kept } from "./driver.js";
import { type ReadModel, readModel } from "./models.js";
import type { Mirror } from "./view.js";

/** The most characters that are kept: browsers take about five million for all of a site. */
const mostKept = 2_000_000;
const version = 2;

/** The part of `Storage` that is used. */
export interface KeptStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The key of the answers of one server and project. Another token may be that of another person. */
export function storageKey(url: string, project: string | null, token: string | null): string {
  const rest = `${project === null ? "" : ` project ${project}`}${token === null ? "" : ` token ${digest(token)}`}`;
  return `requery ${url}${rest}`;
}

/** A number that differs for different tokens, as good as always, and does not tell them. */
export function digest(token: string): number {
  return [...token].reduce((sum, character) => (Math.imul(sum, 31) + (character.codePointAt(0) ?? 0)) | 0, 7);
}

/**
 * The answers of a page that contain every change up to `cursor`, the last one of the stream. An answer whose stream was
 * lost is one of them: the next stream reports the changes after `cursor`.
 */
export function keptOf(cursor: string, mirrors: ReadonlyMap<ReadModel, Mirror>): Continuation {
  const kept: Kept[] = [];
  for (const [model, { holding, isReported }] of mirrors) {
    const isTrue = holding?.state === "fresh" || holding?.state === "unconfirmed";
    if (isTrue && holding.body && holding.cursor !== null && (isReported || covers(holding.cursor, cursor))) {
      kept.push({ model, cursor: holding.cursor, askedAt: holding.askedAt ?? 0, body: holding.body });
    }
  }
  return { cursor, kept };
}

/** Keeps the answers. Without room for all, the smallest are kept. A storage that refuses keeps none. */
export function keep(storage: KeptStorage, key: string, continuation: Continuation | null): void {
  const texts = (continuation?.kept ?? []).map((kept) => JSON.stringify(kept));
  texts.sort((one, other) => one.length - other.length);
  let room = mostKept;
  const kept = texts.filter((text) => {
    room -= text.length;
    return room >= 0;
  });
  try {
    if (!continuation || kept.length === 0) {
      storage.removeItem(key);
    } else {
      const head = JSON.stringify({ version, cursor: continuation.cursor });
      storage.setItem(key, `${head.slice(0, -1)},"kept":[${kept.join(",")}]}`);
    }
  } catch {
    // The storage is full or forbidden: the next page requests every read model.
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
  return (
    given?.version === version &&
    typeof given.cursor === "string" &&
    Array.isArray(given.kept) &&
    given.kept.every(isKept)
  );
}

/** Another script of the site can write to the storage, too. */
function isKept(value: unknown): value is Kept {
  const { model, cursor, askedAt, body } = (value ?? {}) as Partial<Kept>;
  return (
    typeof model === "string" &&
    readModel(model) === model &&
    typeof cursor === "string" &&
    Number.isFinite(askedAt) &&
    [body?.parts, body?.etags, body?.cursors, body?.sizes].every(Array.isArray)
  );
}
