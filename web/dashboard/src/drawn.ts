/**
 * The first drawing of the page. The work that no person sees yet, such as the start of the engine, waits for it: both at
 * once would make a slow machine show the rows later.
 */

/** A hidden page draws no frame. */
const PATIENCE_MS = 500;

let end = () => {};

/** Ends after the first drawn frame, or when it is late. */
export const drawn = new Promise<void>((resolve) => {
  end = resolve;
  setTimeout(resolve, PATIENCE_MS);
});

/** The page has its first elements: the frame that shows them comes next, and a timer that begins in it comes after it. */
export function noteFirstDrawing(): void {
  requestAnimationFrame(() => setTimeout(end));
}
