/** Plain requests: reads that are no read model, and writes. */
import { areChanges, covers, knowsChanges, mergeAnswer } from "requery-client";

/** A failed request, with a sentence that names the step against it. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    sentence: string,
  ) {
    super(sentence);
  }
}

export interface Answer<T> {
  body: T;
  cursor: string | null;
  etag: string | null;
}

/** The cursor of the last write of this page. Later reads have to contain that write (rule 32 of the contract). */
let written: string | null = null;

/** An answer that does not arrive in this time has failed (rule 4 of the contract). */
const ANSWER_TIME_MS = 30_000;

/**
 * Sends a request and reads its JSON. With the `held` answer of an earlier request of this path, the server sends only the
 * changes where it knows them, and no body where none changed. Equal rows keep their identity, and an equal body is the
 * held one.
 */
export async function ask<T>(
  path: string,
  {
    method = "GET",
    body,
    held = null,
  }: {
    method?: string;
    body?: unknown;
    held?: Answer<T> | null;
  } = {},
): Promise<Answer<T>> {
  const headers = new Headers({ accept: "application/json" });
  if (body !== undefined) headers.set("content-type", "application/json");
  if (held?.etag) headers.set("if-none-match", held.etag);
  const since = held !== null && knowsChanges(path) ? held.cursor : null;
  const changes = since === null ? "" : `${path.includes("?") ? "&" : "?"}since=${encodeURIComponent(since)}`;
  if (method === "GET" && written !== null) headers.set("requery-at-least", written);
  let response: Response;
  try {
    response = await fetch(path + changes, {
      method,
      headers,
      // A deletion outlives the page that a person leaves.
      keepalive: method === "DELETE",
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_TIME_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Failure(0, "The server does not answer. Check that requery runs.");
  }
  const cursor = response.headers.get("requery-cursor");
  // The held body is right at the cursor of the 304.
  if (response.status === 304 && held !== null) return { ...held, cursor: cursor ?? held.cursor };
  // Answers can overtake each other.
  if (method !== "GET" && cursor !== null && (written === null || !covers(written, cursor))) written = cursor;
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  if (response.ok && response.status === 204) return { body: undefined as T, cursor, etag: null };
  if (response.ok && !isJson) {
    throw new Failure(
      response.status,
      "The address answers with a page and not with rows. Check the proxy before requery.",
    );
  }
  try {
    const answered: unknown = await response.json();
    if (response.ok) {
      const body = held === null ? answered : mergeAnswer(path, held.body, answered);
      // The changes are those of another answer than the held one.
      if (body === undefined) return await ask<T>(path);
      // The tag of changes is not the tag of the list that they make.
      const tag = areChanges(answered) ? null : response.headers.get("etag");
      return { body: body as T, cursor, etag: body === held?.body ? (tag ?? held?.etag ?? null) : tag };
    }
    throw new Failure(response.status, sentence(response.status, answered));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(response.status, sentence(response.status, null));
  }
}

/** The sentence of an error, from the problem document where there is one. */
function sentence(status: number, problem: unknown): string {
  const { type, detail, title, errors } = (problem ?? {}) as Record<string, unknown>;
  const fields = Array.isArray(errors)
    ? errors.map((one: { field?: unknown; detail?: unknown }) => `${one.field}: ${one.detail}`).join("; ")
    : "";
  if (fields !== "") return fields;
  if (String(type).endsWith("/no-such-path")) return "This server is older than the page. Update requery.";
  if (typeof detail === "string" && detail !== "") return detail;
  if (status === 404) return "The row does not exist.";
  if (status === 403) return "The server refuses this address. Start it with --allow-host or --allow-origin.";
  if (status === 503) return "The database is busy or away. The page tries again.";
  if (status >= 500) return "The server failed. Its log has the details.";
  return typeof title === "string" ? title : `The server answered ${status}.`;
}

/** The query string of the parameters that have a value. */
export function query(parameters: Record<string, string | number | null | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}
