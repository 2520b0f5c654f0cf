/** The events of a task as far as they are loaded: the newest page from the read model, older pages on demand. */
import { useEffect, useRef, useState } from "preact/hooks";
import { say } from "./actions";
import { ask, query } from "./ask";
import type { EventPage, TaskDetail, TimelineEvent } from "./rows";

const PAGE_ROWS = 200;
/** A larger hole between the held rows and the newest page is not filled: the older rows are loaded again on demand. */
const MOST_PAGES_OF_A_HOLE = 10;
/** A selected event is looked for in so many older pages. */
const MOST_PAGES_TO_AN_EVENT = 50;

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
  find: (event_id: string) => Promise<boolean>;
}

export function useTimelineRows(task_id: string, detail: TaskDetail | null): TimelineRows {
  const [loaded, setLoaded] = useState<Loaded>({ task_id, events: [], next: null });
  const [isLoading, setLoading] = useState(false);
  const current = useRef(loaded);
  const isBusy = useRef(false);
  const show = (next: Loaded) => {
    current.current = next;
    setLoaded(next);
  };
  const page = async (before: string): Promise<EventPage | null> => {
    const path = `/api/v1/tasks/${encodeURIComponent(task_id)}/timeline${query({ before, limit: PAGE_ROWS })}`;
    return (await ask<EventPage>(path))?.body ?? null;
  };

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
        events = merged(events, older.items);
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
        const added = older.items.filter(({ position }) => position < from).reverse();
        show({ task_id, events: [...added, ...current.current.events], next: older.next ?? null });
      }
    } catch (error) {
      say((error as Error).message);
    }
    isBusy.current = false;
    setLoading(false);
  };

  const find = async (event_id: string) => {
    const has = () => current.current.events.some((event) => event.event_id === event_id);
    for (let count = 0; count < MOST_PAGES_TO_AN_EVENT && !has() && current.current.next !== null; count++) {
      const before: string = current.current.next;
      await loadOlder();
      if (current.current.next === before) break;
    }
    return has();
  };

  const isMine = loaded.task_id === task_id;
  return { events: isMine ? loaded.events : [], hasOlder: isMine && loaded.next !== null, isLoading, loadOlder, find };
}

/** The held rows with a page of newest-first rows over them. A held row that the page should have, and has not, is deleted. */
function merged(held: readonly TimelineEvent[], page: readonly TimelineEvent[]): TimelineEvent[] {
  const from = page.at(-1)?.position;
  if (from === undefined) return [];
  const known = new Map(held.map((event) => [event.event_id, event]));
  const fresh = page.map((event) => {
    const old = known.get(event.event_id);
    return old !== undefined && old.updated_at === event.updated_at ? old : event;
  }).reverse();
  return [...held.filter(({ position }) => position < from), ...fresh];
}
