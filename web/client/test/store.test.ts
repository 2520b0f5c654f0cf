import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore, type StoreOptions } from "../src/index.js";
import { engine, FakeMachine, FakePage, type FakeRequest, FakeStorage, json, settle } from "./fakes.js";

const task = "00000000-0000-7000-8000-000000000001";
const model = `task:${task}` as const;

function start(more: StoreOptions = {}) {
  const [machine, page, storage] = [new FakeMachine(), new FakePage(), new FakeStorage()];
  const options = { url: "http://server.test:8787", environment: machine, page, storage, engine, ...more };
  return { machine, page, storage, store: createStore(options), options };
}

/** A store with a live stream and the bookmarks on a screen. */
async function live(more: StoreOptions = {}) {
  const started = start(more);
  const { machine, store } = started;
  const views: unknown[] = [];
  const leave = store.watch("bookmarks").subscribe((view) => views.push(view));
  await settle();
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  await settle();
  machine.taken()[0]?.answer("a:5:5:", { items: [{ bookmark_id: "1", title: "one" }], next: null }, 'W/"1"');
  await settle();
  machine.socket.watching("a:5:5:", "bookmarks");
  await settle();
  return { ...started, views, leave };
}

/** The first message of a stream at which nothing changed. */
const resumed = JSON.stringify({
  type: "resumed",
  payload: { server_time: "", heartbeat_ms: 25_000, version: "1.0", known: true, stale: [] },
  cursor: "a:5:5:",
});

/** The answer to a request for a stream. It comes in these pieces, and does not end. */
function eventStream(...pieces: string[]): Response {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const piece of pieces) {
        controller.enqueue(new TextEncoder().encode(piece));
      }
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

test("a watched read model is fetched at once, and is fresh when the stream reports it", async () => {
  const { machine, store, views } = await live();
  assert.equal(machine.sockets.length, 1);
  assert.equal(machine.socket.url, "ws://server.test:8787/ws");
  assert.deepEqual(JSON.parse(machine.socket.sent[0] ?? ""), {
    type: "watch",
    payload: { read_models: ["bookmarks"] },
  });
  assert.equal(store.status.getSnapshot().name, "live");
  const view = store.watch("bookmarks").getSnapshot();
  assert.equal(view.state, "fresh");
  assert.equal(view.data?.items[0]?.title, "one");
  assert.equal(views.at(-1), view);
  assert.equal(store.watch("bookmarks"), store.watch("bookmarks"));
});

test("a store connects and fetches after the first drawing of its page, also if that fails", async () => {
  let draw = () => {};
  const drawn = new Promise<void>((resolve) => {
    draw = resolve;
  });
  const { machine, store } = start({ after: drawn });
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  assert.deepEqual([machine.sockets.length, machine.taken().length], [0, 0]);
  draw();
  await settle();
  assert.deepEqual([machine.sockets.length, machine.taken().length], [1, 1]);
  const failed = start({ after: Promise.reject(new Error("no frame")) });
  await settle();
  assert.equal(failed.machine.sockets.length, 1);
  const left = start({ after: settle() });
  left.store.close();
  await settle();
  await settle();
  assert.equal(left.machine.sockets.length, 0, "a store that ended before does not connect");
});

test("a notice makes the view stale, and equal rows of the new body keep their identity", async () => {
  const { machine, store, views } = await live();
  await machine.pass(1_000);
  const before = store.watch("bookmarks").getSnapshot();
  machine.socket.frame("bookmark.saved", { bookmark_id: "2", task_id: task, project: "p" }, "a:6:6:");
  await settle();
  assert.equal(store.watch("bookmarks").getSnapshot().state, "stale");
  const [request] = machine.taken();
  assert.equal(request?.headers["if-none-match"], 'W/"1"');
  assert.equal(request?.headers["requery-at-least"], "a:6:6:");
  const items = [
    { bookmark_id: "2", title: "two" },
    { bookmark_id: "1", title: "one" },
  ];
  request?.answer("a:6:6:", { items, next: null }, 'W/"2"');
  await settle();
  const after = store.watch("bookmarks").getSnapshot();
  assert.equal(after.state, "fresh");
  assert.equal(after.data?.items[1], before.data?.items[0]);
  assert.notEqual(after.data, before.data);
  assert.equal(views.length, new Set(views).size, "no view is reported twice");
});

test("an equal answer changes no view", async () => {
  const { machine, store, views } = await live();
  const before = store.watch("bookmarks").getSnapshot();
  const count = views.length;
  let answered = 0;
  for (let second = 0; second < 80; second += 1) {
    await machine.pass(1_000);
    machine.socket.frame("heartbeat", { server_time: "" }, "a:5:5:");
    for (const request of machine.taken()) {
      request.unchanged("a:5:5:");
      answered += 1;
    }
  }
  assert.equal(answered, 1, "the safety refetch");
  await machine.pass(1_000);
  assert.equal(store.watch("bookmarks").getSnapshot(), before);
  assert.equal(views.length, count);
  assert.ok((store.watch("bookmarks").age() ?? 99_999) <= 1_000);
});

test("a page that is loaded again continues, and requests only what changed", async () => {
  const { machine, page, storage, store, options } = await live();
  store.watch(model).subscribe(() => {});
  await settle();
  machine.taken()[0]?.answer("a:5:5:", { task: { task_id: task, title: "a task" } }, 'W/"t"');
  await settle();
  machine.socket.watching("a:5:5:", model, "bookmarks");
  await settle();
  page.events?.left();
  store.close();
  assert.ok(machine.socket.closed);

  const again = new FakeMachine();
  again.time = machine.time + 500;
  const next = createStore({ ...options, environment: again, storage });
  assert.equal(next.watch("bookmarks").getSnapshot().data?.items[0]?.title, "one", "the first look shows it");
  assert.equal(next.watch("bookmarks").getSnapshot().state, "unconfirmed");
  next.watch("bookmarks").subscribe(() => {});
  next.watch(model).subscribe(() => {});
  await settle();
  assert.equal(again.socket.url, "ws://server.test:8787/ws?since=a%3A5%3A5%3A");
  again.socket.open();
  again.socket.resumed("a:7:7:", model);
  await settle();
  const requests = again.taken();
  assert.deepEqual(
    requests.map((request) => [request.path, request.headers["if-none-match"]]),
    [[`/api/v1/tasks/${task}?since=a%3A5%3A5%3A`, 'W/"t"']],
  );
  assert.equal(next.watch("bookmarks").getSnapshot().state, "fresh");
});

test("kept answers are used once, and a broken or forbidden storage is none", async () => {
  const { page, storage, options, store } = await live();
  page.events?.left();
  store.close();
  assert.equal(storage.items.size, 1);
  const [key] = storage.items.keys();
  createStore({ ...options, environment: new FakeMachine() });
  assert.equal(storage.items.size, 0);
  storage.items.set(key ?? "", '{"version":1,"cursor":');
  createStore({ ...options, environment: new FakeMachine() });
  const forbidden = {
    getItem: () => assert.fail("forbidden"),
    setItem: () => assert.fail("full"),
    removeItem: () => assert.fail("forbidden"),
  };
  const closed = createStore({ ...options, environment: new FakeMachine(), storage: forbidden });
  closed.close();
});

test("where WebSocket fails twice, the stream comes by server-sent events", async () => {
  const { machine, store } = start();
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  for (let attempt = 0; attempt < 2; attempt += 1) {
    // The server answers requests, so it is the WebSocket that fails.
    for (const request of machine.taken()) {
      request.answer("a:5:5:", { items: [], next: null }, 'W/"1"');
    }
    await settle();
    machine.socket.open();
    machine.socket.end(1006);
    await machine.pass(1_500);
  }
  const stream = machine.taken().find((request) => request.path.startsWith("/api/v1/stream"));
  assert.ok(stream, "a stream by server-sent events");
  // The frame comes in pieces.
  stream.respond(eventStream("id: a:5:5:\nda", `ta: ${resumed}\n`, "\n"));
  await settle();
  assert.notEqual(store.status.getSnapshot().name, "reconnecting");
  for (const request of machine.taken()) {
    request.unchanged("a:5:5:");
  }
  await settle();
  assert.equal(store.status.getSnapshot().name, "live");
  assert.equal(store.watch("bookmarks").getSnapshot().state, "fresh");
});

test("a page that was hidden during an attempt over WebSocket gives up a later stream of server-sent events", async () => {
  const { machine, page, store } = start();
  await settle();
  machine.socket.open();
  machine.socket.end(1006);
  await machine.pass(1_500);
  assert.equal(machine.sockets.length, 2, "the second attempt");
  page.events?.visible(false);
  await machine.pass(2_500);
  machine.socket.end(1006);
  await settle();
  // The request that explains why there is no WebSocket.
  machine.taken()[0]?.respond(eventStream(""));
  await machine.pass(1_500);
  const [stream] = machine.taken();
  assert.equal(stream?.path, "/api/v1/stream");
  stream?.respond(eventStream(`data: ${resumed}\n\n`));
  await settle();
  assert.ok(stream?.aborted);
  assert.equal(store.status.getSnapshot().name, "disabled");
  page.events?.visible(true);
  await settle();
  assert.equal(machine.sockets.length, 3, "a visible page connects");
});

test("a WebSocket that does not open is explained by a request", async () => {
  const cases: [(request: FakeRequest) => void, string][] = [
    [(request) => request.fail(), "not reached"],
    [(request) => request.respond(json(503, { detail: "full" }, { "retry-after": "3" })), "busy"],
    [(request) => request.respond(new Response("<html>", { status: 200 })), "ended"],
    [(request) => request.respond(json(403, { detail: "this origin may not" })), "closed"],
  ];
  for (const [respond, expected] of cases) {
    const { machine, store } = start();
    await settle();
    machine.socket.end(1006);
    await settle();
    const [request] = machine.taken();
    assert.equal(request?.path, "/api/v1/stream");
    respond(request as FakeRequest);
    await settle();
    const status = store.status.getSnapshot();
    assert.equal(status.name === "reconnecting" ? status.reason : status.name, expected);
    store.close();
  }
});

test("a token goes with each request, and the stream comes by server-sent events", async () => {
  const { machine, store } = start({ token: "secret" });
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  const requests = machine.taken();
  assert.equal(machine.sockets.length, 0);
  assert.deepEqual(requests.map((request) => request.path).sort(), ["/api/v1/bookmarks", "/api/v1/stream"]);
  assert.ok(requests.every((request) => request.headers["authorization"] === "Bearer secret"));
});

test("a server that answers HTML, an error or an unknown status is said in the view", async () => {
  const cases: [Response, RegExp][] = [
    [
      new Response("<html>", { headers: { "content-type": "text/html" } }),
      /not JSON, so it is not from a requery server: check the address/,
    ],
    [json(200, { items: [] }), /names no cursor/],
    [json(500, { detail: "the disk is full" }), /answered 500: the disk is full; its log says more/],
    [json(404, {}), /answered 404: check the address, or update the server/],
    [new Response("oops", { status: 502 }), /answered 502: look into its log, or into the log of the proxy/],
    [json(200, { rows: [] }, { "requery-cursor": "a:5:5:" }), /unknown form: update the page or the server/],
  ];
  for (const [response, error] of cases) {
    const { machine, store } = start();
    store.watch("bookmarks").subscribe(() => {});
    await settle();
    machine.taken()[0]?.respond(response);
    await settle();
    const view = store.watch("bookmarks").getSnapshot();
    assert.match(view.error ?? "", error);
    assert.equal(view.state, "loading");
    store.close();
  }
});

test("a task that is deleted is gone and keeps its last body", async () => {
  const { machine, store } = await live();
  store.watch(model).subscribe(() => {});
  await settle();
  machine.taken()[0]?.answer("a:5:5:", { task: { task_id: task, title: "a task" } });
  await settle();
  machine.socket.watching("a:5:5:", model, "bookmarks");
  await machine.pass(1_000);
  machine.socket.logged(task, "a:6:6:");
  await settle();
  machine.taken()[0]?.respond(json(404, {}, { "requery-cursor": "a:6:6:" }));
  await settle();
  const view = store.watch(model).getSnapshot();
  assert.equal(view.state, "gone");
  assert.equal(view.data?.task.title, "a task");
});

test("a write is asked for at once, and its notice costs no request", async () => {
  const { machine, store } = await live();
  const writing = store.write("PUT", "api/v1/bookmarks", { title: "new" }, "bookmarks");
  await settle();
  const [write] = machine.taken();
  assert.deepEqual([write?.method, write?.path], ["PUT", "/api/v1/bookmarks"]);
  write?.answer("a:6:6:", { bookmark_id: "3" });
  assert.deepEqual(await writing, { body: { bookmark_id: "3" }, cursor: "a:6:6:" });
  await machine.pass(200);
  const requests = machine.taken();
  assert.deepEqual(
    requests.map((request) => request.headers["requery-at-least"]),
    ["a:6:6:"],
  );
  requests[0]?.answer("a:6:6:", { items: [], next: null });
  await settle();
  machine.socket.frame("bookmark.saved", { bookmark_id: "3", task_id: task, project: "p" }, "a:6:6:");
  await machine.pass(1_000);
  assert.deepEqual(machine.taken(), []);
});

test("a hidden page makes no request until a person looks at it", async () => {
  const { machine, page, store } = await live();
  page.events?.visible(false);
  await machine.pass(1_000);
  machine.socket.frame("bookmark.saved", { bookmark_id: "3", task_id: task, project: "p" }, "a:6:6:");
  await machine.pass(10_000);
  assert.deepEqual(machine.taken(), []);
  page.events?.visible(true);
  await settle();
  assert.equal(machine.taken().length, 1);
  assert.equal(store.watch("bookmarks").getSnapshot().state, "stale");
});

test("a page without network says so, and connects when the network returns", async () => {
  const { machine, page, store } = await live();
  page.events?.online(false);
  machine.socket.end(1006);
  await machine.pass(60_000);
  assert.equal(store.status.getSnapshot().name, "offline");
  assert.equal(store.watch("bookmarks").getSnapshot().state, "unconfirmed");
  assert.equal(machine.sockets.length, 1);
  page.events?.online(true);
  await settle();
  assert.equal(machine.sockets.length, 2);
});

test("pause ends the connection, and resume continues it", async () => {
  const { machine, store } = await live();
  store.pause();
  await settle();
  assert.ok(machine.socket.closed);
  assert.equal(store.status.getSnapshot().name, "disabled");
  store.resume();
  await settle();
  assert.equal(machine.sockets.length, 2);
  store.reconnectNow();
  await machine.pass(2_000);
  store.reconnectNow();
  await settle();
  assert.equal(machine.sockets.length, 3);
});

test("a policy close is said and not repeated", async () => {
  const { machine, store } = await live();
  machine.socket.end(1008, "too many read models");
  await machine.pass(120_000);
  const status = store.status.getSnapshot();
  assert.deepEqual([status.name, "reason" in status && status.reason], ["closed", "too many read models"]);
  assert.equal(machine.sockets.length, 1);
});

test("a read model without a screen is not fetched, and its fetch is ended", async () => {
  const { machine, store } = await live();
  const leave = store.watch(model).subscribe(() => {});
  await settle();
  const [request] = machine.taken();
  leave();
  await settle();
  assert.ok(request?.aborted);
  machine.socket.logged(task, "a:6:6:");
  await machine.pass(10_000);
  assert.deepEqual(machine.taken(), []);
});

test("a subscription that ends and begins anew in one task costs no request", async () => {
  const { machine, store, leave } = await live();
  leave();
  store.watch("bookmarks").subscribe(() => {});
  await machine.pass(1_000);
  assert.deepEqual(machine.taken(), []);
  assert.equal(machine.socket.sent.length, 1);
});

test("the engine that cannot be loaded is said in the status", async () => {
  const { store } = start({ engine: Promise.reject(new Error("404")) });
  await settle();
  const status = store.status.getSnapshot();
  assert.equal("reason" in status && status.reason, "the engine could not be loaded: 404");
});

test("a name that is no read model is refused with the names that are", () => {
  const { store } = start();
  assert.throws(
    () => store.watch("task:1" as never),
    /no read model has the name "task:1": overview, bookmarks, agents or task/,
  );
});
