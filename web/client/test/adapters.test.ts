import assert from "node:assert/strict";
import { test } from "node:test";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { followQueries, requeryKey, requeryOptions } from "../src/tanstack.js";
import { createStore } from "../src/index.js";
import { engine, FakeMachine, FakePage, FakeStorage, settle } from "./fakes.js";

const page = (title: string) => ({ items: [{ bookmark_id: "1", title }], next: null });
const saved = { bookmark_id: "1", task_id: "00000000-0000-7000-8000-000000000001", project: "p" };

function start() {
  const machine = new FakeMachine();
  const options = { environment: machine, page: new FakePage(), storage: new FakeStorage(), engine };
  return { machine, store: createStore({ url: "http://server.test", ...options }) };
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

test("TanStack Query: exactly the queries of a changed read model are stale, and get the new body", async () => {
  const { machine, store } = start();
  const client = new QueryClient();
  const end = followQueries(store, client);
  const observer = new QueryObserver(client, requeryOptions(store, "bookmarks"));
  let derived = 0;
  const dependent = new QueryObserver(client, {
    queryKey: requeryKey("bookmarks", "count"),
    queryFn: () => ++derived,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const other = new QueryObserver(client, {
    queryKey: ["mine"],
    queryFn: () => 1,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const leaves = [observer, dependent, other].map((each) => each.subscribe(() => {}));
  await begin(machine);
  assert.equal(observer.getCurrentResult().data?.items[0]?.title, "one");
  assert.equal(derived, 1);

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
  await machine.pass(1_000);
  const again = machine.taken();
  assert.equal(again.length, 1);
  again[0]?.answer("a:7:7:", page("three"), 'W/"3"');
  await settle();
  assert.equal(observer.getCurrentResult().data?.items[0]?.title, "three");
  assert.ok(!observer.getCurrentResult().isStale);
  assert.ok(derived >= 2);
  assert.equal(client.getQueryState(["mine"])?.dataUpdateCount, 1);

  // A write that the held body covers costs no request, and another one does.
  store.wrote("a:7:7:", "bookmarks");
  await machine.pass(500);
  assert.equal(machine.taken().length, 0);
  store.wrote("a:8:8:", "bookmarks");
  await machine.pass(500);
  assert.equal(machine.taken().length, 1);

  for (const leave of leaves) {
    leave();
  }
  end();
  client.clear();
  store.close();
});
