/** The events of a task as far as they are loaded: the newest page from the read model, older pages on demand. */
import { useEffect, useRef, useState } from "preact/hooks";
import { say } from "./actions";
import { ask, query } from "./ask";
import type { EventPage, TaskDetail, TimelineEvent } from "./rows";

const PAGE_ROWS = 200;
/** A larger hole between the held rows and the newest page is not filled: the older rows are loaded again on demand. */
const MOST_PAGES_OF_A_HOLE = 10;
/** All pages are loaded in steps of so many. */
const PAGES_OF_A_STEP = 10;
/** A selected event is looked for in so many older pages. */
const MOST_PAGES_TO_AN_EVENT = 50;

/** The least time between two requests for an older page in view. */
const REVIEW_PACE_MS = 1000;

/** An older page: its request, and the positions that its answer had. */
interface OlderPage {
  before: string;
  etag: string | null;
  first: number;
  last: number;
}

interface Loaded {
  task_id: string;
  /** By position, the oldest first. */
  events: readonly TimelineEvent[];
  /** The token of the next older page. */
  next: string | null;
}

export interface TimelineRows {
  events: readonly TimelineEvent[];
  hasOlder: boolean;
  isLoading: boolean;
  loadOlder: () => Promise<void>;
  isLoadingAll: boolean;
  /** Loads all older pages. Returns whether the first event is there: a person can stop it. */
  loadAll: () => Promise<boolean>;
  stopLoading: () => void;
  find: (event_id: string) => Promise<boolean>;
  /** Tells which positions are in view: an older page in view is requested again when the task changed. */
  view: (first: number, last: number) => void;
}

export function useTimelineRows(task_id: string, detail: TaskDetail | null): TimelineRows {
  const [loaded, setLoaded] = useState<Loaded>(() => ({
    task_id,
    events: merged([], detail?.timeline.items ?? []),
    next: detail?.timeline.next ?? null,
  }));
  const [isLoading, setLoading] = useState(false);
  const [isLoadingAll, setLoadingAll] = useState(false);
  const isStopped = useRef(false);
  const current = useRef(loaded);
  const isBusy = useRef(false);
  const pages = useRef<OlderPage[]>([]);
  const inView = useRef({ first: 0, last: 0 });
  const review = useRef({ timer: 0, next: 0 });
  const show = (next: Loaded) => {
    const held = current.current;
    if (next.events === held.events && next.next === held.next && next.task_id === held.task_id) return;
    current.current = next;
    setLoaded(next);
  };
  const pathOf = (before: string) =>
    `/api/v1/tasks/${encodeURIComponent(task_id)}/timeline${query({ before, limit: PAGE_ROWS })}`;
  const page = async (before: string): Promise<EventPage | null> => {
    const answer = await ask<EventPage>(pathOf(before));
    if (answer === null) return null;
    const first = answer.body.items.at(-1)?.position;
    const last = answer.body.items[0]?.position;
    if (first !== undefined && last !== undefined) pages.current.push({ before, etag: answer.etag, first, last });
    return answer.body;
  };

  /** The newest page says only that the task changed. The change can be in an older page that a person reads. */
  const reviewOlder = async () => {
    review.current.next = Date.now() + REVIEW_PACE_MS;
    const { first, last } = inView.current;
    for (const one of pages.current.filter((older) => older.first <= last && older.last >= first)) {
      try {
        const answer = await ask<EventPage>(pathOf(one.before), { etag: one.etag });
        if (answer === null || current.current.task_id !== task_id) continue;
        one.etag = answer.etag;
        const held = current.current.events;
        const begin = indexOf(held, one.first);
        const end = indexOf(held, one.last + 1);
        const items = answer.body.items.filter(({ position }) => position >= one.first && position <= one.last);
        show({ ...current.current, events: [...held.slice(0, begin), ...items.toReversed(), ...held.slice(end)] });
      } catch (error) {
        say((error as Error).message);
      }
    }
  };
  useEffect(() => {
    if (detail === null || pages.current.length === 0) return;
    clearTimeout(review.current.timer);
    review.current.timer = window.setTimeout(() => void reviewOlder(), Math.max(0, review.current.next - Date.now()));
    return () => clearTimeout(review.current.timer);
  }, [detail, task_id]);

  useEffect(() => {
    if (detail === null) return;
    const isOther = current.current.task_id !== task_id;
    const held = isOther ? { task_id, events: [], next: null } : current.current;
    const newest = detail.timeline.items;
    const next = detail.timeline.next ?? null;
    const oldest = newest.at(-1)?.position;
    const last = held.events.at(-1)?.position;
    if (oldest === undefined || last === undefined || oldest <= last || next === null) {
      show({ task_id, events: merged(held.events, newest), next: held.events.length === 0 ? next : held.next });
      return;
    }
    void fill(held, newest, next, last);
  }, [detail, task_id]);

  /** More rows came than the newest page has: the pages between are loaded, up to a bound. */
  async function fill(held: Loaded, newest: readonly TimelineEvent[], token: string, last: number): Promise<void> {
    let events = merged([], newest);
    let next: string | null = token;
    try {
      for (let count = 0; count < MOST_PAGES_OF_A_HOLE && next !== null; count++) {
        const older: EventPage | null = await page(next);
        if (older === null || current.current.task_id !== held.task_id) return;
        events = [...older.items.toReversed(), ...events];
        next = older.next ?? null;
        if ((events[0]?.position ?? 0) <= last) {
          const from = events[0]?.position ?? 0;
          const kept = current.current.events.filter(({ position }) => position < from);
          show({ task_id: held.task_id, events: [...kept, ...events], next: kept.length === 0 ? next : held.next });
          return;
        }
      }
      show({ task_id: held.task_id, events, next });
    } catch (error) {
      say((error as Error).message);
    }
  }

  const loadOlder = async () => {
    const { next } = current.current;
    if (next === null || isBusy.current) return;
    isBusy.current = true;
    setLoading(true);
    try {
      const older = await page(next);
      if (older !== null && current.current.task_id === task_id) {
        const from = current.current.events[0]?.position ?? Number.MAX_SAFE_INTEGER;
        const added = older.items.filter(({ position }) => position < from).toReversed();
        show({ task_id, events: [...added, ...current.current.events], next: older.next ?? null });
      }
    } catch (error) {
      say((error as Error).message);
    }
    isBusy.current = false;
    setLoading(false);
  };

  const loadAll = async () => {
    if (isBusy.current || isLoadingAll) return false;
    isBusy.current = true;
    isStopped.current = false;
    setLoadingAll(true);
    try {
      while (current.current.next !== null && !isStopped.current && current.current.task_id === task_id) {
        let added: TimelineEvent[] = [];
        let next: string | null = current.current.next;
        // The list is drawn once for several pages.
        for (let count = 0; count < PAGES_OF_A_STEP && next !== null && !isStopped.current; count++) {
          const older: EventPage | null = await page(next);
          if (older === null) break;
          added = [...older.items.toReversed(), ...added];
          next = older.next ?? null;
        }
        show({ task_id, events: [...added, ...current.current.events], next });
      }
    } catch (error) {
      say((error as Error).message);
    }
    isBusy.current = false;
    setLoadingAll(false);
    return current.current.next === null;
  };
  useEffect(
    () => () => {
      isStopped.current = true;
    },
    [],
  );

  const find = async (event_id: string) => {
    const has = () => current.current.events.some((event) => event.event_id === event_id);
    for (let count = 0; count < MOST_PAGES_TO_AN_EVENT && !has() && current.current.next !== null; count++) {
      const before: string = current.current.next;
      await loadOlder();
      if (current.current.next === before) break;
    }
    return has();
  };

  const view = (first: number, last: number) => {
    inView.current = { first, last };
  };

  const isMine = loaded.task_id === task_id;
  return {
    events: isMine ? loaded.events : [],
    hasOlder: isMine && loaded.next !== null,
    isLoading,
    loadOlder,
    isLoadingAll,
    loadAll,
    stopLoading: () => {
      isStopped.current = true;
    },
    find,
    view,
  };
}

/** The held rows with a page of newest-first rows over them. A held row that the page should have, and has not, is deleted. */
function merged(held: readonly TimelineEvent[], page: readonly TimelineEvent[]): readonly TimelineEvent[] {
  const from = page.at(-1)?.position;
  if (from === undefined) return [];
  const kept = indexOf(held, from);
  const known = new Map(held.slice(kept).map((event) => [event.event_id, event]));
  const fresh = page
    .map((event) => {
      const old = known.get(event.event_id);
      return old !== undefined && old.updated_at === event.updated_at ? old : event;
    })
    .toReversed();
  // Equal rows are the same array, so the list is not drawn again.
  const isSame = fresh.length === held.length - kept && fresh.every((event, at) => event === held[kept + at]);
  return isSame ? held : [...held.slice(0, kept), ...fresh];
}

/** The index of the first event at a position or after it, by halving. */
function indexOf(events: readonly TimelineEvent[], position: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle]?.position ?? 0) < position) low = middle + 1;
    else high = middle;
  }
  return low;
}
