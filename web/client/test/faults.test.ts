/** Faults of the page, the server and the machine, one at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clock } from "../src/environment.js";
import { createStore, type StoreOptions } from "../src/index.js";
import { engine, FakeMachine, FakePage, FakeStorage, json, settle } from "./fakes.js";

const task = "00000000-0000-7000-8000-000000000001";
const id = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;

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
  machine.taken()[0]?.answer("a:5:5:", { items: [], next: null }, 'W/"1"');
  await settle();
  machine.socket.watching("a:5:5:", "bookmarks");
  await machine.pass(1_000);
  return started;
}

test("the clock counts a sleep of the machine, and never goes back", () => {
  let [steady, wall] = [1_000_000, 1_000_000];
  const now = clock(
    () => steady,
    () => wall,
  );
  assert.equal(now(), 1_000_000);
  steady += 500;
  wall += 1_900;
  assert.equal(now(), 1_000_500, "a drift is no sleep");
  wall += 3_600_000;
  assert.equal(now(), 4_601_900, "an hour of sleep");
  wall -= 7_200_000;
  steady += 10;
  assert.equal(now(), 4_601_910, "a wall clock that is set back has no effect");
});

test("after a sleep the silent connection is replaced, and the page requests only what changed", async () => {
  const { machine, store } = await live();
  machine.sleep(8 * 3_600_000);
  assert.ok((store.watch("bookmarks").age() ?? 0) >= 8 * 3_600_000);
  await machine.pass(10_000);
  await machine.pass(1_000);
  assert.equal(machine.sockets.length, 2);
  assert.match(machine.socket.url, /since=a%3A5%3A5%3A/);
  store.close();
});

test("a screen that fails keeps no other screen from its changes, and stops no fetch", async () => {
  const { machine, store } = await live();
  const reported: unknown[] = [];
  Object.assign(globalThis, { reportError: (error: unknown) => reported.push(error) });
  let isBroken = false;
  const states: string[] = [];
  store.watch("bookmarks").subscribe(() => {
    if (isBroken) {
      throw new Error("a screen");
    }
  });
  store.watch("bookmarks").subscribe(({ state }) => states.push(state));
  isBroken = true;
  for (const cursor of ["a:6:6:", "a:7:7:"]) {
    machine.socket.frame("bookmark.saved", { bookmark_id: "1", task_id: task, project: "p" }, cursor);
    await machine.pass(500);
    machine.taken()[0]?.answer(cursor, { items: [{ bookmark_id: cursor }], next: null });
    await settle();
  }
  assert.deepEqual(states, ["fresh", "stale", "fresh", "stale", "fresh"]);
  assert.equal(reported.length, 4);
  Object.assign(globalThis, { reportError: undefined });
  store.close();
});

test("a status that is equal wakes no subscriber", async () => {
  const { machine, store } = await live();
  let calls = 0;
  store.status.subscribe(() => {
    calls += 1;
  });
  for (let beat = 0; beat < 20; beat += 1) {
    machine.socket.frame("heartbeat", { server_time: "" }, "a:5:5:");
    await machine.pass(1_000);
  }
  assert.equal(calls, 1);
  store.close();
});

test("a server of another major version is said, with the step against it", async () => {
  const { machine, store } = start();
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  machine.socket.open();
  machine.socket.frame("resumed", { heartbeat_ms: 25_000, version: "2.0", known: true, stale: [] }, "a:5:5:");
  await machine.pass(60_000);
  const status = store.status.getSnapshot();
  assert.deepEqual(
    status.name === "closed" && status.reason,
    "the server speaks version 2.0 of the contract and this page version 1: load the page again, and update the older of the two",
  );
  assert.equal(machine.sockets.length, 1);
  assert.ok(machine.socket.closed);
  store.close();
});

test("a stream that is refused, busy or no stream is told apart", async () => {
  const html = { "content-type": "text/html" };
  const cases: [Response, string, RegExp][] = [
    [json(401, { detail: "no token" }), "closed", /answered 401: no token; log in again/],
    [json(429, {}, { "retry-after": "3" }), "busy", /answered 429/],
    [new Response("<html>", { headers: html }), "ended", /not a stream of events, so it is not from a requery server/],
  ];
  for (const [response, name, text] of cases) {
    const { machine, store } = start({ token: "secret" });
    await settle();
    machine.taken()[0]?.respond(response);
    await settle();
    const status = store.status.getSnapshot();
    assert.equal(status.name === "reconnecting" ? status.reason : status.name, name);
    assert.match((status.name === "closed" ? status.reason : status.text) ?? "", text);
    store.close();
  }
});

test("without a free slot for server-sent events the page polls", async () => {
  const machine = new FakeMachine();
  const { store } = start({ environment: { ...machine, takeSlot: () => Promise.resolve(null) }, token: "secret" });
  store.watch("bookmarks").subscribe(() => {});
  for (let second = 0; second < 60 && store.status.getSnapshot().name !== "polling"; second += 1) {
    await machine.pass(1_000);
    for (const request of machine.taken()) {
      assert.equal(request.path, "/api/v1/bookmarks");
      request.answer("a:5:5:", { items: [], next: null });
    }
  }
  assert.equal(store.status.getSnapshot().name, "polling");
  store.close();
});

test("a browser that forbids a WebSocket is no fault of the page", async () => {
  const machine = new FakeMachine();
  class Forbidden {
    constructor() {
      throw new DOMException("insecure", "SecurityError");
    }
  }
  const environment = { ...machine, WebSocket: Forbidden as never };
  const { store } = start({ environment });
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  machine.taken()[0]?.answer("a:5:5:", { items: [], next: null });
  await machine.pass(3_000);
  assert.ok(machine.taken().some(({ path }) => path === "/api/v1/stream"));
  store.close();
});

test("an address that is none is refused with an example", () => {
  for (const url of ["", "server", "ftp://server.test", "javascript:1"]) {
    assert.throws(() => start({ url }), /is not the address of a server: give a url such as http:\/\/127.0.0.1:7373/);
  }
  const { machine, store } = start({ url: "http://server.test/behind/a/proxy?x=1#y" });
  void store.read("/api/v1/tasks").catch(() => {});
  assert.equal(machine.taken()[0]?.path, "/behind/a/proxy/api/v1/tasks");
  store.close();
});

test("the bodies that no screen shows take at most 16 Mi characters", async () => {
  const { machine, store } = await live();
  const text = "x".repeat(3 * 1024 * 1024);
  for (let number = 1; number <= 7; number += 1) {
    const leave = store.watch(`task:${id(number)}`).subscribe(() => {});
    await settle();
    machine.taken()[0]?.answer("a:5:5:", { task: { task_id: id(number) }, text }, `W/"${number}"`);
    await settle();
    leave();
    await settle();
  }
  const held = (number: number) => store.watch(`task:${id(number)}`).getSnapshot().data !== null;
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].filter(held), [3, 4, 5, 6, 7]);
  for (const number of [1, 7]) {
    store.watch(`task:${id(number)}`).subscribe(() => {});
  }
  await settle();
  assert.deepEqual(
    machine
      .taken()
      .map((request) => [request.path.split("?")[0]?.at(-1), request.headers["if-none-match"]])
      .sort(),
    [
      ["1", undefined],
      ["7", 'W/"7"'],
    ],
    "the body that was left first is requested in full",
  );
  store.close();
});

test("the writes of another script to the storage, and the answers of another person, are not used", async () => {
  const { page, storage, options, store } = await live().then(async (started) => {
    started.page.events?.left();
    return started;
  });
  store.close();
  const [key, good] = [...storage.items][0] ?? ["", ""];
  const kept = JSON.parse(good);
  const bad = [
    { ...kept, kept: [{ ...kept.kept[0], model: "task:1" }] },
    { ...kept, kept: [{ ...kept.kept[0], body: { parts: 1 } }] },
    { ...kept, kept: [null] },
    { ...kept, version: 1 },
    [],
  ];
  const shown = (more: StoreOptions) => {
    const next = createStore({ ...options, page, environment: new FakeMachine(), ...more });
    const { data } = next.watch("bookmarks").getSnapshot();
    next.close();
    return data;
  };
  for (const value of bad) {
    storage.items.set(key, JSON.stringify(value));
    assert.equal(shown({}), null);
  }
  storage.items.set(key, good);
  assert.equal(shown({ token: "of another person" }), null);
  assert.notEqual(shown({}), null);
});

test("a page that rests is told so", async () => {
  const { machine, store } = await live();
  store.pause();
  assert.equal(store.watch("bookmarks").getSnapshot().state, "unconfirmed");
  await settle();
  assert.equal(store.status.getSnapshot().name, "disabled");
  store.resume();
  await settle();
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  await settle();
  assert.equal(store.watch("bookmarks").getSnapshot().state, "fresh");
  assert.deepEqual(machine.taken(), [], "the bookmarks did not change");
  store.close();
});
