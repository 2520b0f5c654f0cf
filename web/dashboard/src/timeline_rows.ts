/** The events of a task as far as they are loaded: the newest page from the read model, older pages on demand. */
import { useEffect, useRef, useState } from "preact/hooks";
import { say } from "./actions";
import { type Answer, ask, query } from "./ask";
import { pauseAfter } from "./backoff";
import { store } from "./live";
import type { EventPage, TaskDetail, TimelineEvent } from "./rows";
import { indexOf, merged, OlderPages, PAGE_ROWS } from "./timeline_pages";

/** A larger hole between the held rows and the newest page is not filled: the older rows are loaded again on demand. */
const MOST_PAGES_OF_A_HOLE = 10;
/** All pages are loaded in steps of so many. */
const PAGES_OF_A_STEP = 10;
/** A selected event is looked for in so many older pages. */
const MOST_PAGES_TO_AN_EVENT = 50;
/** A browser draws no element that is much higher than the rows of so many events. */
const MOST_ROWS = 400_000;

/** The least time between two requests for an older page in view. */
const REVIEW_PACE_MS = 1000;

interface Loaded {
  /** By position, the oldest first. */
  events: readonly TimelineEvent[];
  /** The token of the next older page. */
  next: string | null;
}

export interface TimelineRows {
  events: readonly TimelineEvent[];
  loadOlder: () => Promise<void>;
  isLoadingAll: boolean;
  /** Loads all older pages. Returns whether the first event is there: a person can stop it. */
  loadAll: () => Promise<boolean>;
  stopLoading: () => void;
  find: (event_id: string) => Promise<boolean>;
  /** Tells which positions are in view: a page in view is requested again when the task changed. */
  view: (first: number, last: number) => void;
}

type Page = Answer<EventPage>;

/** The loaded events of one task. It loads older pages one at a time, and fills one hole at a time. */
class LoadedTimeline {
  loaded: Loaded;
  isLoadingAll = false;
  /** The event of the panel keeps its text. */
  chosen: string | null = null;
  readonly #pages = new OlderPages();
  #detail: TaskDetail | null = null;
  #takes = 0;
  #cursor: string | null = null;
  /** The cursor of the detail, and that of the last detail that was merged. */
  #detailAt: string | null = null;
  #mergedAt: string | null = null;
  #inView: readonly [number, number] = [0, 0];
  /** The load of older pages that runs now. */
  #running: Promise<void> | null = null;
  #isFilling = false;
  #isReviewing = false;
  #isStopped = false;
  #hasEnded = false;
  #timer = 0;
  #nextReview = 0;
  /** The reviews in a row with a request that failed. */
  #failures = 0;

  constructor(
    readonly task_id: string,
    detail: TaskDetail | null,
    readonly changed: () => void,
  ) {
    this.loaded = { events: merged([], detail?.timeline.items ?? []), next: detail?.timeline.next ?? null };
  }

  /** The task changed: its newest page is merged, and each older page is in doubt. */
  take(detail: TaskDetail, cursor: string | null): void {
    // The first rows come twice: from a plain read, and from the store.
    const isKnown = this.#takes++ < 2 && JSON.stringify(detail) === JSON.stringify(this.#detail);
    this.#detail = detail;
    this.#detailAt = cursor;
    if (!isKnown) {
      this.#cursor = cursor;
      this.#pages.doubt();
    }
    this.#merge(detail);
    this.#planReview();
  }

  /** The task changed, and its newest page may be the same: then the cursor of the body alone tells of it. */
  notice(cursor: string | null): void {
    if (cursor === this.#cursor) return;
    this.#cursor = cursor;
    this.#pages.doubt();
    this.#planReview();
  }

  #merge(detail: TaskDetail): void {
    // The end of a fill takes the newest page of that time.
    if (this.#isFilling) return;
    const trueAt = this.#mergedAt;
    this.#mergedAt = this.#detailAt;
    const held = this.loaded;
    const newest = detail.timeline.items;
    const next = detail.timeline.next ?? null;
    const oldest = newest.at(-1)?.position;
    const last = held.events.at(-1)?.position;
    if (oldest !== undefined && last !== undefined && oldest > last && next !== null) {
      this.#isFilling = true;
      void this.#fill(newest, next, last).then(() => {
        this.#isFilling = false;
        if (this.#detail !== null && this.#detail !== detail && !this.#hasEnded) this.#merge(this.#detail);
      });
      return;
    }
    if (oldest === undefined || next === null) {
      // The newest page has all events.
      this.#pages.clear();
      const first = indexOf(held.events, oldest ?? 0);
      this.#show({ events: merged(first === 0 ? held.events : held.events.slice(first), newest), next });
      return;
    }
    const events = merged(held.events, newest);
    this.#pages.cover(events, next, oldest, trueAt);
    const kept = this.#pages.shorten(events, this.#inView, this.chosen);
    this.#show({ events: kept, next: held.events.length === 0 ? next : held.next });
    this.#forgetOldest();
  }

  /** More rows came than the newest page has: the pages between are loaded, up to a bound. */
  async #fill(newest: readonly TimelineEvent[], token: string, last: number): Promise<void> {
    let events = merged([], newest);
    let next: string | null = token;
    const found: [string, Page][] = [];
    try {
      for (let count = 0; count < MOST_PAGES_OF_A_HOLE && next !== null && (events[0]?.position ?? 0) > last; count++) {
        const page: Page = await this.#ask(next);
        if (this.#hasEnded) return;
        found.push([next, page]);
        events = [...page.body.items.toReversed(), ...events];
        next = page.body.next ?? null;
      }
    } catch (error) {
      say((error as Error).message);
    }
    const from = events[0]?.position ?? 0;
    const isWhole = from <= last || next === null;
    // Older pages can have arrived during the fill, so the held rows of this moment count.
    const kept = isWhole ? this.loaded.events.filter(({ position }) => position < from) : [];
    if (kept.length === 0) this.#pages.clear();
    for (const [before, page] of found) this.#note(before, page);
    this.#show({ events: [...kept, ...events], next: kept.length === 0 ? next : this.loaded.next });
  }

  /** The page keeps so many rows. The oldest ones are loaded again on demand. */
  #forgetOldest(): void {
    if (this.loaded.events.length <= MOST_ROWS) return;
    const oldest = this.#pages.takeOldest();
    if (oldest === undefined) return;
    const { events } = this.loaded;
    this.#show({ events: events.slice(indexOf(events, oldest.last + 1)), next: oldest.before });
  }

  view(first: number, last: number): void {
    this.#inView = [first, last];
    this.#pages.look(first, last);
    this.#planReview();
  }

  #doubtful() {
    return this.#pages.between(...this.#inView).filter(({ isDoubtful }) => isDoubtful);
  }

  #planReview(at = this.#nextReview): void {
    clearTimeout(this.#timer);
    if (this.#hasEnded || this.#isReviewing || this.#doubtful().length === 0) return;
    this.#timer = window.setTimeout(() => void this.#review(), Math.max(0, at - Date.now()));
  }

  /** The newest page says only that the task changed. The change can be in an older page that a person reads. */
  async #review(): Promise<void> {
    this.#isReviewing = true;
    this.#nextReview = Date.now() + REVIEW_PACE_MS;
    let hasFailed = false;
    for (const page of this.#doubtful()) {
      page.isDoubtful = false;
      // A page grows while its request is under way.
      const { before, last } = page;
      try {
        const { held } = page;
        const answer = await ask(this.#pathOf(before), { held });
        if (this.#hasEnded) return;
        if (!this.#pages.has(page)) continue;
        if (page.before === before) page.held = answer;
        if (answer.body === held?.body) continue;
        page.isShort = false;
        const { items, next } = answer.body;
        // The rows below the answer are those of another page.
        const from = next === null ? page.first : Math.max(page.first, items.at(-1)?.position ?? page.first);
        const { events } = this.loaded;
        const begin = indexOf(events, from);
        const end = indexOf(events, last + 1);
        const known = new Map(events.slice(begin, end).map((event) => [event.event_id, event]));
        const fresh = items
          .filter(({ position }) => position >= from && position <= last)
          .map((event) => {
            const old = known.get(event.event_id);
            return old?.updated_at === event.updated_at ? old : event;
          });
        this.#show({
          ...this.loaded,
          events: [...events.slice(0, begin), ...fresh.toReversed(), ...events.slice(end)],
        });
      } catch (error) {
        page.isDoubtful = true;
        if (!hasFailed && this.#failures === 0) say((error as Error).message);
        hasFailed = true;
      }
    }
    this.#isReviewing = false;
    this.#failures = hasFailed ? this.#failures + 1 : 0;
    // A change, or another view, does not wait for the end of this pause.
    this.#planReview(hasFailed ? Date.now() + pauseAfter(this.#failures) : this.#nextReview);
  }

  /** Loads the next older page. While a load runs, this is that load. */
  loadOlder(): Promise<void> {
    if (this.loaded.next === null) return Promise.resolve();
    return this.#alone(() => this.#loadPages(1));
  }

  async loadAll(): Promise<boolean> {
    if (this.isLoadingAll) return false;
    this.isLoadingAll = true;
    this.#isStopped = false;
    this.changed();
    while (this.#running) await this.#running;
    await this.#alone(async () => {
      // The list is drawn once for several pages.
      while (this.#mayLoad() && !this.#isStopped) await this.#loadPages(PAGES_OF_A_STEP);
    });
    this.isLoadingAll = false;
    this.changed();
    return this.loaded.next === null;
  }

  stop(): void {
    this.#isStopped = true;
  }

  async find(event_id: string): Promise<boolean> {
    const has = () => this.loaded.events.some((event) => event.event_id === event_id);
    for (let count = 0; count < MOST_PAGES_TO_AN_EVENT && !has() && this.#mayLoad(); count++) {
      const before = this.loaded.next;
      await this.loadOlder();
      // A load that fails brings no other token.
      if (this.loaded.next === before) break;
    }
    return has();
  }

  end(): void {
    this.#hasEnded = true;
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #mayLoad(): boolean {
    if (this.loaded.next === null || this.#hasEnded) return false;
    if (this.loaded.events.length < MOST_ROWS) return true;
    say("The page has as many events as a browser can show. The search finds the older ones.");
    return false;
  }

  /** One load of older pages runs at a time. */
  #alone(load: () => Promise<void>): Promise<void> {
    this.#running ??= load()
      .catch((error: Error) => say(error.message))
      .finally(() => {
        this.#running = null;
        if (!this.#hasEnded) this.changed();
      });
    return this.#running;
  }

  async #loadPages(most: number): Promise<void> {
    const begin = this.loaded.next;
    const found: [string, Page][] = [];
    let added: TimelineEvent[] = [];
    let next = begin;
    try {
      for (let count = 0; count < most && next !== null && !(most > 1 && this.#isStopped); count++) {
        const page: Page = await this.#ask(next);
        found.push([next, page]);
        added = [...page.body.items.toReversed(), ...added];
        next = page.body.next ?? null;
      }
    } finally {
      // A fill can have replaced the rows meanwhile. The pages that came before a failure count.
      if (!this.#hasEnded && this.loaded.next === begin) {
        for (const [before, page] of found) this.#note(before, page);
        const from = this.loaded.events[0]?.position ?? Number.MAX_SAFE_INTEGER;
        const older = added.filter(({ position }) => position < from);
        const events = this.#pages.shorten([...older, ...this.loaded.events], this.#inView, this.chosen);
        this.#show({ events, next });
      }
    }
  }

  #pathOf(before: string): string {
    return `/api/v1/tasks/${encodeURIComponent(this.task_id)}/timeline${query({ before, limit: PAGE_ROWS })}`;
  }

  #ask(before: string): Promise<Page> {
    return ask(this.#pathOf(before));
  }

  #note(before: string, page: Page): void {
    const first = page.body.items.at(-1)?.position;
    const last = page.body.items[0]?.position;
    if (first !== undefined && last !== undefined) this.#pages.add(before, page, first, last);
  }

  #show(next: Loaded): void {
    if (next.events === this.loaded.events && next.next === this.loaded.next) return;
    this.loaded = next;
    this.changed();
  }
}

export function useTimelineRows(task_id: string, detail: TaskDetail | null, chosen: string | null): TimelineRows {
  const [, draw] = useState(0);
  const held = useRef<LoadedTimeline | null>(null);
  if (held.current?.task_id !== task_id) {
    held.current?.end();
    held.current = new LoadedTimeline(task_id, detail, () => draw((count) => count + 1));
  }
  const mine = held.current;
  mine.chosen = chosen;
  const watch = store.value.watch(`task:${task_id}`);
  useEffect(() => {
    // The store can have a newer body already, which is drawn next.
    const isNewest = watch.getSnapshot().data === detail;
    if (detail !== null) mine.take(detail, isNewest ? watch.cursor() : null);
  }, [mine, detail]);
  useEffect(() => {
    // An answer with an equal body wakes no screen.
    const timer = setInterval(() => mine.notice(watch.cursor()), REVIEW_PACE_MS);
    return () => clearInterval(timer);
  }, [mine, watch]);
  useEffect(() => () => held.current?.end(), []);
  return {
    events: mine.loaded.events,
    loadOlder: () => mine.loadOlder(),
    isLoadingAll: mine.isLoadingAll,
    loadAll: () => mine.loadAll(),
    stopLoading: () => mine.stop(),
    find: (event_id) => mine.find(event_id),
    view: (first, last) => mine.view(first, last),
  };
}
