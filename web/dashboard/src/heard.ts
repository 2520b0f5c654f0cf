/** A person hears of a task that starts to wait: the badge in the title and on the icon, a notification, a sound. */
import { signal } from "@preact/signals";
import { kept } from "./kept";
import { go, to } from "./route";
import type { NeedsYou } from "./rows";
import { hasFailed, MOST_NEEDS, whyNeeded, withoutRoom } from "./words";

const NOTIFY = kept("requery.notify");
const SOUND = kept("requery.sound");

export const canNotify = "Notification" in window;
export const isNotifying = signal(false);
export const isSounding = signal(false);

/** Reads the choices of the person. The browser takes milliseconds for it, so it happens after the first rows. */
export function readChoices(): void {
  isNotifying.value = canNotify && NOTIFY.read() && Notification.permission === "granted";
  isSounding.value = SOUND.read();
}

const ASKED = kept("requery.asked");
/** Whether to offer notifications. The page asks once: when a task waits and the person has not chosen before. */
export const isOffered = signal(false);

export function offer(): void {
  isOffered.value = canNotify && Notification.permission === "default" && !ASKED.read();
}

export function endOffer(): void {
  isOffered.value = false;
  ASKED.write(true);
}

export async function toggleNotify(): Promise<string> {
  if (!canNotify) return "This browser has no notifications.";
  endOffer();
  if (!isNotifying.value && (await Notification.requestPermission()) !== "granted") {
    return "The browser does not allow notifications for this page. Its site settings can change that.";
  }
  isNotifying.value = !isNotifying.value;
  NOTIFY.write(isNotifying.value);
  return isNotifying.value ? "Notifications are on." : "Notifications are off.";
}

export function toggleSound(): string {
  isSounding.value = !isSounding.value;
  SOUND.write(isSounding.value);
  if (isSounding.value) beep();
  return isSounding.value ? "The sound is on." : "The sound is off.";
}

/**
 * The episodes that are known: a task that waits since a time. One episode is told once, also if it leaves the list for a
 * while, as an old failure does for which there is no room. The last heard stand last.
 */
let known: Set<string> | null = null;
/** So many are remembered: ten lists. */
const MOST_KNOWN = 10 * MOST_NEEDS;
/** The newest time of the entries that left no room in the last list, and whether only failures had none. */
let fullBefore: { newest: string; isOfFailures: boolean } | null = null;

/** The title of the tab, and its icon with a dot while a task waits. */
export function showBadge(waiting: number, title: string | null): void {
  const name = title === null ? "requery" : `${title.slice(0, LONGEST_TITLE)} · requery`;
  document.title = waiting === 0 ? name : `(${waiting}) ${name}`;
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  const file = waiting === 0 ? "/icon.svg" : "/icon-waiting.svg";
  if (icon && icon.getAttribute("href") !== file) icon.href = file;
}

const LONGEST_TITLE = 80;
/** For so long no other tab tells the same episode. */
const ONE_TAB_MS = 3000;

/** Runs `tell` in one tab alone, where the browser has locks: the first tab holds the lock for a moment. */
function inOneTab(episode: string, tell: () => void): void {
  if (!navigator.locks) {
    tell();
    return;
  }
  void navigator.locks.request(`requery heard ${episode}`, { ifAvailable: true }, (lock) => {
    if (lock === null) return undefined;
    tell();
    return new Promise((resolve) => setTimeout(resolve, ONE_TAB_MS));
  });
}

const episodeOf = ({ task_id, since }: NeedsYou): string => `${task_id} ${since}`;

export function hear(entries: readonly NeedsYou[]): void {
  const isFirst = known === null;
  const before = known ?? new Set();
  // An entry that got the room of another one is no newer than the list that had no room for it.
  const full = fullBefore;
  const isOld = (entry: NeedsYou) =>
    full !== null && entry.since <= full.newest && (!full.isOfFailures || hasFailed(entry));
  const begun = entries.filter((entry) => !before.has(episodeOf(entry)) && !isOld(entry));
  const episodes = entries.map(episodeOf);
  for (const episode of episodes) before.delete(episode);
  known = new Set([...before, ...episodes].slice(-MOST_KNOWN));
  const withNoRoom = withoutRoom(entries);
  const newest = withNoRoom
    .map(({ since }) => since)
    .sort()
    .at(-1);
  fullBefore = newest === undefined ? null : { newest, isOfFailures: withNoRoom.length < MOST_NEEDS };
  // The first answer has the tasks that waited already.
  if (isFirst) return;
  if (begun.length === 0) return;
  if (!isSounding.value && !isNotifying.value) return;
  inOneTab(begun.map(episodeOf).join(" "), () => tell(begun));
}

/** More notifications at once would hide each other. */
const MOST_AT_ONCE = 3;

function tell(begun: readonly NeedsYou[]): void {
  if (isSounding.value) beep();
  if (!isNotifying.value) return;
  for (const entry of begun.slice(0, MOST_AT_ONCE)) {
    try {
      const shown = new Notification(entry.title, {
        body: entry.detail ?? whyNeeded(entry),
        // A tag that was shown before makes no second notification, so each episode has its own.
        tag: episodeOf(entry),
      });
      shown.onclick = () => {
        window.focus();
        go(to(`/tasks/${entry.task_id}`));
      };
    } catch {
      // Some browsers allow notifications only from a service worker.
      isNotifying.value = false;
    }
  }
}

/** Another project has other tasks, and none of them began to wait just now. */
export function forgetHeard(): void {
  known = null;
  fullBefore = null;
}

function beep(): void {
  try {
    const audio = new AudioContext();
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = 660;
    volume.gain.setValueAtTime(0.08, audio.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.3);
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.3);
    tone.onended = () => void audio.close();
  } catch {
    // A browser without sound shows the badge all the same.
  }
}
