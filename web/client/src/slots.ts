/**
 * The streams of server-sent events that all pages of a browser hold at once. A browser opens six connections to a host
 * that speaks HTTP/1.1, and each stream takes one of them for as long as it lives.
 */

/** Half of the six connections: the other half is for requests. */
const mostStreams = 3;

/** The part of `LockManager` that is used. */
export interface Locks {
  request(name: string, options: { ifAvailable: true }, held: (lock: unknown) => unknown): Promise<unknown>;
}

/** Takes a free slot for a stream to `host`. Returns the function that releases the slot. Null: no slot is free. */
export async function takeSlot(locks: Locks, host: string): Promise<(() => void) | null> {
  for (let slot = 0; slot < mostStreams; slot += 1) {
    const release = await tryLock(locks, `requery stream ${slot} ${host}`);
    if (release) {
      return release;
    }
  }
  return null;
}

function tryLock(locks: Locks, name: string): Promise<(() => void) | null> {
  return new Promise((resolve) => {
    const held = (lock: unknown) => (lock ? new Promise<void>((release) => resolve(release)) : resolve(null));
    // A page that may hold no lock shares no browser tab with others, so it may hold a stream.
    locks.request(name, { ifAvailable: true }, held).catch(() => resolve(() => {}));
  });
}
