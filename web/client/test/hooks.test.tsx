import { container } from "./dom.js";

import assert from "node:assert/strict";
import { test } from "node:test";
import { act, createElement, StrictMode, useEffect, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import useSWR, { SWRConfig, useSWRConfig } from "swr";
import { createStores, StoresProvider, useOverview, useReadModel, useStatus } from "../src/react.js";
import { followSwr, requeryFetcher, requeryKey } from "../src/swr.js";
import { engine, FakeMachine, FakePage, FakeStorage, settle } from "./fakes.js";

const page = (...titles: string[]) => ({
  items: titles.map((title) => ({ bookmark_id: title, title })),
  next: null,
});
const saved = { bookmark_id: "1", task_id: "00000000-0000-7000-8000-000000000001", project: "p" };

function start() {
  const machine = new FakeMachine();
  const options = { environment: machine, page: new FakePage(), storage: new FakeStorage(), engine };
  return { machine, stores: createStores({ url: "http://server.test", ...options }) };
}

async function begin(machine: FakeMachine) {
  await act(settle);
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  await act(settle);
  machine.taken()[0]?.answer("a:5:5:", page("one"), 'W/"1"');
  await act(settle);
  machine.socket.watching("a:5:5:", "bookmarks");
  await act(() => machine.pass(1_000));
}

async function change(machine: FakeMachine, cursor: string, ...titles: string[]) {
  machine.socket.frame("bookmark.saved", saved, cursor);
  await act(() => machine.pass(300));
  const requests = machine.taken();
  assert.equal(requests.length, 1);
  requests[0]?.answer(cursor, page(...titles), `W/"${cursor}"`);
  await act(settle);
}

test("React: a component shows the view, once for each change, and leaves it", async () => {
  const { machine, stores } = start();
  const element = container();
  const drawn: string[] = [];
  function Screen() {
    const { data, state } = useReadModel("bookmarks");
    const status = useStatus();
    const text = `${status.name}: ${state}: ${data?.items.map((row) => row.title).join(",") ?? "-"}`;
    drawn.push(text);
    return createElement("p", null, text);
  }
  const root = createRoot(element);
  await act(() => root.render(createElement(StoresProvider, { value: stores }, createElement(Screen))));
  await begin(machine);
  assert.equal(element.textContent, "live: fresh: one");
  await change(machine, "a:6:6:", "one", "two");
  assert.equal(element.textContent, "live: fresh: one,two");
  assert.ok(drawn.length <= 7, drawn.join("\n"));
  await act(() => root.unmount());
  await act(settle);
  assert.deepEqual(JSON.parse(machine.socket.sent.at(-1) ?? "").payload.read_models, []);
  stores().close();
});

test("React: strict mode asks once", async () => {
  const { machine, stores } = start();
  function Screen() {
    return useReadModel("bookmarks").state;
  }
  const root = createRoot(container());
  const screen = createElement(StoresProvider, { value: stores }, createElement(Screen));
  await act(() => root.render(createElement(StrictMode, null, screen)));
  await act(settle);
  assert.equal(machine.taken().length, 1);
  assert.equal(machine.sockets.length, 1);
  await act(() => root.unmount());
  stores().close();
});

test("React: hooks show several projects and all projects at once, each by a store that stays open", async () => {
  const { machine, stores } = start();
  const projects = [undefined, "p1", "p2", "p3", "p4", "p5", "p6"];
  const element = container();
  function Screen() {
    return projects.map((project) => useOverview(project).data?.overview.stats.running_tasks ?? "-").join(" ");
  }
  const root = createRoot(element);
  await act(() => root.render(createElement(StoresProvider, { value: stores }, createElement(Screen))));
  // The first message of a stream could bring the overview, so the request waits for it.
  await act(() => machine.pass(2_000));
  assert.equal(new Set(machine.sockets.map(({ url }) => url)).size, projects.length);
  await act(() => {
    for (const request of machine.taken()) {
      const project = new URL(request.path, "http://server.test").searchParams.get("project");
      const running = projects.indexOf(project ?? undefined);
      request.answer(
        "a:5:5:",
        request.path.includes("overview") ? { stats: { running_tasks: running } } : { items: [] },
      );
    }
    return settle();
  });
  assert.equal(element.textContent, "0 1 2 3 4 5 6");
  const all = projects.map((project) => stores(project));
  await act(() => machine.pass(120_000));
  assert.deepEqual(
    all.filter((store, at) => stores(projects[at]) !== store),
    [],
    "a followed store stays open",
  );

  await act(() => root.unmount());
  await act(() => machine.pass(120_000));
  const open = all.filter((store, at) => stores(projects[at]) === store);
  assert.equal(open.length, 4, "the stores that were used last stay open");
  for (const project of projects) {
    stores(project).close();
  }
});

test("SWR: the key of a changed read model gets the new body, and the keys that depend on it are fetched again", async () => {
  const { machine, stores } = start();
  const store = stores();
  const element = container();
  let counted = 0;
  const watch = store.watch("bookmarks");
  function Follow() {
    const { mutate } = useSWRConfig();
    const follow = (changed: () => void) => {
      const leave = followSwr(store, mutate, "bookmarks");
      changed();
      return leave;
    };
    useSyncExternalStore(follow, () => 0);
    return null;
  }
  function Screen() {
    const still = { revalidateOnFocus: false, revalidateIfStale: false, revalidateOnReconnect: false };
    const { data } = useSWR(requeryKey("bookmarks"), requeryFetcher(store), still);
    const { data: count } = useSWR(requeryKey("bookmarks", "count"), () => ++counted, {
      ...still,
      dedupingInterval: 0,
    });
    const titles = (data as ReturnType<typeof page> | undefined)?.items.map((row) => row.title).join(",");
    return createElement("p", null, `${titles} ${count}`);
  }
  const root = createRoot(element);
  await act(() => root.render([createElement(Follow, { key: 1 }), createElement(Screen, { key: 2 })]));
  await begin(machine);
  assert.match(element.textContent ?? "", /^one \d/);
  const before = counted;
  await change(machine, "a:6:6:", "one", "two");
  assert.match(element.textContent ?? "", /^one,two \d/);
  assert.equal(counted, before + 1);
  assert.equal(watch.getSnapshot().state, "fresh");
  await act(() => root.unmount());
  store.close();
});

test("SWR: a change during the first fetch of a read model, and of a key that depends on it, is kept", async () => {
  const { machine, stores } = start();
  const store = stores();
  const element = container();
  const counts: ((count: number) => void)[] = [];
  const still = { revalidateOnFocus: false, revalidateIfStale: false, revalidateOnReconnect: false };
  const count = () => new Promise<number>((resolve) => counts.push(resolve));
  function Screen() {
    const { mutate } = useSWRConfig();
    useEffect(() => followSwr(store, mutate, "bookmarks"), [mutate]);
    const { data } = useSWR(requeryKey("bookmarks"), requeryFetcher(store), still);
    const { data: counted } = useSWR(requeryKey("bookmarks", "first count"), count, still);
    const titles = (data as ReturnType<typeof page> | undefined)?.items.map((row) => row.title).join(",");
    return createElement("p", null, `${titles ?? "-"} ${counted ?? "-"}`);
  }
  const root = createRoot(element);
  const cache = { value: { provider: () => new Map() } };
  await act(() => root.render(createElement(SWRConfig, cache, createElement(Screen))));
  await act(settle);
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  await act(settle);
  const [first] = machine.taken();
  machine.socket.frame("bookmark.saved", saved, "a:6:6:");
  await act(settle);
  first?.answer("a:5:5:", page("one"), 'W/"1"');
  await act(settle);
  assert.equal(element.textContent, "one -", "the answer is shown, and it lacks the change");
  await act(() => machine.pass(1_000));
  const [second, ...rest] = machine.taken();
  assert.deepEqual([second?.headers["requery-at-least"], rest.length], ["a:6:6:", 0]);
  second?.answer("a:6:6:", page("one", "two"), 'W/"2"');
  await act(settle);
  assert.equal(element.textContent, "one,two -");
  assert.equal(counts.length, 2, "the first count may lack the change");
  counts[1]?.(2);
  await act(settle);
  counts[0]?.(1);
  await act(settle);
  assert.equal(element.textContent, "one,two 2");
  await act(() => root.unmount());
  store.close();
});
