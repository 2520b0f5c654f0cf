/** The link of a page to its host: a shared worker where the browser has one, otherwise the page itself. */
import type { Environment } from "./environment.js";
import type { HostSettings, ToHost, ToPage } from "./host.js";

/** The way to a host. */
export interface Link {
  send(message: ToHost): void;
  close(): void;
}

/** A worker that gives no sign of life for so long is given up. */
const patience = 3_000;

/** The first message to a shared worker, and its answer. */
export type WorkerHello = { settings: HostSettings; lock: string | null };
/** The answer: it works, or it does not. */
export type WorkerAnswer = { ready: true } | { ready: false; error: string };

/** Opens a link. Messages that are sent before the host is there wait for it. */
export function openLink(
  shares: boolean,
  settings: HostSettings,
  environment: Environment,
  engine: WebAssembly.Module | Promise<WebAssembly.Module> | undefined,
  receive: (message: ToPage) => void,
): Link {
  const waiting: ToHost[] = [];
  let deliver: ((message: ToHost) => void) | null = null;
  let closed = false;
  let closeWorker = () => {};
  const begin = (take: (message: ToHost) => void) => {
    deliver = take;
    for (const message of waiting.splice(0)) {
      take(message);
    }
  };
  const alone = async () => {
    try {
      // A page with a worker needs no host of its own, so a bundler can leave this code out of the first load.
      const [{ Host }, { loadEngine }] = await Promise.all([import("./host.js"), import("./load.js")]);
      const module = await (engine ?? loadEngine());
      if (!closed) {
        begin(new Host(module, settings, environment).connect(receive));
      }
    } catch (error) {
      const reason = `the engine could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
      receive({ is: "status", status: { name: "closed", reason } });
    }
  };
  const worker = shares ? openWorker(settings) : null;
  if (worker) {
    const { port, release } = worker;
    closeWorker = () => {
      release();
      port.close();
    };
    const giveUp = () => {
      environment.clearTimer(timer);
      closeWorker();
      closeWorker = () => {};
      if (!closed) {
        void alone();
      }
    };
    const timer = environment.setTimer(giveUp, patience);
    worker.failed(giveUp);
    port.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => {
      environment.clearTimer(timer);
      if (!data.ready) {
        giveUp();
        return;
      }
      port.onmessage = ({ data }: MessageEvent<ToPage>) => receive(data);
      begin((message) => port.postMessage(message));
    };
  } else {
    void alone();
  }
  return {
    send: (message) => (deliver ? deliver(message) : waiting.push(message)),
    close: () => {
      closed = true;
      closeWorker();
    },
  };
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
    const name = `requery ${JSON.stringify(settings)}`;
    // Bundlers know this form and make a file of the worker.
    const worker = new SharedWorker(new URL("./worker.js", import.meta.url), { type: "module", name });
    const lock = `requery page ${crypto.randomUUID()}`;
    let release = () => {};
    void navigator.locks
      .request(lock, () => {
        worker.port.postMessage({ settings, lock } satisfies WorkerHello);
        return new Promise<void>((resolve) => {
          release = resolve;
        });
      })
      .catch(() => {});
    worker.port.start();
    return {
      port: worker.port,
      release: () => release(),
      failed: (then) => {
        worker.onerror = then;
      },
    };
  } catch {
    // A content security policy, or another origin, forbids it.
    return null;
  }
}
