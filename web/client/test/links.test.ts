/** A page and its shared worker, which end at any time. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Host, type ToHost, type ToPage } from "../src/host.js";
import { createStore } from "../src/index.js";
import type { WorkerAnswer, WorkerHello } from "../src/links.js";
import { engine, FakeMachine, FakePage, FakeStorage, settle } from "./fakes.js";

/** Locks of one name are held one after the other. */
class FakeLocks {
  readonly #last = new Map<string, Promise<unknown>>();
  /** The locks wait for this. */
  granted: Promise<void> = Promise.resolve();

  request(name: string, ...rest: unknown[]): Promise<unknown> {
    const held = rest.at(-1) as (lock: object) => unknown;
    const before = this.#last.get(name) ?? this.granted;
    const next = before.then(() => held({}));
    this.#last.set(name, next);
    return next;
  }

  /** Whether every lock whose name begins so is free. */
  async areFree(prefix: string): Promise<boolean> {
    const held = [...this.#last].filter(([name]) => name.startsWith(prefix)).map(([, end]) => end.then(() => true));
    await settle();
    return Promise.race([
      Promise.all(held).then(() => true),
      Promise.resolve()
        .then(settle)
        .then(() => false),
    ]);
  }
}

/** A browser with shared workers, each with a host of its own and the machine of the test. */
function browser(t: TestContext) {
  const machine = new FakeMachine();
  const locks = new FakeLocks();
  const workers: { name: string; hello: ToHost | null; end: () => void; begin: () => void }[] = [];
  const hooks = { sent: (_: ToPage) => {}, areSilent: false };
  class Worker {
    readonly port: MessagePort;
    onerror: (() => void) | null = null;

    constructor(_: URL, { name }: { name: string }) {
      const { port1, port2 } = new MessageChannel();
      this.port = port1;
      const lock = `worker ${workers.length}`;
      const worker = { name, hello: null as ToHost | null, end: () => {}, begin: () => {} };
      void locks.request(lock, () => {
        return new Promise<void>((resolve) => {
          worker.end = () => {
            port2.close();
            resolve();
          };
        });
      });
      workers.push(worker);
      t.after(() => port2.close());
      port2.onmessage = ({ data }: MessageEvent<WorkerHello>) => {
        const take = new Host(engine, data.settings, machine).connect((message) => {
          port2.postMessage(message);
          hooks.sent(message);
        });
        port2.onmessage = ({ data }: MessageEvent<ToHost>) => {
          worker.hello ??= data;
          take(data);
        };
        worker.begin = () => port2.postMessage({ ready: true, lock } satisfies WorkerAnswer);
        if (!hooks.areSilent) {
          worker.begin();
        }
      };
    }
  }
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  Object.assign(globalThis, { SharedWorker: Worker });
  const [page, storage] = [new FakePage(), new FakeStorage()];
  const options = { url: "http://server.test", page, storage };
  return { machine, locks, workers, hooks, page, storage, options };
}

async function until(is: () => boolean): Promise<void> {
  for (let round = 0; round < 400 && !is(); round += 1) {
    await settle();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(is(), "not in time");
}

async function live(t: TestContext) {
  const started = browser(t);
  const { machine, options } = started;
  const store = createStore(options);
  t.after(() => store.close());
  const leave = store.watch("bookmarks").subscribe(() => {});
  const view = () => store.watch("bookmarks").getSnapshot();
  await until(() => machine.sockets.length === 1 && machine.requests.length === 1);
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  machine.taken()[0]?.answer("a:5:5:", { items: [{ bookmark_id: "1", title: "one" }], next: null }, 'W/"1"');
  await until(() => machine.socket.sent.length === 1 && view().data !== null);
  machine.socket.watching("a:5:5:", "bookmarks");
  await until(() => view().state === "fresh" && store.status.getSnapshot().name === "live");
  return { ...started, store, leave, view };
}

test("a page whose worker has ended does not call its connection live or its views fresh", async (t) => {
  const { machine, workers, hooks, page, storage, store, view } = await live(t);
  const { data } = view();
  machine.time += 2_000;
  machine.socket.frame("heartbeat", { server_time: "" }, "a:6:6:");
  await settle();
  hooks.areSilent = true;
  workers[0]?.end();
  await until(() => workers.length === 2);
  await settle();
  assert.equal(store.status.getSnapshot().name, "connecting");
  assert.deepEqual(view(), { data, state: "unconfirmed", error: null });
  page.events?.left();
  assert.match([...storage.items.values()].join(), /"cursor":"a:6:6:","kept":\[\{"model":"bookmarks"/);

  workers[1]?.begin();
  await until(() => workers[1]?.hello != null);
  const hello = workers[1]?.hello;
  assert.ok(hello?.do === "hello");
  assert.equal(hello.continuation?.cursor, "a:6:6:");
  assert.deepEqual(
    hello.continuation?.kept.map(({ model, cursor }) => [model, cursor]),
    [["bookmarks", "a:5:5:"]],
  );
});

test("an update in transit makes no view fresh that its page has left", async (t) => {
  const { machine, hooks, page, storage, store, leave, view } = await live(t);
  machine.time += 2_000;
  machine.socket.frame("bookmark.saved", { bookmark_id: "2", task_id: "t", project: "p" }, "a:6:6:");
  await until(() => view().state === "stale");
  await machine.pass(1_000);
  let left = false;
  hooks.sent = (message) => {
    if (message.is === "updates" && message.updates.some(({ state }) => state === "fresh")) {
      left = true;
      leave();
    }
  };
  machine.taken()[0]?.answer("a:6:6:", { items: [], next: null }, 'W/"2"');
  await until(() => left && view().data?.items.length === 0);
  assert.equal(view().state, "unconfirmed");
  machine.time += 2_000;
  machine.socket.frame("heartbeat", { server_time: "" }, "a:9:9:");
  await machine.pass(100);
  await settle();
  page.events?.left();
  assert.doesNotMatch([...storage.items.values()].join(), /"cursor":"a:6:6:"/);
  store.close();
});

test("an update in transit makes no view fresh in a page that rests", async (t) => {
  const { machine, hooks, store, view } = await live(t);
  machine.time += 2_000;
  machine.socket.frame("bookmark.saved", { bookmark_id: "2", task_id: "t", project: "p" }, "a:6:6:");
  await until(() => view().state === "stale");
  await machine.pass(1_000);
  hooks.sent = (message) => {
    if (message.is === "updates" && message.updates.some(({ state }) => state === "fresh")) {
      store.pause();
    }
  };
  machine.taken()[0]?.answer("a:6:6:", { items: [], next: null }, 'W/"2"');
  await until(() => view().data?.items.length === 0);
  assert.equal(view().state, "unconfirmed");
});

test("a page that ends before its lock is granted holds no lock", async (t) => {
  const { locks, options } = browser(t);
  let grant = () => {};
  locks.granted = new Promise((resolve) => {
    grant = resolve;
  });
  const store = createStore(options);
  store.close();
  grant();
  assert.ok(await locks.areFree("requery page"));
});

test("the name of the worker does not tell the token, and differs for another token", (t) => {
  const { workers, options } = browser(t);
  for (const token of ["secret", "other"]) {
    createStore({ ...options, token }).close();
  }
  const names = workers.map(({ name }) => name);
  assert.equal(new Set(names).size, 2);
  assert.doesNotMatch(names.join(), /secret|other/);
});
