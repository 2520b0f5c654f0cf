/** The server: its addresses, and requests to it. */
import { applyChanges, areChanges, knowsChanges } from "./changes.js";
import { covers } from "./cursors.js";
import type { Environment } from "./environment.js";
import { failure, foreign, notReached, RequestError, slow, unknownForm } from "./failures.js";
import type { ReadModel } from "./models.js";

/** The time for each request. A busy server needs less, and a person would not wait longer. */
const timeout = 10_000;

/** The answer to a fetch of a read model. */
export type FetchAnswer =
  | ({ kind: "fresh"; cursor: string } & Body)
  | { kind: "not modified"; cursor: string; cursors: readonly string[] }
  | { kind: "gone"; cursor: string }
  | { kind: "failed"; error: string; retryAfter: number | null };

/** A body and its tags, as they came from the server: one part for each request. */
export interface Body {
  parts: readonly unknown[];
  etags: readonly (string | null)[];
  /** The cursor at which each part is right. */
  cursors: readonly string[];
  /** The characters of each part. */
  sizes: readonly number[];
}

/** No body. */
export const noBody: Body = { parts: [], etags: [], cursors: [], sizes: [] };

type Part = { cursor: string; json: unknown; etag: string | null; size: number; held: boolean };

/** The address of the server. */
export class Endpoint {
  readonly #environment: Environment;
  readonly #address: string;
  readonly #project: string | null;
  readonly token: string | null;

  constructor(environment: Environment, address: string, project: string | null, token: string | null) {
    this.#environment = environment;
    this.#address = address;
    this.#project = project;
    this.token = token;
  }

  /** The host, whose connections a browser counts. */
  get host(): string {
    return new URL(this.#address).host;
  }

  url(path: string, query: Record<string, string | null> = {}): string {
    // A server behind a proxy has a path of its own, which a slash at the beginning would drop.
    const url = new URL(path.replace(/^\/+/, ""), this.#address);
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

  /**
   * Fetches a read model. The server does not send the parts of `held` again if they are current, and sends only the changes
   * of a part where it knows them.
   */
  async fetch(model: ReadModel, held: Body, atLeast: string | null, cancelled: AbortSignal): Promise<FetchAnswer> {
    const asked = paths(model).map((path, at) => this.#part(path, held, at, atLeast, cancelled));
    try {
      const parts = await Promise.all(asked);
      const cursor = parts.map((part) => part.cursor).reduce(older);
      if (parts.every((part) => part.held)) {
        return { kind: "not modified", cursor, cursors: parts.map((part) => part.cursor) };
      }
      return {
        kind: "fresh",
        cursor,
        parts: parts.map((part) => part.json),
        etags: parts.map((part) => part.etag),
        cursors: parts.map((part) => part.cursor),
        sizes: parts.map((part) => part.size),
      };
    } catch (error) {
      if (error instanceof Gone) {
        return { kind: "gone", cursor: error.cursor };
      }
      const retryAfter = error instanceof RequestError ? error.retryAfter : null;
      const text = error instanceof Error ? error.message : String(error);
      return { kind: "failed", error: `could not load ${model}: ${text}`, retryAfter };
    }
  }

  /** Makes one request, and reads the answer. Fails where the server does not answer with a success. */
  async request(
    method: string,
    path: string,
    body: unknown,
    atLeast: string | null,
  ): Promise<{ headers: Headers; json: unknown }> {
    const json = body === undefined ? null : JSON.stringify(body);
    const type = json === null ? null : "application/json";
    const headers = this.headers({ accept: "application/json", "content-type": type, "requery-at-least": atLeast });
    const { response, text } = await this.#ask(this.url(path), { method, headers, body: json }, null);
    // An answer without a body is one of a write.
    return { headers: response.headers, json: text === "" ? null : parse(text, this.url(path)) };
  }

  async #part(path: string, held: Body, at: number, atLeast: string | null, cancelled: AbortSignal): Promise<Part> {
    const etag = held.etags[at] ?? null;
    const headers = this.headers({ accept: "application/json", "if-none-match": etag, "requery-at-least": atLeast });
    // The browser's own cache would answer 200 for a 304, and its copy is not the one that is held here.
    const init: RequestInit = { headers, cache: "no-store" };
    const since = knowsChanges(path) ? (held.cursors[at] ?? null) : null;
    const url = this.url(path, { since });
    const { response, text } = await this.#ask(url, init, cancelled);
    const cursor = response.headers.get("requery-cursor");
    const unchanged = response.status === 304;
    const json = unchanged ? held.parts[at] : parse(text, url);
    if (cursor === null) {
      throw new RequestError(foreign("the answer names no cursor", url));
    }
    if (unchanged) {
      return { cursor, json, etag, size: held.sizes[at] ?? 0, held: true };
    }
    if (since !== null && areChanges(json)) {
      const whole = applyChanges(path, held.parts[at], json);
      // Changes that do not fit are those of another answer.
      return whole === undefined
        ? this.#part(path, noBody, at, cursor, cancelled)
        : { cursor, json: whole, etag: null, size: JSON.stringify(whole).length, held: false };
    }
    if (!isBody(path, json)) {
      throw new RequestError(unknownForm);
    }
    return { cursor, json, etag: response.headers.get("etag"), size: text.length, held: false };
  }

  /** Asks, and reads the answer as long as it is a success. */
  async #ask(
    url: string,
    init: RequestInit,
    cancelled: AbortSignal | null,
  ): Promise<{ response: Response; text: string }> {
    const abort = new AbortController();
    const end = () => abort.abort();
    let late = false;
    const timer = this.#environment.setTimer(() => {
      late = true;
      end();
    }, timeout);
    cancelled?.addEventListener("abort", end);
    try {
      const response = await this.#environment.fetch(url, { redirect: "error", ...init, signal: abort.signal });
      const { status, headers } = response;
      const cursor = headers.get("requery-cursor");
      if (status === 404 && cursor !== null && init.method === undefined) {
        throw new Gone(cursor);
      }
      if (!response.ok && !(status === 304 && new Headers(init.headers).has("if-none-match"))) {
        throw await failure(response, this.#environment.now());
      }
      return { response, text: await response.text() };
    } catch (error) {
      if (error instanceof RequestError || error instanceof Gone) {
        throw error;
      }
      throw new RequestError(late ? slow : notReached(url));
    } finally {
      this.#environment.clearTimer(timer);
      cancelled?.removeEventListener("abort", end);
    }
  }
}

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RequestError(foreign("the answer is not JSON", url));
  }
}

/** Whether an answer has the field by which a screen finds all other fields: every version of the server sends it. */
function isBody(path: string, json: unknown): boolean {
  if (typeof json !== "object" || json === null) {
    return false;
  }
  if (path === "api/v1/overview") {
    return "stats" in json;
  }
  return path.startsWith("api/v1/tasks/") ? "task" in json : "items" in json && Array.isArray(json.items);
}

/** The paths of the requests for a read model. */
function paths(model: ReadModel): string[] {
  if (model === "overview") {
    return ["api/v1/overview", "api/v1/tasks"];
  }
  return [model === "bookmarks" || model === "agents" ? `api/v1/${model}` : `api/v1/tasks/${model.slice(5)}`];
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
