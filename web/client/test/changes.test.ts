/** Answers with changes alone, applied to the held answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyChanges } from "../src/changes.js";

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
