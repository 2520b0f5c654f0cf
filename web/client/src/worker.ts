/** The shared worker: the host of all pages with the same settings. */
import { machine } from "./environment.js";
import { Host } from "./host.js";
import type { WorkerAnswer, WorkerHello } from "./links.js";
import { loadEngine } from "./load.js";

let host: Promise<Host> | null = null;
/** The settings of the host, as a text. */
let hostSettings: string | null = null;

/** The worker holds its lock as long as it lives. */
const lock = `requery worker ${crypto.randomUUID()}`;
const locked = new Promise<void>((resolve) => {
  void navigator.locks.request(lock, () => {
    resolve();
    return new Promise(() => {});
  });
});

(globalThis as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = ({ ports }) => {
  const port = ports[0];
  if (!port) {
    return;
  }
  port.onmessage = async ({ data }: MessageEvent<WorkerHello>) => {
    try {
      await locked;
      const settings = JSON.stringify(data.settings);
      hostSettings ??= settings;
      if (settings !== hostSettings) {
        // The name of a worker holds a digest of the token, and two tokens can have the same digest.
        port.postMessage({ ready: false, error: "the worker has another token" } satisfies WorkerAnswer);
        return;
      }
      host ??= loadEngine().then((module) => new Host(module, data.settings, machine()));
      const take = (await host).connect((message) => port.postMessage(message));
      port.onmessage = ({ data }) => take(data);
      // The lock is free once the page has ended, in whichever way.
      void navigator.locks.request(data.lock, () => take({ do: "gone" }));
      port.postMessage({ ready: true, lock } satisfies WorkerAnswer);
    } catch (error) {
      host = null;
      hostSettings = null;
      port.postMessage({ ready: false, error: String(error) } satisfies WorkerAnswer);
    }
  };
};
