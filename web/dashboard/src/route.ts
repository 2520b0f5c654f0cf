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

export const screen = computed<Screen>(() => {
  const parts = path.value.split("/").filter((part) => part !== "");
  const [first, second, third] = parts;
  if (first === undefined) return { name: "now" };
  if (first === "tasks" && second === undefined) return { name: "tasks" };
  if (first === "tasks" && second !== undefined && third === undefined) return { name: "task", task_id: second };
  if (first === "bookmarks" && second === undefined) return { name: "bookmarks" };
  return { name: "absent" };
});

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
  if (!isSameScreen) arrive(0);
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

function keepScroll(): void {
  history.replaceState({ ...history.state, scroll: window.scrollY }, "");
}

/** Moves the focus to the screen, so that a screen reader reads it, and restores the scroll. */
function arrive(scroll: number): void {
  requestAnimationFrame(() => {
    const main = document.querySelector<HTMLElement>("main");
    main?.focus({ preventScroll: true });
    // Rows can arrive after the screen. A page that is still too short is scrolled when it has grown.
    let tries = 0;
    const restore = () => {
      window.scrollTo(0, scroll);
      if (window.scrollY < scroll && tries++ < 30) requestAnimationFrame(restore);
    };
    restore();
  });
}

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
    go(link.href);
  });
  window.addEventListener("popstate", (event) => {
    address.value = new URL(location.href);
    const scroll = (event.state as { scroll?: number } | null)?.scroll ?? 0;
    arrive(scroll);
  });
  window.addEventListener("pagehide", keepScroll);
}
