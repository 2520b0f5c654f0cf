/** Runs the built package with a shared worker: two pages, one stream. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Store } from "../src/index.js";
import { FakeMachine, settle } from "./fakes.js";

type Connect = (event: { ports: MessagePort[] }) => void;

/** Locks of one name are held one after the other. */
class FakeLocks {
  readonly #last = new Map<string, Promise<unknown>>();

  request(name: string, ...rest: unknown[]): Promise<unknown> {
    const held = rest.at(-1) as (lock: object) => unknown;
    const next = (this.#last.get(name) ?? Promise.resolve()).then(() => held({}));
    this.#last.set(name, next);
    return next;
  }
}

async function wait(is: () => boolean): Promise<void> {
  for (let round = 0; round < 200 && !is(); round += 1) {
    await settle();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(is(), "not in time");
}

test("two pages share one stream, and the last one closes it", async (t) => {
  const machine = new FakeMachine();
  const workers: string[] = [];
  class FakeSharedWorker {
    readonly port: MessagePort;
    onerror: (() => void) | null = null;

    constructor(url: URL, { name }: { name: string }) {
      workers.push(name);
      assert.match(url.href, /dist\/worker\.js$/);
      const { port1, port2 } = new MessageChannel();
      this.port = port1;
      (globalThis as unknown as { onconnect: Connect }).onconnect({ ports: [port2] });
      t.after(() => port2.close());
    }
  }
  Object.defineProperty(globalThis, "navigator", { value: { locks: new FakeLocks() }, configurable: true });
  Object.assign(globalThis, { fetch: machine.fetch, SharedWorker: FakeSharedWorker, WebSocket: undefined });
  const dist = "../../dist/";
  await import(`${dist}worker.js`);
  const { createStore } = (await import(`${dist}index.js`)) as { createStore: (options: object) => Store };

  const pages = [1, 2].map(() => createStore({ url: "http://server.test", storage: null }));
  for (const page of pages) {
    page.watch("bookmarks").subscribe(() => {});
  }
  await wait(() => machine.requests.length >= 2);
  await settle();
  const requests = machine.taken();
  assert.deepEqual(requests.map((request) => request.path).sort(), ["/api/v1/bookmarks", "/api/v1/stream"]);
  assert.equal(new Set(workers).size, 1, "the same settings name the same worker");
  const stream = requests.find((request) => request.path === "/api/v1/stream");
  requests
    .find((request) => request.path === "/api/v1/bookmarks")
    ?.answer("a:5:5:", { items: [{ bookmark_id: "1", title: "one" }], next: null });
  const titles = () => pages.map((page) => page.watch("bookmarks").getSnapshot().data?.items[0]?.title);
  await wait(() => titles().every((title) => title === "one"));

  pages[0]?.close();
  await settle();
  assert.equal(stream?.aborted, false);
  pages[1]?.close();
  await wait(() => stream?.aborted === true);
});

test("where the worker cannot work, the page connects alone", async () => {
  const machine = new FakeMachine();
  class BrokenWorker {
    constructor() {
      throw new Error("forbidden by the content security policy");
    }
  }
  Object.assign(globalThis, { fetch: machine.fetch, SharedWorker: BrokenWorker });
  const { createStore } = (await import(`${"../../dist/"}index.js`)) as { createStore: (options: object) => Store };
  const page = createStore({ url: "http://server.test", storage: null });
  page.watch("bookmarks").subscribe(() => {});
  await wait(() => machine.requests.length >= 2);
  page.close();
});
