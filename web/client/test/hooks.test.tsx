import { container } from "./dom.js";

import assert from "node:assert/strict";
import { test } from "node:test";
import { act, createElement, StrictMode, useEffect, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import useSWR, { SWRConfig, useSWRConfig } from "swr";
import { createStores, StoresProvider, useReadModel, useStatus } from "../src/react.js";
import { followSwr, requeryFetcher, requeryKey } from "../src/swr.js";
import { engine, FakeMachine, FakePage, type FakeSocket, FakeStorage, settle } from "./fakes.js";

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

test("React: a store that no component uses is closed when four others are unused", async () => {
  const { machine, stores } = start();
  const sockets: FakeSocket[] = [];
  const names = ["a", "b", "c", "d", "e", "f"];
  const Screen = ({ name }: { name: string }) => useReadModel("bookmarks", name).state;
  const root = createRoot(container());
  const show = (...shown: string[]) => {
    const screens = shown.map((name) => createElement(Screen, { key: name, name }));
    return act(() => {
      root.render(createElement(StoresProvider, { value: stores }, screens));
      return settle();
    });
  };
  const open = async () => {
    await act(settle);
    for (const socket of machine.sockets.splice(0)) {
      sockets.push(socket);
      await act(() => {
        socket.open();
        socket.resumed("a:5:5:");
      });
    }
    await act(settle);
    const connected = sockets.filter(({ closed }) => !closed);
    return connected.map(({ url }) => new URL(url).searchParams.get("project")).sort();
  };
  // A component follows its store after it was drawn, and by then all of the others were drawn too.
  await show(...names);
  assert.deepEqual(await open(), names);
  await show("b");
  await act(() => machine.pass(11_000));
  stores("a");
  await show("b", "g");
  assert.deepEqual(await open(), [...names, "g"], "one of the five was asked for a moment ago");
  await show("b");
  await act(() => machine.pass(11_000));
  await show("b", "h");
  assert.deepEqual(await open(), ["a", "b", "e", "f", "g", "h"], "the ones that were asked for first are closed");
  await act(() => root.unmount());
  for (const name of ["a", "b", "e", "f", "g", "h"]) {
    stores(name).close();
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
