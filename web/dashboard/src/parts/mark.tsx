/** The mark of a status: a shape and a colour, with its word for a screen reader. */
import { SHAPE_WORDS, type Shape } from "../words";

const DRAWN: Record<Shape, preact.ComponentChildren> = {
  asks: <path d="M8 1 15 14H1Z M7.2 5.5h1.6v4H7.2Z M7.2 10.8h1.6v1.6H7.2Z" fill-rule="evenodd" />,
  asked: <path d="M8 1 15 14H1Z M8 4.500 4 12.300h8Z" fill-rule="evenodd" />,
  turn: <path d="M1 8 8 1 15 8 8 15Z" />,
  running: <path d="M3.5 2v12L14 8Z" />,
  ready: <path d="M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm0 2a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Z" />,
  scheduled: (
    <path
      fill-rule="evenodd"
      d="M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm0 2a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Z M7.200 4.500h1.600v3.200h2.400v1.600h-4Z"
    />
  ),
  completed: <path d="m2 8.5 2-2 2.5 2.5L12 3.5l2 2L6.500 13Z" />,
  errored: (
    <path d="m3 1.500 5 4.500 5-4.500 1.500 1.500L10 8l4.500 5-1.500 1.500-5-4.500-5 4.500L1.500 13 6 8 1.500 3Z" />
  ),
  doubt: (
    <path
      fill-rule="evenodd"
      d="M8 .5 15.500 8 8 15.500.5 8Z M8 3.500 3.500 8 8 12.500 12.500 8Z M7 5.500h2v3.200H7Z M7 9.300h2v1.600H7Z"
    />
  ),
};

export function Mark({ shape, silent = false }: { shape: Shape; silent?: boolean }) {
  return (
    <>
      <svg class={`mark is-${shape}`} viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">
        {DRAWN[shape]}
      </svg>
      {silent ? null : <span class="unseen">{SHAPE_WORDS[shape]}: </span>}
    </>
  );
}
