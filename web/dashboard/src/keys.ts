/** Every action has a key. A screen adds its keys while it is shown; the help lists all that hold now. */
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { kept } from "./kept";

export interface Key {
  /** The value of `KeyboardEvent.key`. */
  key: string;
  /** The words of the help. */
  does: string;
  /** The part of the help in which the key stands. */
  group: string;
  run: () => void;
}

export const keys = signal<readonly Key[]>([]);

export function useKeys(added: readonly Key[]): void {
  const current = useRef(added);
  current.current = added;
  const names = added.map(({ key, does }) => `${key} ${does}`).join("\n");
  // A key acts as soon as its screen is drawn, and not a frame later.
  useLayoutEffect(() => {
    const mine = current.current.map((one, at) => ({ ...one, run: () => current.current[at]?.run() }));
    keys.value = [...keys.peek(), ...mine];
    return () => {
      keys.value = keys.peek().filter((one) => !mine.includes(one as (typeof mine)[number]));
    };
  }, [names]);
}

const LETTERS = kept("requery.keys", true);

/** Keys of one character act. Speech input and unsteady hands press such keys without intent, so a person can end it. */
export const hasLetterKeys = signal(true);

function showLetterKeys(value: boolean): void {
  hasLetterKeys.value = value;
  document.documentElement.classList.toggle("no-letter-keys", !value);
}

let isChoiceRead = false;

/** Reads the choice of the person: after the first rows, because the storage of a browser is slow, or at the first key. */
export function readLetterKeys(): void {
  if (isChoiceRead) return;
  isChoiceRead = true;
  showLetterKeys(LETTERS.read());
}

export function toggleLetterKeys(): string {
  showLetterKeys(!hasLetterKeys.value);
  LETTERS.write(hasLetterKeys.value);
  return hasLetterKeys.value ? "Keys of one character act." : "Keys of one character do not act.";
}

/** The keys that a focused control needs for itself. */
const KEYS_OF_CONTROLS = ["Enter", " "];

export function listenToKeys(): void {
  document.addEventListener("keydown", (pressed) => {
    if (pressed.defaultPrevented || pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.isComposing) return;
    const target = pressed.target as HTMLElement;
    if (target.closest("input, textarea, select, [contenteditable]") !== null) {
      if (pressed.key === "Escape") target.blur();
      return;
    }
    if (document.querySelector("dialog[open]") !== null) return;
    if (KEYS_OF_CONTROLS.includes(pressed.key) && target.closest("a, button, summary") !== null) return;
    readLetterKeys();
    if (pressed.key.length === 1 && !hasLetterKeys.value) return;
    const found = keys.value.findLast(({ key }) => key === pressed.key);
    if (!found) return;
    pressed.preventDefault();
    found.run();
  });
}

/** Moves the focus to the next or the previous row of the screen; without a focused row, to the first one in view. */
export function step(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")].filter(
    (row) => row.checkVisibility?.() ?? true,
  );
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = at === -1 ? firstInView(rows, by) : rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

/** The bar covers the first pixels of the window. */
const BAR_PX = 44;

function firstInView(rows: readonly HTMLElement[], by: 1 | -1): HTMLElement | undefined {
  const isInView = (row: HTMLElement) => {
    const { top, bottom } = row.getBoundingClientRect();
    const list = row.closest(".virtual")?.getBoundingClientRect();
    return top >= Math.max(BAR_PX, list?.top ?? 0) && bottom <= Math.min(innerHeight, list?.bottom ?? innerHeight);
  };
  return (by === 1 ? rows.find(isInView) : rows.findLast(isInView)) ?? (by === 1 ? rows[0] : rows.at(-1));
}
