/** The shared worker: the host of all pages with the same settings. */
import { machine } from "./environment.js";
import { Host } from "./host.js";
import type { WorkerAnswer, WorkerHello } from "./links.js";
import { loadEngine } from "./load.js";

let host: Promise<Host> | null = null;

(globalThis as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = ({ ports }) => {
  const port = ports[0];
  if (!port) {
    return;
  }
  port.onmessage = async ({ data }: MessageEvent<WorkerHello>) => {
    try {
      // The name of a worker holds its settings, so all its pages have the same.
      host ??= loadEngine().then((module) => new Host(module, data.settings, machine()));
      const take = (await host).connect((message) => port.postMessage(message));
      port.onmessage = ({ data }) => take(data);
      if (data.lock !== null) {
        // The lock is free once the page has ended, in whatever way.
        void navigator.locks.request(data.lock, () => take({ do: "close" }));
      }
      port.postMessage({ ready: true } satisfies WorkerAnswer);
    } catch (error) {
      host = null;
      port.postMessage({ ready: false, error: String(error) } satisfies WorkerAnswer);
    }
  };
};
