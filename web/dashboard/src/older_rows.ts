/** The pages behind the first one of a list that is no read model as a whole. */
import { useEffect, useRef, useState } from "preact/hooks";
import { say } from "./actions";
import { type Answer, ask } from "./ask";
import { pauseAfter } from "./backoff";
import { useIsLive } from "./live";

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

interface Loaded<T> {
  before: string;
  held: Answer<Page<T>>;
}

/** The loaded pages behind the first page. A change of the list walks over them again, from the end of the first page. */
class LoadedPages<T> {
  pages: Loaded<T>[] = [];
  behindSince: number | null = null;
  first: Page<T> | null = null;
  /** How many pages a person asked for, and how many of these are loaded. */
  #wanted = 0;
  #loaded = 0;
  #isWalking = false;
  #hasEnded = false;
  #timer = 0;
  #nextWalk = 0;
  #failures = 0;

  constructor(
    readonly path: string,
    readonly idOf: (row: T) => string,
    readonly changed: () => void,
  ) {}

  get next(): string | null {
    return (this.pages.at(-1)?.held.body ?? this.first)?.next ?? null;
  }

  load(): void {
    if (this.next === null || this.#wanted > this.#loaded || this.pages.length >= MOST_PAGES) return;
    this.#wanted = this.#loaded + 1;
    this.#nextWalk = 0;
    this.#plan();
  }

  /** The list may have changed. */
  doubt(first: Page<T> | null): void {
    this.first = first;
    if (this.#wanted === 0) return;
    this.behindSince ??= Date.now();
    this.#plan();
  }

  /** The server can be reached again: a failed walk is repeated at once. */
  retry(): void {
    if (this.#failures > 0) this.#plan(0);
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  #plan(at = this.#nextWalk): void {
    clearTimeout(this.#timer);
    if (this.#isWalking || this.#hasEnded) return;
    this.#timer = window.setTimeout(() => void this.#walk(), Math.max(0, at - Date.now()));
  }

  async #walk(): Promise<void> {
    this.#isWalking = true;
    const wanted = this.#wanted;
    const since = this.behindSince;
    this.behindSince = null;
    this.#nextWalk = Date.now() + WALK_PACE_MS;
    try {
      const pages = await this.#pagesOf(wanted);
      if (this.#hasEnded) return;
      this.pages = pages;
      this.#loaded = wanted;
      this.#failures = 0;
    } catch (error) {
      // The rows stay, and their age says so until a walk succeeds. A press is repeated by a person.
      this.behindSince = since ?? this.behindSince;
      const wasPressed = this.#wanted > this.#loaded;
      this.#wanted = this.#loaded;
      this.#failures = this.behindSince === null ? 0 : this.#failures + 1;
      if (wasPressed || this.#failures === 1) say((error as Error).message);
    }
    this.#isWalking = false;
    // A change, or a press, does not wait for the end of this pause.
    if (this.#failures > 0) this.#plan(Date.now() + pauseAfter(this.#failures));
    else if (this.#wanted > this.#loaded || this.behindSince !== null) this.#plan();
    this.changed();
  }

  /**
   * The pages of now. Each begins where the page before it ends, or above, so a row that moved between them is neither lost
   * nor doubled. A new row above shifts the end of the first page: then one page is new, and the held pages go on below it.
   */
  async #pagesOf(wanted: number): Promise<Loaded<T>[]> {
    const pages: Loaded<T>[] = [];
    let rest = this.pages;
    let more = wanted - this.#loaded;
    let above = this.first;
    // Pages that lie over each other take room, and those at the end then leave.
    while (above?.next && pages.length < Math.min(MOST_PAGES, 2 * wanted) && (rest.length > 0 || more > 0)) {
      const { next, items }: Page<T> = above;
      const isNext = rest.findIndex(({ before }) => before === next);
      const at = isNext < 0 ? rest.findLastIndex(({ held }) => this.#reaches(held, items)) : isNext;
      const known = rest[at];
      const before = known?.before ?? next;
      const path = `${this.path}&before=${encodeURIComponent(before)}`;
      const held: Answer<Page<T>> = await ask(path, { held: known?.held ?? null });
      if (this.#hasEnded) break;
      if (rest.length === 0) more -= 1;
      rest = rest.slice(at + 1);
      if (before === next || this.#reaches(held, items)) {
        pages.push({ before, held });
        above = held.body;
      } else {
        // The row that both had has moved, so a row between them can be missing: a new page has their place.
        more += 1;
      }
    }
    return pages;
  }

  /** Whether a page has the last one of the rows above it, so no row is between them. */
  #reaches({ body }: Answer<Page<T>>, above: readonly T[]): boolean {
    const last = above.at(-1);
    return last !== undefined && body.items.some((row) => this.idOf(row) === this.idOf(last));
  }
}

/** `path` has a query. `first` is the first page. `sign` is another value when the list may have changed. */
export function useOlder<T>(
  path: string,
  first: Page<T> | null,
  sign: unknown,
  idOf: (row: T) => string,
): OlderRows<T> {
  const [, draw] = useState(0);
  const loaded = useRef<LoadedPages<T> | null>(null);
  if (loaded.current?.path !== path) {
    loaded.current?.end();
    loaded.current = new LoadedPages<T>(path, idOf, () => draw((count) => count + 1));
  }
  const mine = loaded.current;
  useEffect(() => mine.doubt(first), [mine, first?.next, sign]);
  useEffect(() => () => loaded.current?.end(), []);
  const isLive = useIsLive();
  useEffect(() => {
    if (isLive) mine.retry();
  }, [isLive]);
  mine.first = first;
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
