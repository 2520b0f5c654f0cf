/** A value that screens follow. */

/** A value that changes. `subscribe` calls at once and after each change, as Svelte's stores do. */
export interface Subscribable<T> {
  /** Returns the function that ends the subscription. */
  subscribe(changed: (value: T) => void): () => void;
  /** The value now. It has a new identity only if it changed, as React's `useSyncExternalStore` demands. */
  getSnapshot(): T;
}

/** A value with subscribers. An equal value wakes none of them. */
export class Value<T> implements Subscribable<T> {
  readonly #listeners = new Set<(value: T) => void>();
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  readonly subscribe = (changed: (value: T) => void): (() => void) => {
    const listener = (value: T) => changed(value);
    this.#listeners.add(listener);
    listener(this.#value);
    return () => this.#listeners.delete(listener);
  };

  readonly getSnapshot = (): T => this.#value;

  get isFollowed(): boolean {
    return this.#listeners.size > 0;
  }

  /** Takes a new value, which is JSON. */
  set(value: T): void {
    if (JSON.stringify(value) !== JSON.stringify(this.#value)) {
      this.#value = value;
      notify(this.#listeners, value);
    }
  }
}

/** Calls each listener. One that fails keeps no other from being called, and its error is reported as uncaught. */
export function notify<T>(listeners: Iterable<(value: T) => void>, value: T): void {
  for (const listener of [...listeners]) {
    try {
      listener(value);
    } catch (error) {
      if (typeof reportError === "function") {
        reportError(error);
      } else {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
