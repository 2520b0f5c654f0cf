import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createStore } from "../src/index.js";
import { engine, FakeMachine, FakePage, settle } from "./fakes.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;
const id = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;

test("a hundred thousand notices of tasks leave the memory as it was", async () => {
  const machine = new FakeMachine();
  const store = createStore({
    url: "http://server.test",
    environment: machine,
    page: new FakePage(),
    storage: null,
    engine,
  });
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  machine.socket.open();
  machine.socket.resumed("a:5:5:");
  let cursor = 5;
  const notices = async (count: number) => {
    for (let step = 0; step < count; step += 1) {
      cursor += 1;
      machine.socket.logged(id(cursor), `a:${cursor}:${cursor}:`);
      if (step % 1_000 === 0) {
        await machine.pass(10);
        for (const request of machine.taken()) {
          request.answer(`a:${cursor}:${cursor}:`, { items: [], next: null });
        }
      }
    }
    await settle();
    gc();
    return process.memoryUsage().heapUsed;
  };
  const before = await notices(10_000);
  const after = await notices(100_000);
  assert.ok(after < before * 1.1, `${before} bytes became ${after}`);
  store.close();
});

test("a thousand tasks that were looked at and left are forgotten", async () => {
  const machine = new FakeMachine();
  const store = createStore({
    url: "http://server.test",
    environment: machine,
    page: new FakePage(),
    storage: null,
    engine,
  });
  const texts = "x".repeat(100_000);
  const look = async (from: number, to: number) => {
    for (let number = from; number < to; number += 1) {
      const leave = store.watch(`task:${id(number)}`).subscribe(() => {});
      await settle();
      for (const request of machine.taken()) {
        request.answer("a:5:5:", { task: { task_id: id(number) }, texts: texts + number });
      }
      await settle();
      leave();
      await settle();
    }
    gc();
    return process.memoryUsage().heapUsed;
  };
  const before = await look(0, 200);
  const after = await look(200, 1_000);
  assert.ok(after < before + 20 * texts.length, `${before} bytes became ${after}`);
  store.close();
});

test("writes, requests and looks for tasks that no screen shows leave the memory as it was", async () => {
  const machine = new FakeMachine();
  const store = createStore({
    url: "http://server.test",
    environment: machine,
    page: new FakePage(),
    storage: null,
    engine,
  });
  store.watch("bookmarks").subscribe(() => {});
  await settle();
  const touch = async (from: number, to: number) => {
    for (let number = from; number < to; number += 1) {
      store.wrote("a:6:6:", `task:${id(number)}`);
      store.refresh(`task:${id(number)}`);
      store.watch(`task:${id(number)}`);
      if (number % 1_000 === 0) {
        await settle();
      }
    }
    await settle();
    gc();
    return process.memoryUsage().heapUsed;
  };
  const before = await touch(0, 2_000);
  const after = await touch(2_000, 30_000);
  assert.ok(after < before + 2_000_000, `${before} bytes became ${after}`);
  store.close();
});
