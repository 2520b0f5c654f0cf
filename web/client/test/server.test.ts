/** Runs against the real server, if `REQUERY_BINARY` names it. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WebSocket } from "ws";
import { type Environment, machine } from "../src/environment.js";
import { createStore, type Store, type Subscribable } from "../src/index.js";
import { binary, serve, stop } from "./real.js";

/** Waits until a value is as expected, at most ten seconds. */
function until<T>(value: Subscribable<T>, is: (value: T) => boolean): Promise<T> {
  return new Promise((resolve, reject) => {
    const last = () => JSON.stringify(value.getSnapshot()).slice(0, 300);
    const timer = setTimeout(() => reject(new Error(`not in time; last ${last()}`)), 10_000);
    let leave: (() => void) | null = null;
    leave = value.subscribe((now) => {
      if (is(now)) {
        clearTimeout(timer);
        queueMicrotask(() => leave?.());
        resolve(now);
      }
    });
  });
}

test("a store follows a real server, also over its restart", { skip: !binary }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "requery-web-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  let server = await serve(folder, 0);
  t.after(() => stop(server.child));
  const paths: string[] = [];
  const changes: string[] = [];
  const environment: Environment = {
    ...machine(),
    WebSocket: WebSocket as unknown as Environment["WebSocket"],
    fetch: (url, init) => {
      const { pathname, searchParams } = new URL(url);
      paths.push(pathname);
      if (searchParams.has("since")) {
        changes.push(pathname);
      }
      return fetch(url, init);
    },
  };
  const engine = new WebAssembly.Module(await readFile(new URL("../../wasm/requery_engine.wasm", import.meta.url)));
  const store: Store = createStore({ url: server.url, environment, engine });
  t.after(() => store.close());
  const overview = store.watch("overview");
  t.after(overview.subscribe(() => {}));
  const first = await until(overview, (view) => view.state === "fresh");
  assert.deepEqual(first.data?.tasks.items, []);
  assert.deepEqual(paths, [], "the first message carried the overview");

  await store.write("POST", "api/v1/tasks", { title: "a task", project: "p" });
  const second = await until(overview, (view) => view.state === "fresh" && view.data?.tasks.items.length === 1);
  const id = second.data?.tasks.items[0]?.task_id;
  const task = store.watch(`task:${id}`);
  t.after(task.subscribe(() => {}));
  await until(task, (view) => view.state === "fresh" && view.data?.task.title === "a task");

  // A later fetch asks for the changes alone, and shows the whole answer.
  const events = Array.from({ length: 60 }, (_, at) => ({ kind: "log", title: `event ${at}` }));
  await store.write("POST", `api/v1/tasks/${id}/events`, { events });
  await until(task, (view) => view.state === "fresh" && view.data?.task.event_count === 60);
  changes.length = 0;
  await store.write("POST", `api/v1/tasks/${id}/events`, { kind: "log", title: "one more" });
  const shown = await until(task, (view) => view.state === "fresh" && view.data?.task.event_count === 61);
  assert.deepEqual(changes.filter((path) => path.endsWith(`${id}`)).length, 1);
  assert.deepEqual(shown.data, await (await fetch(`${server.url}/api/v1/tasks/${id}`)).json());
  await until(overview, (view) => view.state === "fresh" && view.data?.tasks.items[0]?.event_count === 61);
  const page = await (await fetch(`${server.url}/api/v1/tasks`)).json();
  assert.deepEqual(overview.getSnapshot().data?.tasks, page);

  const { port } = new URL(server.url);
  await stop(server.child);
  await until(store.status, (status) => status.name === "reconnecting");
  assert.equal(task.getSnapshot().state, "unconfirmed");
  paths.length = 0;
  server = await serve(folder, Number(port));
  await until(store.status, (status) => status.name === "live");
  await until(task, (view) => view.state === "fresh");
  assert.deepEqual(paths, [], "without a change no read model is fetched");
});
