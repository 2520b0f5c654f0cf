/** The page around a store: whether it is visible and has network, and when it is left. */

/** The events of a page for its store. */
export interface PageEvents {
  visible(visible: boolean): void;
  online(online: boolean): void;
  /** The page may be discarded from now on. */
  left(): void;
}

/** The page. A test gives its own. */
export interface PageState {
  visible(): boolean;
  online(): boolean;
  /** Reports until the returned function is called. */
  listen(events: PageEvents): () => void;
}

/**
 * Whether the server at `url` is on this machine. The browser reports the state of the network, and the way to such a
 * server needs no network.
 */
export function isLoopback(url: string): boolean {
  // The parser of addresses writes each form of an IPv4 address in this way.
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname);
}

/** The page of a browser. Elsewhere it is always visible and has network. */
export function browserPage(): PageState {
  const { document, navigator } = globalThis;
  if (typeof document === "undefined" || typeof globalThis.addEventListener !== "function") {
    return { visible: () => true, online: () => true, listen: () => () => {} };
  }
  const visible = () => document.visibilityState !== "hidden";
  return {
    visible,
    online: () => navigator.onLine !== false,
    listen: (events) => {
      const ended = new AbortController();
      const options = { signal: ended.signal };
      document.addEventListener(
        "visibilitychange",
        () => {
          events.visible(visible());
          if (!visible()) {
            events.left();
          }
        },
        options,
      );
      globalThis.addEventListener("focus", () => events.visible(true), options);
      globalThis.addEventListener("online", () => events.online(true), options);
      globalThis.addEventListener("offline", () => events.online(false), options);
      globalThis.addEventListener("pagehide", () => events.left(), options);
      // A page from the back/forward cache comes back as it was left.
      globalThis.addEventListener("pageshow", (event) => event.persisted && events.visible(visible()), options);
      return () => ended.abort();
    },
  };
}
