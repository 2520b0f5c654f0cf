/** The one clock of the page, and the words of times. It stands still while the page is hidden. */
import { signal } from "@preact/signals";

export const now = signal(Date.now());

export function startClock(): void {
  const tick = () => {
    if (document.visibilityState === "visible") now.value = Date.now();
  };
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
}

/** The time since `time` in one unit: `now`, `42s`, `3m`, `2h`, `5d`. */
export function age(time: string | number, at: number = now.value): string {
  const seconds = Math.floor((at - (typeof time === "number" ? time : Date.parse(time))) / 1000);
  if (!(seconds >= 5)) return "now";
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** The same time in words, for a screen reader. */
export function ageInWords(time: string | number): string {
  const short = age(time);
  if (short === "now") return "just now";
  const unit = { s: "second", m: "minute", h: "hour", d: "day" }[short.slice(-1)] ?? "";
  const count = short.slice(0, -1);
  return `${count} ${unit}${count === "1" ? "" : "s"} ago`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const clockTime = (time: string | number): string => written(CLOCK, time);
export const fullTime = (time: string | number): string => written(FULL, time);

function written(format: Intl.DateTimeFormat, time: string | number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : format.format(date);
}
