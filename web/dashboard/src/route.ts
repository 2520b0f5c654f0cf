/** The address is the state of the page: its path names the screen, its query the filters and the selected event. */
import { computed, signal } from "@preact/signals";

const address = signal(new URL(location.href));

/** The history entry has the scroll position, so that "back" restores it. */
history.scrollRestoration = "manual";

export const path = computed(() => address.value.pathname);

export type Screen =
  | { name: "now" }
  | { name: "tasks" }
  | { name: "task"; task_id: string }
  | { name: "bookmarks" }
  | { name: "absent" };

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const screen = computed<Screen>(() => {
  const parts = path.value.split("/").filter((part) => part !== "");
  const [first, second, third] = parts;
  if (first === undefined) return { name: "now" };
  if (first === "tasks" && second === undefined) return { name: "tasks" };
  if (first === "tasks" && second !== undefined && third === undefined && ID.test(second)) {
    return { name: "task", task_id: second.toLowerCase() };
  }
  if (first === "bookmarks" && second === undefined) return { name: "bookmarks" };
  return { name: "absent" };
});

/** The read model whose rows a screen shows. */
export function modelOf(shown: Screen): "overview" | "bookmarks" | `task:${string}` {
  if (shown.name === "task") return `task:${shown.task_id}`;
  return shown.name === "bookmarks" ? "bookmarks" : "overview";
}

/** The value of a parameter of the address; `null` if the address does not have it. */
export function parameter(name: string): string | null {
  return address.value.searchParams.get(name);
}

export const project = computed(() => parameter("project"));

/** The address of a screen in the chosen project. */
export function to(target: string, parameters: Record<string, string | null> = {}): string {
  const query = new URLSearchParams();
  const chosen = { project: project.value, ...parameters };
  for (const [name, value] of Object.entries(chosen)) if (value !== null) query.set(name, value);
  const text = query.toString();
  return text === "" ? target : `${target}?${text}`;
}

export function go(target: string): void {
  const next = new URL(target, location.href);
  if (next.href === address.value.href) return;
  keepScroll();
  const isSameScreen = next.pathname === address.value.pathname;
  history.pushState(null, "", next);
  address.value = next;
  if (!isSameScreen) arrive({});
}

/** Changes parameters in place: a filter that a person types makes no entry of the history for each letter. */
export function change(parameters: Record<string, string | null>): void {
  const next = new URL(address.value);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null) next.searchParams.delete(name);
    else next.searchParams.set(name, value);
  }
  if (next.href === address.value.href) return;
  history.replaceState(history.state, "", next);
  address.value = next;
}

/** The history entry of a page that scrolls by itself: a screen tells its place, and reads it when it is shown again. */
interface Entry {
  scroll?: number;
  /** The row that had the focus. */
  row?: string;
  place?: unknown;
}

const entry = (): Entry => (history.state as Entry | null) ?? {};
let ownPlace: (() => unknown) | null = null;

/** Tells the place in a list that scrolls by itself, until the returned function is called. */
export function keepPlace(read: () => unknown): () => void {
  ownPlace = read;
  return () => {
    if (ownPlace === read) ownPlace = null;
  };
}

/** The place that the shown history entry had before. */
export const keptPlace = (): unknown => entry().place ?? null;

function keepScroll(): void {
  const place = ownPlace?.();
  // A row that was clicked gets no focus back: a row with the focus would keep its list from moving.
  const focused = document.activeElement?.matches(":focus-visible") ? document.activeElement : null;
  const row = focused?.closest<HTMLElement>("[data-row]")?.dataset.row;
  const { place: before } = entry();
  history.replaceState({ scroll: window.scrollY, row, place: place === undefined ? before : place }, "");
}

/** A page that is not long enough after this time stays where it is: a person may have begun to read. */
const RESTORE_MS = 3000;

/** Ends with the first input by which a person can scroll, or by hand. */
function untilPersonScrolls(): AbortController {
  const person = new AbortController();
  const options = { signal: person.signal, capture: true, passive: true };
  for (const input of ["wheel", "touchmove", "pointerdown", "keydown"])
    window.addEventListener(input, () => person.abort(), options);
  return person;
}

/**
 * Scrolls as soon as the page is long enough, and gives the row its focus back as soon as it is there: rows can arrive
 * after the screen. A scroll and a focus that a person has moved stay.
 */
function restore({ scroll = 0, row }: Entry, person = untilPersonScrolls()): void {
  const end = performance.now() + RESTORE_MS;
  const begun = document.activeElement;
  let hasScrolled = false;
  let isFocused = row === undefined;
  const next = () => {
    if (person.signal.aborted) hasScrolled = true;
    if (!hasScrolled && document.documentElement.scrollHeight - innerHeight >= scroll) {
      hasScrolled = true;
      window.scrollTo(0, scroll);
    }
    if (!isFocused && document.activeElement !== begun) isFocused = true;
    const found = isFocused ? null : document.querySelector<HTMLElement>(`[data-row="${CSS.escape(row ?? "")}"]`);
    if (found) {
      isFocused = true;
      found.focus({ preventScroll: true });
    }
    if (!(hasScrolled && isFocused) && performance.now() < end) requestAnimationFrame(next);
    else person.abort();
  };
  requestAnimationFrame(next);
}

/** Moves the focus to the screen, so that a screen reader reads it, and restores the scroll. A focus in it stays. */
function arrive(at: Entry): void {
  const person = untilPersonScrolls();
  requestAnimationFrame(() => {
    const main = document.querySelector<HTMLElement>("main");
    if (!main?.contains(document.activeElement)) main?.focus({ preventScroll: true });
    restore(at, person);
  });
}

/** The pause after scrolling in which no position is written: browsers allow few changes of the history. */
const SCROLL_PAUSE_MS = 250;

/** Turns clicks on links of this page into steps of the history. Other clicks stay with the browser. */
export function followLinks(): void {
  document.addEventListener("click", (click) => {
    if (
      click.defaultPrevented ||
      click.button !== 0 ||
      click.metaKey ||
      click.ctrlKey ||
      click.shiftKey ||
      click.altKey
    )
      return;
    const link = (click.target as Element | null)?.closest?.("a");
    if (link?.target !== "" || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (link.pathname.startsWith("/docs") || link.pathname.startsWith("/openapi")) return;
    click.preventDefault();
    // A link within the page moves the focus, and is no step of the history.
    if (link.getAttribute("href")?.startsWith("#")) document.getElementById(link.hash.slice(1))?.focus();
    else go(link.href);
  });
  window.addEventListener("popstate", (event) => {
    const isSameScreen = location.pathname === address.value.pathname;
    address.value = new URL(location.href);
    if (!isSameScreen) arrive((event.state as Entry | null) ?? {});
  });
  // "Back" tells its new entry only, so the place of the old one is written before, after each scroll.
  let timer = 0;
  const scrolled = () => {
    clearTimeout(timer);
    timer = window.setTimeout(keepScroll, SCROLL_PAUSE_MS);
  };
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
  window.addEventListener("pagehide", keepScroll);
  const { scroll = 0 } = entry();
  if (scroll > 0) restore({ scroll });
}
