/** Reads that are no read model: lists with a filter, the search, projects. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Answer, ask } from "./ask";
import { pauseAfter } from "./backoff";
import { useIsLive } from "./live";

export interface Read<T> {
  data: T | null;
  error: Error | null;
  /** Since when a newer answer is due; `null` if the rows are those of the newest sign. */
  behindSince: number | null;
  /** How many answers came. Another number with equal rows says that the rows behind a page may have changed. */
  answers: number;
}

/** The least time between two requests of one plain read: at most two a second. */
const READ_PACE_MS = 500;

/** The last answers, so that a screen has its rows at once when a person comes back. */
interface Remembered {
  held: Answer<unknown>;
  trueAt: number;
}

const remembered = new Map<string, Remembered>();
const MOST_REMEMBERED = 24;

function remember(path: string, answer: Remembered): void {
  remembered.delete(path);
  remembered.set(path, answer);
  const [oldest] = remembered.keys();
  if (oldest !== undefined && remembered.size > MOST_REMEMBERED) remembered.delete(oldest);
}

/** One plain read: a path, its answer, and when it may ask again. It has one request at a time. */
class PlainRead<T> {
  read: Read<T>;
  #held: Answer<T> | null = null;
  #isAsking = false;
  /** A sign came during the request, so the answer can be older than the sign. */
  #isStale = false;
  #hasEnded = false;
  #timer = 0;
  #next = 0;
  #failures = 0;
  #partialAnswers = 0;

  constructor(
    readonly path: string | null,
    readonly isPartial: (data: T) => boolean,
    readonly changed: () => void,
  ) {
    const known = path === null ? undefined : remembered.get(path);
    // A path has answers of one type.
    this.#held = (known?.held ?? null) as Answer<T> | null;
    this.read = {
      data: this.#held?.body ?? null,
      error: null,
      behindSince: path === null ? null : (known?.trueAt ?? Date.now()),
      answers: 0,
    };
  }

  /** The rows may have changed: asks as soon as the pace allows. */
  ask(): void {
    if (this.path === null || this.#hasEnded) return;
    this.read = { ...this.read, behindSince: this.read.behindSince ?? Date.now() };
    this.#isStale = true;
    this.#askIfStale();
  }

  /** A hidden page asks only where it has no rows: a person who looks at it again gets the newest ones. */
  #askIfStale(): void {
    const isWanted = !document.hidden || this.read.data === null;
    if (this.#isStale && isWanted && !this.#isAsking) this.#wait(this.#next - Date.now());
  }

  /** A person looks at the page again. */
  look(): void {
    if (this.#failures === 0) this.#askIfStale();
  }

  /** The server can be reached again: a failed request is repeated at once. */
  retry(): void {
    if (this.#failures > 0 && !this.#isAsking) this.#wait(0);
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#hasEnded) return;
    if (ms <= 0) void this.#request(this.path ?? "");
    else this.#timer = window.setTimeout(() => void this.#request(this.path ?? ""), ms);
  }

  async #request(path: string): Promise<void> {
    this.#isAsking = true;
    this.#isStale = false;
    const began = Date.now();
    this.#next = began + READ_PACE_MS;
    try {
      const held = await ask<T>(path, { held: this.#held });
      this.#held = held;
      this.#partialAnswers = this.isPartial(held.body) ? this.#partialAnswers + 1 : 0;
      if (this.#partialAnswers > 0) {
        this.#isStale = true;
        this.#next = Date.now() + pauseAfter(this.#partialAnswers);
      }
      const answers = this.read.answers + 1;
      this.read = { data: held.body, error: null, behindSince: this.#isStale ? began : null, answers };
      remember(path, { held, trueAt: began });
      this.#failures = 0;
    } catch (error) {
      this.read = { ...this.read, error: error as Error, behindSince: this.read.behindSince ?? began };
      this.#failures += 1;
    }
    this.#isAsking = false;
    if (this.#failures > 0) this.#wait(pauseAfter(this.#failures));
    else this.#askIfStale();
    if (!this.#hasEnded) this.changed();
  }
}

/**
 * A read that is no read model. It is requested again when `sign` changes, which is the body of the read model whose
 * notices tell of its changes: a page without a change makes no request. A `path` of `null` asks for no rows. No notice tells
 * when an answer that `isPartial` has all of its rows, so it is requested again after a pause.
 */
export function useRead<T>(
  path: string | null,
  sign: unknown = null,
  isPartial: (data: T) => boolean = () => false,
): Read<T> {
  const [, draw] = useState(0);
  const held = useRef<PlainRead<T> | null>(null);
  if (held.current === null || held.current.path !== path) {
    held.current?.end();
    held.current = new PlainRead<T>(path, isPartial, () => draw((count) => count + 1));
  }
  const mine = held.current;
  useEffect(() => mine.ask(), [mine, sign]);
  useEffect(() => () => held.current?.end(), []);
  useEffect(() => {
    const look = () => mine.look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [mine]);
  const isLive = useIsLive();
  useEffect(() => {
    if (isLive) mine.retry();
  }, [isLive]);
  return mine.read;
}
