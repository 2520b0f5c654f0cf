/** Answers with changes alone, applied to the held answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyChanges, knowsChanges, mergeAnswer } from "../src/changes.js";

const row = (id: string, version = 1) => ({ task_id: id, version });
const page = (ids: string, next: string | null = null) => ({
  items: [...ids].map((id) => row(id)),
  next,
  previous: null,
});
const changes = (changed: readonly [number, string][], removed: readonly string[], length: number) => ({
  full: false,
  changed: changed.map(([at, id]) => ({ at, item: row(id, 2) })),
  removed,
  length,
  next: "n",
  previous: null,
});

test("the changed rows come to their places, and the others keep their identity", () => {
  const held = page("abc", "m");
  const made = (...given: Parameters<typeof changes>) => {
    const whole = applyChanges("api/v1/tasks", held, changes(...given)) as ReturnType<typeof page> | undefined;
    if (whole) {
      assert.equal(whole.next, "n");
      for (const item of whole.items) {
        assert.ok(item.version === 2 || held.items.includes(item));
      }
    }
    return whole?.items.map(({ task_id, version }) => `${task_id}${version}`).join(" ");
  };
  assert.equal(made([], [], 3), "a1 b1 c1");
  assert.equal(made([[0, "c"]], [], 3), "c2 a1 b1");
  assert.equal(made([[2, "z"]], ["b"], 3), "a1 c1 z2");
  assert.equal(made([], ["a", "b"], 1), "c1");
  assert.equal(made([], ["a"], 3), undefined);
  assert.equal(made([[5, "x"]], [], 4), undefined);
});

test("a part of a detail that is null keeps its identity", () => {
  const held = {
    task: row("t"),
    sessions: [{ session_id: "s" }],
    children: [],
    figures: { events: 1 },
    timeline: { items: [{ event_id: "e" }], next: "m" },
  };
  const list = (item: unknown, length: number) => ({
    changed: [{ at: 0, item }],
    removed: [],
    length,
    next: null,
    previous: null,
  });
  const change = {
    full: false,
    task: row("t", 2),
    sessions: null,
    children: list(row("c"), 1),
    figures: null,
    timeline: list({ event_id: "f" }, 2),
  };
  const made = applyChanges("api/v1/tasks/t", held, change) as typeof held;
  assert.deepEqual(made, {
    task: row("t", 2),
    sessions: [{ session_id: "s" }],
    children: [row("c")],
    figures: { events: 1 },
    timeline: { items: [{ event_id: "f" }, { event_id: "e" }], next: null },
  });
  assert.equal(made.sessions, held.sessions);
  assert.equal(made.figures, held.figures);
  const misfit = { full: false, sessions: { changed: [], removed: [], length: 9, next: null, previous: null } };
  assert.equal(applyChanges("api/v1/tasks/t", held, misfit), undefined);
});

test("a read with since is known by its path, with a slash before it and a query behind it", () => {
  for (const path of [
    "api/v1/tasks",
    "/api/v1/tasks?limit=2",
    "/api/v1/tasks/t?project=p",
    "api/v1/tasks/t/timeline",
  ]) {
    assert.ok(knowsChanges(path), path);
  }
  assert.ok(knowsChanges("/api/v1/bookmarks?task_id=t"));
  for (const path of [
    "api/v1/overview",
    "/api/v1/projects?limit=2",
    "api/v1/tasks/t/events",
    "api/v1/search?q=tasks",
  ]) {
    assert.ok(!knowsChanges(path), path);
  }
});

test("an answer is merged with the held one: rows that are equal keep their identity", () => {
  const path = "/api/v1/tasks?limit=3&before=m";
  const held = page("abc", "n");
  const ids = (whole: unknown) => (whole as typeof held).items.map(({ task_id, version }) => `${task_id}${version}`);
  const moved = mergeAnswer(path, held, changes([[0, "c"]], [], 3)) as typeof held;
  assert.deepEqual(ids(moved), ["c2", "a1", "b1"]);
  assert.ok(moved.items.slice(1).every((item) => held.items.includes(item)));
  // A row of the changes can be equal to the held one.
  const same = { ...changes([], [], 3), changed: [{ at: 1, item: row("b") }] };
  assert.equal(mergeAnswer(path, held, same), held);
  assert.equal(mergeAnswer(path, held, changes([], ["a"], 3)), undefined, "changes of another answer");
  // The whole answer, as from a server that does not know the changes.
  assert.equal(mergeAnswer(path, held, page("abc", "n")), held);
  const whole = mergeAnswer(path, held, page("bcd", "n")) as typeof held;
  assert.deepEqual(ids(whole), ["b1", "c1", "d1"]);
  assert.equal(whole.items[0], held.items[1]);
  assert.deepEqual(mergeAnswer(path, null, page("a")), page("a"));
});

test("a page of a timeline and one of bookmarks are merged by the ids of their own rows", () => {
  for (const [path, id] of [
    ["/api/v1/tasks/t/timeline?before=e9&limit=2", "event_id"],
    ["/api/v1/bookmarks?task_id=t", "bookmark_id"],
  ] as const) {
    // Each row names its task too.
    const one = (name: string, title = "old") => ({ [id]: name, task_id: "t", title });
    const held = { items: [one("a"), one("b")], next: "b", previous: "a" };
    const change = {
      full: false,
      changed: [{ at: 0, item: one("b", "new") }],
      removed: ["a"],
      length: 1,
      next: null,
      previous: "b",
    };
    assert.deepEqual(mergeAnswer(path, held, change), { items: [one("b", "new")], next: null, previous: "b" });
  }
});
