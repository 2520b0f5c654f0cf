/** The link of a page to its host: a shared worker where the browser has one, otherwise the page itself. */
import { digest } from "./continuation.js";
import type { Environment } from "./environment.js";
import { version } from "./generated/version.js";
import type { HostSettings, ToHost, ToPage } from "./host.js";

/** The way to a host. */
export interface Link {
  send(message: ToHost): void;
  close(): void;
}

/** A worker that gives no sign of life for so long is given up. */
const patience = 5_000;

/** So many workers may end before the page connects by itself. */
const mostWorkers = 3;

/** The messages that wait for a host are wishes of a person or writes, and a person makes few. */
const mostWaiting = 1_000;

/** The first message to a shared worker. The worker learns of the end of the page by the page's lock. */
export type WorkerHello = { settings: HostSettings; lock: string };
/** The answer: the worker works, or it does not. The page learns of the end of the worker by the worker's lock. */
export type WorkerAnswer = { ready: true; lock: string } | { ready: false; error: string };

/** The page at its end of a link. */
export interface LinkEvents {
  receive(message: ToPage): void;
  /** The state of the page for each new host: the messages that do not wait for one. */
  greet(): ToHost[];
  /** The host has ended. A new one is greeted. */
  lost(): void;
}

/** Opens a link. */
export function openLink(
  shares: boolean,
  settings: HostSettings,
  environment: Environment,
  engine: WebAssembly.Module | Promise<WebAssembly.Module> | undefined,
  after: Promise<unknown> | undefined,
  { receive, greet, lost }: LinkEvents,
): Link {
  const waiting: ToHost[] = [];
  let deliver: ((message: ToHost) => void) | null = null;
  let closed = false;
  let failed = false;
  let workers = 0;
  let closeWorker = () => {};
  const begin = (take: (message: ToHost) => void) => {
    deliver = take;
    for (const message of [...greet(), ...waiting.splice(0)]) {
      take(message);
    }
  };
  const alone = async () => {
    failed = false;
    try {
      // A page with a worker needs no host of its own, so a bundler can leave this code out of the first load.
      const [{ Host }, { loadEngine }] = await Promise.all([import("./host.js"), import("./load.js")]);
      const module = await (engine ?? loadEngine());
      if (!closed) {
        begin(new Host(module, settings, environment).connect(receive));
      }
    } catch (error) {
      const reason = `the engine could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
      failed = true;
      receive({ is: "status", status: { name: "closed", reason } });
    }
  };
  const share = () => {
    workers += 1;
    const worker = workers > mostWorkers ? null : openWorker(settings);
    if (!worker) {
      void alone();
      return;
    }
    const { port, release } = worker;
    const ended = new AbortController();
    closeWorker = () => {
      ended.abort();
      release();
      port.close();
    };
    const leave = (next: () => void) => {
      environment.clearTimer(timer);
      closeWorker();
      closeWorker = () => {};
      const wasOpen = deliver !== null;
      deliver = null;
      if (!closed) {
        if (wasOpen) {
          lost();
        }
        next();
      }
    };
    const giveUp = () => leave(() => void alone());
    // A worker that ends can still take the connection of a page, so the page tries another worker.
    const timer = environment.setTimer(workers > 1 ? () => leave(share) : giveUp, patience);
    worker.failed(giveUp);
    port.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => {
      environment.clearTimer(timer);
      if (!data.ready) {
        giveUp();
        return;
      }
      worker.failed(() => {});
      port.onmessage = ({ data }: MessageEvent<ToPage>) => receive(data);
      begin((message) => port.postMessage(message));
      // A browser may end a worker, and does not tell its pages.
      const watched = { mode: "shared", signal: ended.signal } as const;
      void navigator.locks.request(data.lock, watched, () => leave(share)).catch(() => {});
    };
  };
  const open = () => {
    if (!closed) {
      shares ? share() : void alone();
    }
  };
  if (after) {
    void after.then(open, open);
  } else {
    open();
  }
  return {
    send: (message) => {
      if (deliver) {
        deliver(message);
      } else if (failed && message.do === "reconnect") {
        receive({ is: "status", status: { name: "connecting" } });
        void alone();
      } else if (isWish(message) && waiting.length < mostWaiting) {
        waiting.push(message);
      }
    },
    close: () => {
      closed = true;
      closeWorker();
    },
  };
}

/** Whether a message is no state of the page, so that `greet` does not repeat it. */
function isWish(message: ToHost): boolean {
  return message.do === "refresh" || message.do === "wrote" || message.do === "reconnect";
}

interface OpenWorker {
  port: MessagePort;
  /** Releases the lock that tells the worker of the end of the page. */
  release: () => void;
  failed: (then: () => void) => void;
}

function openWorker(settings: HostSettings): OpenWorker | null {
  const { SharedWorker, navigator } = globalThis;
  // Without locks the worker would not learn that a page has ended.
  if (typeof SharedWorker !== "function" || !navigator?.locks) {
    return null;
  }
  try {
    // Pages of two versions of the package have two workers, because their messages can differ.
    // The browser shows the name of a worker, so the name does not tell the token.
    const token = settings.token === null ? null : digest(settings.token);
    const name = `requery ${version} ${JSON.stringify({ ...settings, token })}`;
    // Bundlers know this form and make a file of the worker.
    const worker = new SharedWorker(new URL("./worker.js", import.meta.url), { type: "module", name });
    const lock = `requery page ${crypto.randomUUID()}`;
    let release = () => {};
    // The page can leave before the browser grants the lock, which is then free at once.
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    void navigator.locks
      .request(lock, () => {
        worker.port.postMessage({ settings, lock } satisfies WorkerHello);
        return released;
      })
      .catch(() => {});
    worker.port.start();
    return {
      port: worker.port,
      release,
      failed: (then) => {
        worker.onerror = then;
      },
    };
  } catch {
    // A content security policy, or another origin, forbids it.
    return null;
  }
}
