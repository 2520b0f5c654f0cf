/** Runs against the real server, if `REQUERY_BINARY` names it. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WebSocket } from "ws";
import { type Environment, machine } from "../src/environment.js";
import { createStore, mergeAnswer, type Store, type Subscribable } from "../src/index.js";
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

test("pages that are merged from their changes equal whole reads", { skip: !binary }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "requery-web-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const server = await serve(folder, 0);
  t.after(() => stop(server.child));
  const send = async (method: string, path: string, body?: unknown) => {
    const headers = { "content-type": "application/json" };
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(`${server.url}/api/v1/${path}`, { method, headers, ...init });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return { json: response.status === 204 ? null : await response.json(), headers: response.headers };
  };
  const tasks: string[] = [];
  for (let at = 0; at < 40; at++) {
    tasks.push((await send("POST", "tasks", { title: `task ${at} ${"long ".repeat(80)}`, project: "p" })).json.task_id);
  }
  const of = (at: number) => tasks[at % tasks.length] ?? "";
  await send("POST", `tasks/${of(0)}/events`, {
    events: Array.from({ length: 60 }, (_, at) => ({ kind: "log", title: `event ${at}` })),
  });
  // A short list would come whole, so each list is long.
  for (let at = 31; at < 37; at++) await send("PATCH", `tasks/${of(at)}`, { status: "completed" });
  for (let at = 0; at < 8; at++) {
    await send("PUT", "bookmarks", { task_id: of(at), note: "long ".repeat(240) });
  }
  const next = async (path: string) => encodeURIComponent((await send("GET", path)).json.next);
  const paths = [
    "tasks?limit=20",
    "tasks?limit=20&status=completed",
    `tasks?limit=10&before=${await next("tasks?limit=20")}`,
    `tasks/${of(0)}/timeline?limit=20`,
    `tasks/${of(0)}/timeline?limit=20&before=${await next(`tasks/${of(0)}/timeline?limit=20`)}`,
    "bookmarks?limit=5",
    `bookmarks?task_id=${of(3)}`,
  ];
  const events = (await send("GET", `tasks/${of(0)}/timeline?limit=60`)).json.items as { event_id: string }[];
  const held = new Map<string, { json: unknown; cursor: string }>();
  const merged = new Map(paths.map((path) => [path, 0]));
  // Each step is another write: the rows come, change, move and go in each of the lists.
  const steps = [
    () => send("PATCH", `tasks/${of(37)}`, { status: "completed" }),
    () => send("POST", `tasks/${of(25)}/events`, { kind: "log", title: "to the top" }),
    () => send("DELETE", `tasks/${of(30)}`),
    () => send("PATCH", `events/${events[5]?.event_id}`, { title: "renamed" }),
    () => send("DELETE", `events/${events[7]?.event_id}`),
    () => send("DELETE", `events/${events[30]?.event_id}`),
    () => send("POST", `tasks/${of(0)}/events`, { kind: "log", title: "late" }),
    () => send("PUT", "bookmarks", { task_id: of(3), note: `a note ${"long ".repeat(240)}` }),
    () => send("PATCH", `tasks/${of(37)}`, { status: "running" }),
    () => send("POST", "tasks", { title: "new", project: "p" }),
    () => send("DELETE", `tasks/${of(12)}`),
  ];
  for (const step of [async () => {}, ...steps]) {
    await step();
    for (const path of paths) {
      const whole = await send("GET", path);
      const before = held.get(path);
      let json = whole.json;
      if (before) {
        const since = `${path}&since=${encodeURIComponent(before.cursor)}`;
        const { json: answer } = await send("GET", since);
        json = mergeAnswer(`/api/v1/${path}`, before.json, answer);
        assert.deepEqual(json, whole.json, path);
        if (answer.full === false) merged.set(path, (merged.get(path) ?? 0) + 1);
      }
      held.set(path, { json, cursor: whole.headers.get("requery-cursor") ?? "" });
    }
  }
  for (const [path, times] of merged) {
    assert.ok(times > steps.length / 2, `${path}: the server knew the changes ${times} times of ${steps.length}`);
  }
  const all = [...merged.values()].reduce((sum, times) => sum + times, 0);
  assert.ok(all > 60, `the server knew the changes ${all} times of ${paths.length * steps.length}`);
});
