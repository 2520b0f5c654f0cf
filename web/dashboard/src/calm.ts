/**
 * Calm lists: no row moves under the pointer or under the keyboard focus.
 *
 * While the pointer or the focus is on a row, each list of the screen keeps its rows and their order. Values change in
 * place. Rows that came or moved are counted, and a key shows them.
 */
import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

const isPointed = signal(false);
const isFocused = signal(false);
export const isHeld = computed(() => isPointed.value || isFocused.value);

/** A person can ask for the newest order while the pointer stays. Each request is a new number. */
const released = signal(0);
const waiting = signal<ReadonlyMap<object, number>>(new Map());

/** The number of rows that wait to be shown. */
export const newer = computed(() => [...waiting.value.values()].reduce((sum, count) => sum + count, 0));

export function showNewer(): void {
  released.value += 1;
}

export function watchHands(): void {
  const isRow = (target: EventTarget | null) => target instanceof Element && target.closest("[data-row]") !== null;
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "touch") isPointed.value = isRow(event.target);
  });
  document.documentElement.addEventListener("pointerleave", () => {
    isPointed.value = false;
  });
  document.addEventListener("focusin", (event) => {
    isFocused.value = isRow(event.target);
  });
  document.addEventListener("focusout", (event) => {
    isFocused.value = isRow(event.relatedTarget);
  });
}

export interface CalmRow<T> {
  id: string;
  row: T;
  /** The row is no longer in the list, but still in its place. */
  isLeft: boolean;
}

/** The rows in the order that a person may see now. `scope` names the list; another scope begins anew. */
export function useCalm<T>(rows: readonly T[], idOf: (row: T) => string, scope: unknown = null): CalmRow<T>[] {
  const held = useRef<{ rows: CalmRow<T>[]; scope: unknown; released: number } | null>(null);
  const owner = useRef({});
  const newest = rows.map((row) => ({ id: idOf(row), row, isLeft: false }));
  const request = released.value;
  const before = held.current;
  // An empty list is kept too: its first row would push the lists below it.
  const isKept = isHeld.value && before !== null && before.scope === scope && before.released === request;
  let shown = newest;
  let count = 0;
  if (isKept) {
    const byId = new Map(newest.map((one) => [one.id, one]));
    shown = before.rows.map((old) => byId.get(old.id) ?? { ...old, isLeft: true });
    const places = new Map(shown.filter((one) => !one.isLeft).map((one, at) => [one.id, at]));
    const kept = newest.filter((one) => places.has(one.id));
    count = newest.length - kept.length + kept.filter((one, at) => places.get(one.id) !== at).length;
  }
  held.current = { rows: shown, scope, released: request };
  useEffect(() => {
    if ((waiting.peek().get(owner.current) ?? 0) === count) return;
    waiting.value = new Map(waiting.peek()).set(owner.current, count);
  }, [count]);
  useEffect(() => {
    const mine = owner.current;
    return () => {
      const rest = new Map(waiting.peek());
      rest.delete(mine);
      waiting.value = rest;
    };
  }, []);
  return shown;
}

const FLASH_PACE_MS = 1000;

/** Marks an element for a moment when `value` changes, at most once a second, and never without wanted motion. */
export function useFlash<E extends HTMLElement>(value: unknown) {
  const element = useRef<E>(null);
  const last = useRef({ value, at: 0 });
  useEffect(() => {
    if (last.current.value === value) return;
    const at = performance.now();
    const isSoon = at - last.current.at < FLASH_PACE_MS;
    last.current = { value, at: isSoon ? last.current.at : at };
    if (isSoon || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    element.current?.animate([{ opacity: 0.35 }, { opacity: 1 }], { duration: 180, easing: "ease-out" });
  }, [value]);
  return element;
}
