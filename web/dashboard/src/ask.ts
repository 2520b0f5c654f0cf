/** Plain requests: reads that are no read model, and writes. */
import { covers } from "requery-client";

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

/** Sends a request and reads its JSON. `null` stands for 304: the held body is still right. */
export async function ask<T>(
  path: string,
  {
    method = "GET",
    body,
    etag,
  }: {
    method?: string;
    body?: unknown;
    etag?: string | null;
  } = {},
): Promise<Answer<T> | null> {
  const headers = new Headers({ accept: "application/json" });
  if (body !== undefined) headers.set("content-type", "application/json");
  if (etag) headers.set("if-none-match", etag);
  if (method === "GET" && written !== null) headers.set("requery-at-least", written);
  let response: Response;
  try {
    response = await fetch(path, {
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
  if (response.status === 304) return null;
  const cursor = response.headers.get("requery-cursor");
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
    if (response.ok) return { body: answered as T, cursor, etag: response.headers.get("etag") };
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
