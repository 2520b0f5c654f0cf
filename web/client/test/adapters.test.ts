import assert from "node:assert/strict";
import { test } from "node:test";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { followQueries, requeryKey, requeryOptions } from "../src/tanstack.js";
import { createStore } from "../src/index.js";
import { engine, FakeMachine, FakePage, FakeStorage, json, settle } from "./fakes.js";

const page = (title: string) => ({ items: [{ bookmark_id: "1", title }], next: null });
const saved = { bookmark_id: "1", task_id: "00000000-0000-7000-8000-000000000001", project: "p" };
const still = { staleTime: Number.POSITIVE_INFINITY };

function start() {
  const machine = new FakeMachine();
  const options = { environment: machine, page: new FakePage(), storage: new FakeStorage(), engine };
  const store = createStore({ url: "http://server.test", ...options });
  const client = new QueryClient();
  const end = followQueries(store, client);
  const close = () => {
    end();
    client.clear();
    store.close();
  };
  return { machine, store, client, close };
}

/** Answers the first request, and lets the stream report the bookmarks. */
async function begin(machine: FakeMachine) {
  await settle();
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  await settle();
  machine.taken()[0]?.answer("a:5:5:", page("one"), 'W/"1"');
  await settle();
  machine.socket.watching("a:5:5:", "bookmarks");
  await machine.pass(1_000);
}

/** A query of the application that depends on the bookmarks, and whose requests the test answers. */
function dependent(client: QueryClient) {
  const requests: ((value: number) => void)[] = [];
  const queryFn = () => new Promise<number>((resolve) => requests.push(resolve));
  const observer = new QueryObserver(client, { queryKey: requeryKey("bookmarks", "count"), queryFn, ...still });
  return { requests, observer };
}

test("TanStack Query: exactly the queries of a changed read model are stale, and get the new body", async () => {
  const { machine, store, client, close } = start();
  const observer = new QueryObserver(client, requeryOptions(store, "bookmarks"));
  const count = dependent(client);
  const other = new QueryObserver(client, { queryKey: ["mine"], queryFn: () => 1, ...still });
  for (const each of [observer, count.observer, other]) {
    each.subscribe(() => {});
  }
  await begin(machine);
  count.requests[0]?.(1);
  await settle();
  assert.equal(observer.getCurrentResult().data?.items[0]?.title, "one");
  assert.equal(count.requests.length, 1);

  machine.socket.frame("bookmark.saved", saved, "a:6:6:");
  await settle();
  assert.ok(observer.getCurrentResult().isStale, "stale from the notice on");
  assert.ok(!other.getCurrentResult().isStale);
  const [request] = machine.taken();
  // A notice that lands during the fetch is kept: the answer does not cover it.
  machine.socket.frame("bookmark.saved", saved, "a:7:7:");
  request?.answer("a:6:6:", page("two"), 'W/"2"');
  await settle();
  assert.ok(observer.getCurrentResult().isStale);
  assert.equal(observer.getCurrentResult().data?.items[0]?.title, "two");
  await machine.pass(1_000);
  const again = machine.taken();
  assert.equal(again.length, 1);
  again[0]?.answer("a:7:7:", page("three"), 'W/"3"');
  await settle();
  assert.equal(observer.getCurrentResult().data?.items[0]?.title, "three");
  assert.ok(!observer.getCurrentResult().isStale);
  assert.equal(count.requests.length, 3, "the dependent query is asked again after each answer");
  assert.equal(client.getQueryState(["mine"])?.dataUpdateCount, 1);
  close();
});

test("TanStack Query: after a write only the read models that do not cover the write are asked for again", async () => {
  const { machine, store, client, close } = start();
  new QueryObserver(client, requeryOptions(store, "bookmarks")).subscribe(() => {});
  const count = dependent(client);
  count.observer.subscribe(() => {});
  await begin(machine);
  count.requests[0]?.(1);
  store.wrote("a:5:5:", "bookmarks");
  await machine.pass(500);
  assert.deepEqual([machine.taken().length, count.requests.length], [0, 1], "the held body covers the write");
  store.wrote("a:8:8:", "bookmarks");
  await machine.pass(500);
  const [request, ...rest] = machine.taken();
  assert.deepEqual([request?.headers["requery-at-least"], rest.length], ["a:8:8:", 0]);
  request?.unchanged("a:8:8:");
  await settle();
  // An equal body says nothing of a query that shows other rows.
  assert.equal(count.requests.length, 2);
  assert.equal(client.getQueryState(requeryKey("bookmarks"))?.isInvalidated, false);
  close();
});

test("TanStack Query: a change during the first fetch of a dependent query is kept", async () => {
  const { machine, store, client, close } = start();
  new QueryObserver(client, requeryOptions(store, "bookmarks")).subscribe(() => {});
  await begin(machine);
  const count = dependent(client);
  count.observer.subscribe(() => {});
  await settle();
  machine.socket.frame("bookmark.saved", saved, "a:6:6:");
  await settle();
  machine.taken()[0]?.answer("a:6:6:", page("two"));
  await settle();
  assert.equal(count.requests.length, 1, "the library begins no second first fetch");
  count.requests[0]?.(1);
  await settle();
  assert.equal(count.requests.length, 2, "the answer may lack the change");
  count.requests[1]?.(2);
  await settle();
  assert.equal(count.observer.getCurrentResult().data, 2);
  close();
});

test("TanStack Query: a screen that comes back shows what changed while it was away", async () => {
  const { machine, store, client, close } = start();
  const observer = new QueryObserver(client, requeryOptions(store, "bookmarks"));
  const count = dependent(client);
  const leaves = [observer.subscribe(() => {}), count.observer.subscribe(() => {})];
  await begin(machine);
  count.requests[0]?.(1);
  await settle();
  for (const leave of leaves) {
    leave();
  }
  await machine.pass(1_000);
  machine.socket.watching("a:5:5:");
  await settle();
  observer.subscribe(() => {});
  count.observer.subscribe(() => {});
  await settle();
  machine.taken()[0]?.answer("a:9:9:", page("two"), 'W/"2"');
  await settle();
  assert.equal(observer.getCurrentResult().data?.items[0]?.title, "two");
  assert.equal(count.requests.length, 2);

  // An equal body proves no equal answer to the dependent query, of which no change was reported.
  count.requests[1]?.(2);
  machine.socket.watching("a:9:9:", "bookmarks");
  await settle();
  for (const each of [observer, count.observer]) {
    each.destroy();
  }
  await machine.pass(1_000);
  machine.socket.watching("a:9:9:");
  await settle();
  observer.subscribe(() => {});
  count.observer.subscribe(() => {});
  await settle();
  machine.taken()[0]?.unchanged("a:9:9:");
  machine.socket.watching("a:9:9:", "bookmarks");
  await settle();
  assert.equal(count.requests.length, 3);
  close();
});

test("TanStack Query: a dependent query with an answer from before the follow is asked again, once", async () => {
  const { machine, store, client, close } = start();
  // An application can keep its answers for the next page.
  client.setQueryData(requeryKey("bookmarks", "count"), 1);
  new QueryObserver(client, requeryOptions(store, "bookmarks")).subscribe(() => {});
  const count = dependent(client);
  count.observer.subscribe(() => {});
  await settle();
  assert.equal(count.requests.length, 0, "the library trusts the answer");
  await begin(machine);
  assert.equal(count.requests.length, 1, "no change was reported before the follow, so the answer is doubtful");
  count.requests[0]?.(2);
  await machine.pass(5_000);
  assert.equal(count.requests.length, 1);
  assert.equal(count.observer.getCurrentResult().data, 2);
  close();
});

test("TanStack Query: a screen that replaces another one costs no request", async () => {
  const { machine, store, client, close } = start();
  const options = requeryOptions(store, "bookmarks");
  const count = dependent(client);
  const leaves = [new QueryObserver(client, options).subscribe(() => {}), count.observer.subscribe(() => {})];
  await begin(machine);
  count.requests[0]?.(1);
  await settle();
  for (const leave of leaves) {
    leave();
  }
  new QueryObserver(client, options).subscribe(() => {});
  count.observer.subscribe(() => {});
  await machine.pass(1_000);
  assert.deepEqual([machine.taken().length, count.requests.length], [0, 1]);
  close();
});

test("what depends on a read model is read after the read model, and contains the own writes", async () => {
  const { machine, store, close } = start();
  store.watch("bookmarks").subscribe(() => {});
  const read = store.read<{ items: number[] }>("/api/v1/search?q=x", "bookmarks");
  await settle();
  assert.deepEqual(
    machine.requests.map((request) => request.path),
    ["/api/v1/bookmarks"],
  );
  await begin(machine);
  store.wrote("a:5:5:");
  const [first] = machine.taken();
  assert.deepEqual([first?.path, first?.headers["requery-at-least"]], ["/api/v1/search?q=x", undefined]);
  first?.respond(json(200, { items: [1] }));
  assert.deepEqual(await read, { items: [1] });
  void store.read("api/v1/tasks?status=running");
  store.wrote("a:4:4:");
  void store.read("api/v1/tasks?status=waiting");
  await settle();
  assert.deepEqual(
    machine.taken().map((request) => request.headers["requery-at-least"]),
    ["a:5:5:", "a:5:5:"],
    "an earlier write that is answered later lowers nothing",
  );
  close();
});
