/** The clocks of the page, and the words of times. They stand still while the page is hidden. */
import { signal } from "@preact/signals";

/** The time, each second. */
export const now = signal(Date.now());
/** The time, each 15 seconds: an age of minutes is not drawn again each second. */
const slowNow = signal(now.peek());

const SLOW_MS = 15_000;

export function startClock(): void {
  const tick = () => {
    if (document.visibilityState !== "visible") return;
    now.value = Date.now();
    if (Math.abs(now.value - slowNow.value) >= SLOW_MS) slowNow.value = now.value;
  };
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
  // Whole times are rarely read, and a formatter costs milliseconds, so a time gets its title under the pointer.
  document.addEventListener("pointerover", ({ target }) => {
    const time = (target as Element | null)?.closest?.("time");
    if (time && time.title === "") time.title = fullTime(time.dateTime);
  });
}

const UNITS: readonly [string, string, number][] = [
  ["y", "year", 31_536_000],
  ["mo", "month", 2_592_000],
  ["d", "day", 86_400],
  ["h", "hour", 3600],
  ["m", "minute", 60],
  ["s", "second", 1],
];
/** Below this number of seconds an age is "now". */
const NOW_S = 5;

/** The time since `time` in one unit: its number, the letters of the unit and its word; `null` for "now". */
function since(time: string | number): [number, string, string] | null {
  const begin = typeof time === "number" ? time : Date.parse(time);
  const at = slowNow.value - begin >= 90_000 ? slowNow.value : now.value;
  const seconds = Math.floor((at - begin) / 1000);
  if (!(seconds >= NOW_S)) return null;
  const [letters, word, size] = UNITS.find(([, , size]) => seconds >= size) ?? ["s", "second", 1];
  return [Math.floor(seconds / size), letters, word];
}

/** The time since `time`: `now`, `42s`, `3m`, `2h`, `5d`, `7mo`, `2y`. */
export function age(time: string | number): string {
  const found = since(time);
  return found === null ? "now" : `${found[0]}${found[1]}`;
}

/** The same time in words, for a screen reader. */
export function ageInWords(time: string | number): string {
  const found = since(time);
  return found === null ? "just now" : `${counted(found)} ago`;
}

/** The same time in words, as the length of a state. */
export function spanInWords(time: string | number): string {
  const found = since(time);
  return found === null ? "since just now" : `for ${counted(found)}`;
}

const counted = ([count, , unit]: [number, string, string]) => `${count} ${unit}${count === 1 ? "" : "s"}`;

const two = (value: number) => String(value).padStart(2, "0");

/** The time of day: `09:41:07`. */
export function clockTime(time: string | number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

let full: Intl.DateTimeFormat | null = null;

/** The whole date and time. */
export function fullTime(time: string | number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  full ??= new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return full.format(date);
}
