/** A view is called fresh only while it is proved, and a page keeps only proved answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ToHost, ToPage } from "../src/host.js";
import { Host } from "../src/host.js";
import { createStore, type StoreOptions } from "../src/index.js";
import { isLoopback } from "../src/page.js";
import { reuse } from "../src/reuse.js";
import { engine, FakeMachine, FakePage, FakeStorage, settle } from "./fakes.js";

const task = "task:00000000-0000-7000-8000-000000000001";
const bookmarks = { items: [{ bookmark_id: "1", title: "one" }], next: null };
const saved = { bookmark_id: "2", task_id: task.slice(5), project: "p" };

function start(more: StoreOptions = {}) {
  const [machine, page, storage] = [new FakeMachine(), new FakePage(), new FakeStorage()];
  const options = { url: "http://server.test", environment: machine, page, storage, engine, ...more };
  return { machine, page, storage, options, store: createStore(options) };
}

async function live() {
  const started = start();
  const { machine, store } = started;
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  await settle();
  machine.taken()[0]?.answer("a:5:5:", bookmarks, 'W/"1"');
  await settle();
  machine.socket.watching("a:5:5:", "bookmarks");
  await machine.pass(1_000);
  return started;
}

/** A host with one page that has sent `first`, and the messages that the page received. */
function hosted(...first: ToHost[]) {
  const machine = new FakeMachine();
  const settings = { url: "http://server.test/", project: null, token: null, engine: {} };
  const host = new Host(engine, settings, machine);
  const received: ToPage[] = [];
  const send = host.connect((message) => received.push(structuredClone(message)));
  for (const message of first) {
    send(message);
  }
  return { machine, host, received, send };
}

const hello = (online: boolean): ToHost => ({ do: "hello", visible: true, online, continuation: null });

test("a browser without network reaches a server on the same machine", async () => {
  const page = new FakePage();
  page.isOnline = false;
  const { machine, store } = start({ url: "http://127.0.0.1:7373", page });
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  assert.equal(machine.sockets.length, 1);
  machine.socket.open();
  page.events?.online(false);
  machine.socket.end(1006);
  await machine.pass(1_000);
  assert.equal(machine.sockets.length, 2);
  store.close();
});

test("the hosts of the same machine are told apart from others", () => {
  for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:7373", "127.1", "127.8.9.10", "[::1]:7373"]) {
    assert.ok(isLoopback(`http://${host}/path`), host);
  }
  for (const host of ["server.test", "127.0.0.1.server.test", "localhost.test", "10.127.0.1", "[::2]"]) {
    assert.ok(!isLoopback(`http://${host}/`), host);
  }
});

test("a person who asks for a new stream is not stopped by a browser that reports no network", async () => {
  const page = new FakePage();
  page.isOnline = false;
  const { machine, store } = start({ page });
  await machine.pass(60_000);
  assert.equal(store.status.getSnapshot().name, "offline");
  assert.equal(machine.sockets.length, 0);
  store.reconnectNow();
  await settle();
  assert.equal(machine.sockets.length, 1);
  store.close();
});

test("a second page tells the host that the network is there", async () => {
  const { machine, host } = hosted(hello(false));
  await settle();
  assert.equal(machine.sockets.length, 0);
  host.connect(() => {})(hello(true));
  await settle();
  assert.equal(machine.sockets.length, 1);
});

test("the cursor of a message comes after the states that the message changed", async () => {
  const { machine, received, send } = hosted(hello(true), { do: "watch", model: "bookmarks" });
  await settle();
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  await settle();
  machine.taken()[0]?.answer("a:5:5:", bookmarks, 'W/"1"');
  await settle();
  machine.socket.watching("a:5:5:", "bookmarks");
  await machine.pass(2_000);
  received.length = 0;
  machine.socket.frame("bookmark.saved", saved, "a:6:6:");
  await settle();
  const changes = received.map((message) =>
    message.is === "updates" ? message.updates[0]?.state : message.is === "pulse" ? message.cursor : null,
  );
  assert.deepEqual(changes.slice(0, changes.indexOf("a:6:6:") + 1).filter(Boolean), ["stale", "a:6:6:"]);
  send({ do: "close" });
});

test("a page that is loaded again while the server is away keeps its answers, also the second time", async () => {
  const { machine, page, options, store } = await live();
  machine.socket.end(1006);
  await settle();
  assert.equal(store.watch("bookmarks").getSnapshot().state, "unconfirmed");
  page.events?.left();
  store.close();
  for (let load = 0; load < 2; load += 1) {
    const away = createStore({ ...options, environment: new FakeMachine() });
    away.watch("bookmarks").subscribe(() => {});
    await settle();
    assert.equal(away.watch("bookmarks").getSnapshot().data?.items[0]?.title, "one");
    away.close();
  }
  const again = new FakeMachine();
  const next = createStore({ ...options, environment: again });
  next.watch("bookmarks").subscribe(() => {});
  await settle();
  assert.match(again.socket.url, /since=a%3A5%3A5%3A/);
  again.socket.open();
  again.socket.resumed("a:7:7:");
  await settle();
  assert.equal(next.watch("bookmarks").getSnapshot().state, "fresh");
  assert.deepEqual(again.taken(), [], "the server reports no change of the bookmarks");
  next.close();
});

test("an answer whose changes the stream did not report yet is not kept", async () => {
  const { machine, page, options, store } = await live();
  store.watch(task as "task:1").subscribe(() => {});
  await settle();
  machine.taken()[0]?.answer("a:5:5:", { task: { title: "a task" } }, 'W/"t"');
  await settle();
  machine.socket.frame("bookmark.saved", saved, "a:6:6:");
  await machine.pass(2_000);
  machine.socket.frame("heartbeat", { server_time: "" }, "a:6:6:");
  machine.socket.end(1006);
  await settle();
  page.events?.left();
  store.close();
  const next = createStore({ ...options, environment: new FakeMachine() });
  assert.equal(next.watch(task as "task:1").getSnapshot().data, null);
  next.close();
});

test("an engine that could not be loaded is loaded when a person asks for a new stream", async () => {
  let loads = 0;
  const module = {
    // biome-ignore lint/suspicious/noThenProperty: a load that fails once and succeeds later.
    then: (loaded: (module: WebAssembly.Module) => void, failed: (error: Error) => void) => {
      loads += 1;
      return loads === 1 ? failed(new Error("404")) : loaded(engine);
    },
  };
  const { machine, store } = start({ engine: module as unknown as Promise<WebAssembly.Module> });
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  assert.equal(store.status.getSnapshot().name, "closed");
  store.reconnectNow();
  assert.equal(store.status.getSnapshot().name, "connecting");
  await settle();
  assert.equal(machine.sockets.length, 1);
  assert.equal(machine.taken().length, 1);
  store.close();
});

test("a field with the name __proto__ stays a field", () => {
  const [old, next] = ['{"a":1}', '{"a":1,"__proto__":{"b":2}}'].map((text) => JSON.parse(text));
  const shared = reuse(old, next);
  assert.equal(JSON.stringify(shared), JSON.stringify(next));
  assert.equal(Object.getPrototypeOf(shared), Object.prototype);
  const empty = JSON.parse('{"__proto__":{}}');
  assert.notEqual(Object.getOwnPropertyDescriptor(reuse({}, empty), "__proto__")?.value, Object.prototype);
});

test("a write to a read model that no screen shows is the floor of its first request", async () => {
  const { machine, store } = await live();
  store.wrote("a:9:9:", task as "task:1");
  await settle();
  assert.deepEqual(machine.taken(), []);
  store.watch(task as "task:1").subscribe(() => {});
  await settle();
  assert.deepEqual(
    machine.taken().map((request) => request.headers["requery-at-least"]),
    ["a:9:9:"],
  );
  store.close();
});
