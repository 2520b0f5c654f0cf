/**
 * The first drawing of the page. The work that no person sees yet, such as the start of the engine, waits for it: both at
 * once would make a slow machine show the rows later.
 */

/** A hidden page draws no frame, and a screen without rows has nothing to wait for. */
const PATIENCE_MS = 500;

let end = () => {};

/** Ends after the first frame with rows, or when it is late. */
export const drawn = new Promise<void>((resolve) => {
  end = resolve;
  setTimeout(resolve, PATIENCE_MS);
});

/** The rows are in the page: the frame that shows them comes next, and a timer that begins in it comes after it. */
export function noteRows(): void {
  requestAnimationFrame(() => setTimeout(end));
}
