/** The sentences for a server that does not answer as the contract says: each has the fault, and a step against it. */

/** The longest text of a server that is shown. */
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

/** No answer came. A browser hides the difference between a server that is away and one that refuses the page's origin. */
export function notReached(url: string): string {
  const { origin } = new URL(url);
  const page = (globalThis as { location?: { origin?: string } }).location?.origin;
  const foreign = page !== undefined && page !== origin ? `, and started with --allow-origin ${page}` : "";
  return `could not reach the server: check that it runs at ${origin}${foreign}`;
}

/** The answer took too long. */
export const slow = "the server did not answer within 10 s: look into its log";

/** The answer came from another program, such as a page of HTML. */
export function foreign(fault: string, url: string): string {
  return `${fault}, so it is not from a requery server: check the address ${new URL(url).origin}`;
}

/** The answer has not the form of its operation. */
export const unknownForm = "the answer has an unknown form: update the page or the server, whichever is older";

/** The server speaks another major version. */
export function otherVersion(theirs: string, ours: number): string {
  return `the server speaks version ${theirs} of the contract and this page version ${ours}: load the page again, and update the older of the two`;
}

/** The error of an answer without success, with the text of its problem document. */
export async function failure(response: Response, now: number): Promise<RequestError> {
  const problem: unknown = await response.json().catch(() => null);
  const detail = (problem as { detail?: unknown } | null)?.detail;
  const text = typeof detail === "string" ? `: ${detail.slice(0, mostDetail)}` : "";
  const { status, headers } = response;
  return new RequestError(
    `the server answered ${status}${text}${advice(status, text)}`,
    status,
    retryAfter(headers, now),
  );
}

function advice(status: number, detail: string): string {
  if (status >= 500) {
    return detail ? "; its log says more" : ": look into its log, or into the log of the proxy before it";
  }
  if (status === 401) {
    return `${detail ? ";" : ":"} log in again, or give the store another token`;
  }
  // The problem document of any other answer says how to mend the request.
  return detail ? "" : ": check the address, or update the server if it is older than this page";
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
