/** The pause before a request is repeated. */

/** A read that failed, or that did not have all rows yet, is tried again after this time, which doubles up to the second one. */
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 10_000;

/** The pause after so many attempts in a row. */
export function pauseAfter(attempts: number): number {
  return Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** (attempts - 1));
}
