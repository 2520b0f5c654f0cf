/** The server: its addresses, and requests to it. */
import { covers } from "./cursors.js";
import type { Environment } from "./environment.js";
import type { ReadModel } from "./models.js";

/** The time for each request. A busy server needs less, and a person would not wait longer. */
const timeout = 10_000;
/** The longest text of an error that is shown. */
const mostDetail = 300;

/** A failed request. */
export class RequestError extends Error {
  readonly status: number | null;
  /** The wait that the server demands, in milliseconds. */
  readonly retryAfter: number | null;

  constructor(message: string, status: number | null = null, retryAfter: number | null = null) {
    super(message);
    this.name = "RequestError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The answer to a fetch of a read model. */
export type FetchAnswer =
  | { kind: "fresh"; cursor: string; parts: unknown[]; etags: (string | null)[] }
  | { kind: "not modified"; cursor: string }
  | { kind: "gone"; cursor: string }
  | { kind: "failed"; error: string; retryAfter: number | null };

/** The parts of a held body, with their tags. */
export interface HeldParts {
  parts: readonly unknown[];
  etags: readonly (string | null)[];
}

type Part = { cursor: string; json: unknown; etag: string | null; held: boolean };

/** The address of the server. */
export class Endpoint {
  readonly #environment: Environment;
  readonly #address: string;
  readonly #project: string | null;
  readonly token: string | null;

  constructor(environment: Environment, address: string, project: string | null, token: string | null) {
    this.#environment = environment;
    this.#address = address.endsWith("/") ? address : `${address}/`;
    this.#project = project;
    this.token = token;
  }

  url(path: string, query: Record<string, string | null> = {}): string {
    const url = new URL(path, this.#address);
    for (const [name, value] of Object.entries({ ...query, project: this.#project })) {
      if (value !== null) {
        url.searchParams.append(name, value);
      }
    }
    return url.href;
  }

  headers(more: Record<string, string | null>): Record<string, string> {
    const token = this.token === null ? null : `Bearer ${this.token}`;
    const all = Object.entries({ authorization: token, ...more });
    return Object.fromEntries(all.filter((entry): entry is [string, string] => entry[1] !== null));
  }

  /** Fetches a read model. The server does not send the parts of `held` again if they are current. */
  async fetch(model: ReadModel, held: HeldParts, atLeast: string | null, cancelled: AbortSignal): Promise<FetchAnswer> {
    const asked = paths(model).map((path, at) => this.#part(path, held, at, atLeast, cancelled));
    try {
      const parts = await Promise.all(asked);
      const cursor = parts.map((part) => part.cursor).reduce(older);
      if (parts.every((part) => part.held)) {
        return { kind: "not modified", cursor };
      }
      return { kind: "fresh", cursor, parts: parts.map((part) => part.json), etags: parts.map((part) => part.etag) };
    } catch (error) {
      if (error instanceof Gone) {
        return { kind: "gone", cursor: error.cursor };
      }
      const retryAfter = error instanceof RequestError ? error.retryAfter : null;
      const text = error instanceof Error ? error.message : String(error);
      return { kind: "failed", error: `could not load ${model}: ${text}`, retryAfter };
    }
  }

  /** Makes one request. Fails where the server does not answer with a success. */
  async request(method: string, path: string, body: unknown, atLeast: string | null): Promise<Response> {
    const json = body === undefined ? null : JSON.stringify(body);
    const type = json === null ? null : "application/json";
    const headers = this.headers({ accept: "application/json", "content-type": type, "requery-at-least": atLeast });
    const { response } = await this.#ask(this.url(path), { method, headers, body: json }, null, null);
    if (!response.ok) {
      throw await failure(response, this.#environment.now());
    }
    return response;
  }

  async #part(
    path: string,
    held: HeldParts,
    at: number,
    atLeast: string | null,
    cancelled: AbortSignal,
  ): Promise<Part> {
    const etag = held.etags[at] ?? null;
    const headers = this.headers({ accept: "application/json", "if-none-match": etag, "requery-at-least": atLeast });
    // The browser's own cache would answer 200 for a 304, and its copy is not the one that is held here.
    const init: RequestInit = { headers, cache: "no-store" };
    const read = (response: Response) => (response.status === 200 ? response.json() : Promise.resolve(null));
    const { response, json } = await this.#ask(this.url(path), init, cancelled, read);
    const cursor = response.headers.get("requery-cursor");
    if (response.status === 404 && cursor !== null) {
      throw new Gone(cursor);
    }
    const unchanged = response.status === 304 && etag !== null;
    if (response.status !== 200 && !unchanged) {
      throw await failure(response, this.#environment.now());
    }
    if (cursor === null) {
      throw new RequestError("the answer names no cursor, so it is not from a requery server");
    }
    if (unchanged) {
      return { cursor, json: held.parts[at], etag, held: true };
    }
    return { cursor, json, etag: response.headers.get("etag"), held: false };
  }

  async #ask(
    url: string,
    init: RequestInit,
    cancelled: AbortSignal | null,
    read: ((response: Response) => Promise<unknown>) | null,
  ): Promise<{ response: Response; json: unknown }> {
    const abort = new AbortController();
    const end = () => abort.abort();
    let slow = false;
    const timer = this.#environment.setTimer(() => {
      slow = true;
      end();
    }, timeout);
    cancelled?.addEventListener("abort", end);
    try {
      const response = await this.#environment.fetch(url, { redirect: "error", ...init, signal: abort.signal });
      try {
        return { response, json: read ? await read(response) : null };
      } catch (error) {
        throw slow ? error : new RequestError("the answer is not JSON, so it is not from a requery server");
      }
    } catch (error) {
      if (error instanceof RequestError) {
        throw error;
      }
      throw new RequestError(slow ? "the server took longer than 10 s" : "could not reach the server");
    } finally {
      this.#environment.clearTimer(timer);
      cancelled?.removeEventListener("abort", end);
    }
  }
}

/** The paths of the requests for a read model. */
function paths(model: ReadModel): string[] {
  if (model === "overview") {
    return ["api/v1/overview", "api/v1/tasks"];
  }
  return [model === "bookmarks" ? "api/v1/bookmarks" : `api/v1/tasks/${model.slice(5)}`];
}

/** The read model does not exist. */
class Gone extends Error {
  readonly cursor: string;

  constructor(cursor: string) {
    super("the server knows no such resource");
    this.cursor = cursor;
  }
}

/** An answer contains no more changes than its oldest part. */
function older(one: string, other: string): string {
  if (covers(one, other)) {
    return other;
  }
  if (!covers(other, one)) {
    throw new RequestError("the parts of the answer come from different databases");
  }
  return one;
}

/** The error of an answer without success, with the text of its problem document. */
export async function failure(response: Response, now: number): Promise<RequestError> {
  const problem: unknown = await response.json().catch(() => null);
  const detail = (problem as { detail?: unknown } | null)?.detail;
  const text = typeof detail === "string" ? `: ${detail.slice(0, mostDetail)}` : "";
  return new RequestError(
    `the server answered ${response.status}${text}`,
    response.status,
    retryAfter(response.headers, now),
  );
}

/** The wait that an answer demands, in milliseconds. */
export function retryAfter(headers: Headers, now: number): number | null {
  const text = headers.get("retry-after")?.trim();
  if (!text) {
    return null;
  }
  if (/^\d+$/.test(text)) {
    return Number(text) * 1000;
  }
  // The clocks of the two machines can differ, so the time of the server counts where it is known.
  const from = Date.parse(headers.get("date") ?? "") || now;
  const until = Date.parse(text);
  return Number.isNaN(until) ? null : Math.max(0, until - from);
}
