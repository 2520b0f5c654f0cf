/** The pages of a timeline: which request has which rows, and which rows are whole. */
import { covers } from "requery-client";
import type { Answer } from "./ask";
import type { EventPage, TimelineEvent } from "./rows";
import { shortened } from "./screens/event_row";

/** A page below the newest one: its request, and the positions that it stands for. */
export interface OlderPage {
  before: string;
  /** The last answer. The page stands for all of its rows, or for the first ones. */
  held: Answer<EventPage> | null;
  first: number;
  last: number;
  /** The task changed since the last answer, so the page is requested again when a person looks at it. */
  isDoubtful: boolean;
  /** The rows have lost their texts, and get them again when a person looks at them. */
  isShort: boolean;
  /** The page grows with the next rows that leave the newest page. */
  isGrowing: boolean;
  /** A greater number was in view later. */
  seen: number;
}

/** So many pages keep the texts of their rows: a whole text can have many kilobytes. */
const MOST_WHOLE_PAGES = 100;
/** Rows that left the newest page are a page of their own from this count on. A request has room for more. */
const ROWS_OF_A_GROWN_PAGE = 100;
/** The rows of an answer. */
export const PAGE_ROWS = 200;

export class OlderPages {
  /** By position, the oldest first. */
  #pages: OlderPage[] = [];
  #views = 0;

  add(before: string, held: Answer<EventPage>, first: number, last: number): void {
    const fresh = { isDoubtful: false, isShort: false, isGrowing: false, seen: ++this.#views };
    this.#put({ before, held, first, last, ...fresh });
  }

  /**
   * The rows between the pages and the newest page came with earlier newest pages, the last of which was true at `trueAt`. A
   * page stands for them too.
   */
  cover(events: readonly TimelineEvent[], before: string, oldest: number, trueAt: string | null): void {
    // A page that has others above it no longer grows: its rows would leave it for the new ones.
    const top = this.#pages.at(-1);
    const growing = top?.isGrowing ? top : undefined;
    const lower = growing ? this.#pages.at(-2) : top;
    const begin = indexOf(events, (lower?.last ?? -1) + 1);
    const count = indexOf(events, oldest) - begin;
    const first = events[begin]?.position;
    if (count <= 0 || first === undefined) return;
    const isGrowing = count < ROWS_OF_A_GROWN_PAGE;
    const added = events.slice(indexOf(events, (growing?.last ?? oldest) + 1), begin + count);
    const held = growing?.held ? grown(growing.held, added, oldest, trueAt) : null;
    const next = { before, held, first, last: oldest - 1, isDoubtful: true, isGrowing };
    // A request for the smaller page can be under way, so the page stays the same object.
    if (growing) Object.assign(growing, next);
    else this.#put({ ...next, isShort: false, seen: ++this.#views });
  }

  doubt(): void {
    for (const page of this.#pages) page.isDoubtful = true;
  }

  clear(): void {
    this.#pages = [];
  }

  /** The pages between two positions. */
  between(first: number, last: number): OlderPage[] {
    return this.#pages.filter((page) => page.first <= last && page.last >= first);
  }

  has(page: OlderPage): boolean {
    return this.#pages.includes(page);
  }

  /** Takes the oldest page away, so that its rows can be forgotten. */
  takeOldest(): OlderPage | undefined {
    return this.#pages.shift();
  }

  look(first: number, last: number): void {
    for (const page of this.between(first, last)) page.seen = ++this.#views;
  }

  /** The events, of which those that were not in view for the longest time have lost their texts. */
  shorten(events: readonly TimelineEvent[], inView: readonly [number, number], chosen: string | null) {
    const whole = this.#pages.filter(({ isShort }) => !isShort);
    if (whole.length <= MOST_WHOLE_PAGES) return events;
    const [first, last] = inView;
    const position = events.find(({ event_id }) => event_id === chosen)?.position ?? -1;
    const isWanted = (page: OlderPage) =>
      (page.first <= last && page.last >= first) || (page.first <= position && page.last >= position);
    const far = whole.sort((a, b) => a.seen - b.seen).slice(0, whole.length - MOST_WHOLE_PAGES);
    const next = [...events];
    for (const page of far.filter((one) => !isWanted(one))) {
      Object.assign(page, { isShort: true, isDoubtful: true, held: null });
      const end = indexOf(next, page.last + 1);
      for (let at = indexOf(next, page.first); at < end; at++) {
        const event = next[at];
        if (event !== undefined) next[at] = shortened(event);
      }
    }
    return next;
  }

  /** A page that has the place of others stands for them. */
  #put(page: OlderPage): void {
    const others = this.#pages.filter(({ first, last }) => first < page.first || last > page.last);
    this.#pages = [...others, page].sort((a, b) => a.first - b.first);
  }
}

/**
 * The answer to the request for the rows below `oldest`, of which the `added` ones, the oldest first, lie above the held
 * answer. They were true at `trueAt`, so the older one of the two cursors is right for both. A row that is newer than the
 * cursor does no harm: the changes since the cursor name it.
 */
function grown(
  held: Answer<EventPage>,
  added: readonly TimelineEvent[],
  oldest: number,
  trueAt: string | null,
): Answer<EventPage> | null {
  if (held.cursor === null || trueAt === null) return null;
  const cursor = covers(held.cursor, trueAt) ? trueAt : covers(trueAt, held.cursor) ? held.cursor : null;
  const kept = held.body.items.filter(({ position }) => position < oldest);
  const items = [...added.toReversed(), ...kept].slice(0, PAGE_ROWS);
  return cursor === null ? null : { cursor, etag: null, body: { ...held.body, items } };
}

/** The held rows with a page of newest-first rows over them. A held row that the page should have, and has not, is deleted. */
export function merged(held: readonly TimelineEvent[], page: readonly TimelineEvent[]): readonly TimelineEvent[] {
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
export function indexOf(events: readonly TimelineEvent[], position: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle]?.position ?? 0) < position) low = middle + 1;
    else high = middle;
  }
  return low;
}
