/** The pages behind the first one of a list that is no read model as a whole. */
import { useEffect, useRef, useState } from "preact/hooks";
import { say } from "./actions";
import { type Answer, ask } from "./ask";

interface Page<T> {
  items: readonly T[];
  next?: string | null;
}

export interface OlderRows<T> {
  items: readonly T[];
  /** A further page can be loaded. */
  hasMore: boolean;
  /** The list has more rows than the page draws. */
  isCut: boolean;
  /** Since when a newer answer is due. */
  behindSince: number | null;
  load: () => void;
}

/** The list makes an element for each row. A filter or the search finds rows behind so many pages. */
const MOST_PAGES = 20;
/** The least time between two walks over the loaded pages. */
const WALK_PACE_MS = 1000;

/** The loaded pages behind the first page. A change of the list walks over them again, from the end of the first page. */
class LoadedPages<T> {
  pages: { before: string; held: Answer<Page<T>> }[] = [];
  behindSince: number | null = null;
  first: string | null = null;
  #wanted = 0;
  #isWalking = false;
  #hasEnded = false;
  #timer = 0;
  #nextWalk = 0;

  constructor(
    readonly path: string,
    readonly changed: () => void,
  ) {}

  get next(): string | null {
    const last = this.pages.at(-1);
    return last === undefined ? this.first : (last.held.body.next ?? null);
  }

  load(): void {
    if (this.next === null || this.#wanted > this.pages.length || this.pages.length >= MOST_PAGES) return;
    this.#wanted = this.pages.length + 1;
    this.#nextWalk = 0;
    this.#plan();
  }

  /** The list may have changed. */
  doubt(first: string | null): void {
    this.first = first;
    if (this.#wanted === 0) return;
    this.behindSince ??= Date.now();
    this.#plan();
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#isWalking || this.#hasEnded) return;
    this.#timer = window.setTimeout(() => void this.#walk(), Math.max(0, this.#nextWalk - Date.now()));
  }

  /** The pages follow each other, so a row that moved between them is neither lost nor doubled. */
  async #walk(): Promise<void> {
    this.#isWalking = true;
    const wanted = this.#wanted;
    const held = this.pages;
    const since = this.behindSince;
    this.behindSince = null;
    this.#nextWalk = Date.now() + WALK_PACE_MS;
    const pages: typeof held = [];
    try {
      let before = this.first;
      while (before !== null && pages.length < wanted) {
        const known = held.find((one) => one.before === before);
        const path = `${this.path}&before=${encodeURIComponent(before)}`;
        const answer: Answer<Page<T>> = await ask(path, { held: known?.held ?? null });
        if (this.#hasEnded) return;
        pages.push({ before, held: answer });
        before = answer.body.next ?? null;
      }
      this.pages = pages;
      this.#wanted = Math.max(pages.length, this.#wanted > wanted ? this.#wanted : 0);
    } catch (error) {
      // The rows stay, and their age says so. The next change or the next press asks again.
      this.behindSince = since;
      this.#wanted = held.length;
      say((error as Error).message);
    }
    this.#isWalking = false;
    if (this.#wanted > this.pages.length || (this.behindSince !== null && this.behindSince !== since)) this.#plan();
    this.changed();
  }
}

/** `path` has a query. `next` is the token behind the first page. `sign` is another value when the list may have changed. */
export function useOlder<T>(path: string, next: string | null, sign: unknown): OlderRows<T> {
  const [, draw] = useState(0);
  const held = useRef<LoadedPages<T> | null>(null);
  if (held.current?.path !== path) {
    held.current?.end();
    held.current = new LoadedPages<T>(path, () => draw((count) => count + 1));
  }
  const mine = held.current;
  useEffect(() => mine.doubt(next), [mine, next, sign]);
  useEffect(() => () => held.current?.end(), []);
  mine.first = next;
  const hasNext = mine.next !== null;
  const isFull = mine.pages.length >= MOST_PAGES;
  return {
    items: mine.pages.flatMap(({ held }) => held.body.items),
    hasMore: hasNext && !isFull,
    isCut: hasNext && isFull,
    behindSince: mine.behindSince,
    load: () => mine.load(),
  };
}

/** The rows of the first page and of the older ones. A row that moved meanwhile can be in both: the first one counts. */
export function joined<T>(first: readonly T[], older: readonly T[], idOf: (row: T) => string): T[] {
  const known = new Set<string>();
  return [...first, ...older].filter((row) => !known.has(idOf(row)) && known.add(idOf(row)));
}
