/** A change costs what changed: each list is read again once, and the answer has the changed rows alone. */
import assert from "node:assert/strict";
import { eventRows, idsOf, showsTruth, taskRows, timeline } from "../look.mjs";
import { quieted, scenario, settled, until } from "../stage.mjs";

export const title = "the cost of a change";
export const options = { concurrency: 2 };

/** A text that no coding makes small, so the bytes of an answer tell its rows. */
const noise = (size) => Array.from({ length: size }, () => Math.random().toString(36)[2] ?? "x").join("");

const longTasks = (server, project, count) =>
  server.newTasks(project, count, (at) => ({ title: `task ${at} ${noise(200)}` }));
const longSteps = (count) =>
  Array.from({ length: count }, (_, at) => ({ kind: "log", title: `step ${at}`, body: noise(100) }));

/** The name of a request, without ids, tokens and cursors. */
function nameOf({ method, path, status }) {
  const { pathname, searchParams } = new URL(path, "http://server");
  const words = [method, pathname.replace("/api/v1/", "").replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, ":id")];
  if (searchParams.has("limit")) words.push(searchParams.get("limit"));
  if (searchParams.has("before")) words.push("older");
  if (searchParams.has("since")) words.push("since");
  return [...words, status].join(" ");
}

/** Longer than the pause before any read of the page. */
const QUIET_MS = 1500;

/** The requests of the API since the last call, once no more come: how many there were of each name, and all of them. */
async function made(proxy) {
  await quieted(proxy, QUIET_MS, Date.now());
  const all = proxy.requests
    .splice(0)
    .filter(({ path }) => path.startsWith("/api/v1/") && !path.startsWith("/api/v1/stream"));
  const counts = {};
  for (const request of all) counts[nameOf(request)] = (counts[nameOf(request)] ?? 0) + 1;
  return { counts, all };
}

/** What `act` costs. It ends with the notice of a change, which the page has heard. */
async function cost({ proxy }, notice, act) {
  // A read of before can still wait for its pace.
  await quieted(proxy, QUIET_MS, Date.now());
  proxy.taken();
  proxy.heard = "";
  await act();
  await until(() => proxy.heard.includes(notice), `the page hears ${notice}`);
  return made(proxy);
}

/** After an own write, each read demands the write. */
function demands(all) {
  const written = all.findIndex(({ method }) => method !== "GET");
  for (const { path, atLeast } of all.slice(written + 1)) assert.ok(atLeast, `${path} demands the write`);
}

/** No row is under the pointer or the focus, so the list has the order of now. */
async function letGo(page) {
  await page.mouse.move(2, 2);
  await page.evaluate(() => document.activeElement.blur());
}

/** The ids of the first tasks on the server. */
async function firstTasks(server, project, count) {
  const ids = [];
  for (let before = {}; before !== null && ids.length < count; ) {
    const query = new URLSearchParams({ project, limit: 100, ...before });
    const { items, next } = await server.send("GET", `/api/v1/tasks?${query}`);
    ids.push(...items.map(({ task_id }) => task_id));
    before = next && { before: next };
  }
  return ids.slice(0, count);
}

async function loadOlder(page, name, rows, count) {
  await page.getByRole("button", { name }).click();
  await until(async () => (await rows.count()) === count, `${count} rows are there`);
}

/**
 * A notice carries the cursor of its flush, which can contain later writes of others. So each stage has its own server:
 * nobody else writes there.
 */
const ALONE = { ownServer: true };

export function tests() {
  scenario("an own change of a task costs one read of each list, and its notice none", ALONE, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const tasks = await longTasks(server, project, 320);
    await show("/tasks");
    await showsTruth(page, server, project);
    await loadOlder(page, "Older tasks", taskRows(page), 200);
    await loadOlder(page, "Older tasks", taskRows(page), 300);
    const { counts, all } = await cost(stage, "task.completed", async () => {
      await page.locator(`[data-row="${tasks[310].task_id}"]`).focus();
      await page.keyboard.press("f");
      await page.getByText("The task is done.").waitFor();
    });
    assert.deepEqual(counts, {
      "PATCH tasks/:id 200": 1,
      "GET overview 200": 1,
      "GET tasks since 200": 1,
      "GET tasks 100 since 200": 1,
      "GET tasks 100 older since 200": 2,
    });
    demands(all);
    const lists = all.filter(({ path }) => path.includes("limit=100"));
    for (const { path, bytes } of lists) assert.ok(bytes < 1000, `${path} has ${bytes} bytes`);
    await letGo(page);
    const truth = await firstTasks(server, project, 300);
    await until(async () => (await idsOf(taskRows(page))).join() === truth.join(), "the rows are those of the server");
    await quieted(proxy, QUIET_MS, Date.now());
    assert.deepEqual(proxy.taken(), [], "no request came later");
  });

  scenario(
    "a task that comes to the top costs one page of the older rows, however many are loaded",
    ALONE,
    async (stage) => {
      const { page, server, project, show } = stage;
      const tasks = await longTasks(server, project, 450);
      await show("/tasks");
      await showsTruth(page, server, project);
      for (const count of [200, 300, 400]) await loadOlder(page, "Older tasks", taskRows(page), count);
      await letGo(page);
      const whole = "GET tasks 100 older 200";
      const changes = "GET tasks 100 older since 200";
      const top = (at) => server.change(tasks[at], { title: `to the top ${at}` });
      for (const [notice, act, pages] of [
        // A row of the first page, of the first older one, of the last one, and behind all.
        ["task.updated", () => top(420), { [changes]: 3 }],
        ["task.updated", () => top(300), { [whole]: 1, [changes]: 2 }],
        ["task.updated", () => top(60), { [whole]: 1, [changes]: 3 }],
        ["task.updated", () => top(5), { [whole]: 1, [changes]: 3 }],
        ["task.started", () => server.newTask(project, { title: "new" }), { [whole]: 1, [changes]: 3 }],
        ["task.deleted", () => server.send("DELETE", `/api/v1/tasks/${tasks[430].task_id}`), { [changes]: 4 }],
        ["task.deleted", () => server.send("DELETE", `/api/v1/tasks/${tasks[200].task_id}`), { [changes]: 4 }],
      ]) {
        const { counts } = await cost(stage, notice, act);
        const older = Object.fromEntries(Object.entries(counts).filter(([name]) => name.includes("older")));
        assert.deepEqual(older, pages);
        const count = await taskRows(page).count();
        assert.ok(count >= 396, `${count} rows`);
        const truth = await firstTasks(server, project, count);
        assert.deepEqual(await idsOf(taskRows(page)), truth);
      }
    },
  );

  scenario("an own deletion costs one read of each list, and its notice none", ALONE, async (stage) => {
    const { page, server, project, show } = stage;
    const tasks = await longTasks(server, project, 30);
    await show("/tasks");
    await showsTruth(page, server, project);
    const { counts, all } = await cost(stage, "task.deleted", async () => {
      await page.locator(`[data-row="${tasks[12].task_id}"]`).focus();
      await page.keyboard.press("x");
      await page.getByText("The task is deleted.").waitFor();
    });
    assert.deepEqual(counts, {
      "DELETE tasks/:id 204": 1,
      "GET overview 200": 1,
      "GET tasks since 200": 1,
      "GET tasks 100 since 200": 1,
    });
    demands(all);
    for (const { path, bytes } of all.slice(2)) assert.ok(bytes < 700, `${path} has ${bytes} bytes`);
    await letGo(page);
    await showsTruth(page, server, project);
  });

  scenario("an own bookmark costs one read of each list, and its notice none", ALONE, async (stage) => {
    const { page, server, project, show } = stage;
    const tasks = await server.newTasks(project, 120, (at) => ({ title: `task ${at}` }));
    for (const { task_id } of tasks.slice(1)) await server.send("PUT", "/api/v1/bookmarks", { task_id });
    await server.logEvents(tasks[0], longSteps(3));
    await show(`/tasks/${tasks[0].task_id}`);
    await page.getByText("step 2").waitFor();
    const saved = await cost(stage, "bookmark.saved", async () => {
      await page.keyboard.press("b");
      await page.getByText("The bookmark is saved.").first().waitFor();
    });
    assert.deepEqual(saved.counts, {
      "PUT bookmarks 201": 1,
      "GET bookmarks since 200": 1,
      "GET bookmarks 200 since 200": 1,
    });
    demands(saved.all);

    await page.keyboard.press("3");
    const rows = page.locator("[data-bookmark]");
    await until(async () => (await rows.count()) === 50, "the first bookmarks are there");
    await loadOlder(page, "Older bookmarks", rows, 120);
    // A row behind the first page leaves too, although the first page stays the same.
    for (const at of [10, 90]) {
      const id = await rows.nth(at).getAttribute("data-bookmark");
      const { counts, all } = await cost(stage, "bookmark.deleted", async () => {
        await rows.nth(at).getByRole("button", { name: "Remove" }).click();
        await page.getByText("The bookmark is gone.").waitFor();
      });
      await letGo(page);
      await until(
        async () => !(await idsOf(page.locator("[data-bookmark] [data-row]"))).includes(id),
        "the row leaves",
      );
      demands(all);
      assert.deepEqual(counts, {
        "DELETE bookmarks/:id 204": 1,
        "GET bookmarks since 200": 1,
        "GET bookmarks 100 older since 200": 1,
      });
    }
    assert.equal(await rows.count(), 118);
  });

  scenario("a change elsewhere costs its row in the list of a status", ALONE, async (stage) => {
    const { page, server, project, show } = stage;
    const tasks = await longTasks(server, project, 60);
    await server.newTasks(project, 60, (at) => ({ title: `done ${at}`, status: "completed" }));
    await show("/tasks", { status: "running" });
    await until(async () => (await taskRows(page).count()) === 60, "the running tasks are there");
    const { counts, all } = await cost(stage, "task.updated", async () => {
      await server.change(tasks[5], { title: "renamed" });
      await page.getByText("renamed").waitFor();
    });
    assert.deepEqual(counts, {
      "GET overview 200": 1,
      "GET tasks since 200": 1,
      "GET tasks 100 since 200": 1,
    });
    for (const { path, bytes } of all) assert.ok(bytes < 500, `${path} has ${bytes} bytes`);
    assert.equal(await taskRows(page).count(), 60);
  });

  scenario("changes of another answer are dropped, and a whole answer is shown", ALONE, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const tasks = await longTasks(server, project, 20);
    await server.newTasks(project, 20, (at) => ({ title: `done ${at}`, status: "completed" }));
    await show("/tasks");
    await showsTruth(page, server, project);
    const isList = (path) => path.includes("limit=100") && path.includes("since=");
    const misfit = { full: false, changed: [], removed: [], length: 41, next: null, previous: null };
    proxy.replace = (path) =>
      isList(path) ? { status: 200, type: "application/json", body: JSON.stringify(misfit) } : null;
    const wrong = await cost(stage, "task.updated", () => server.change(tasks[3], { title: "asked again" }));
    assert.equal(wrong.counts["GET tasks 100 since 200"], 1);
    assert.equal(wrong.counts["GET tasks 100 200"], 1, "the whole list is requested");
    await showsTruth(page, server, project);
    proxy.replace = () => null;
    // The log does not name the tasks of a purge.
    const purged = await cost(stage, "tasks.purged", () => server.send("POST", "/api/v1/tasks/purge", { project }));
    const list = purged.all.filter(({ path }) => isList(path));
    assert.equal(list.length, 1);
    assert.ok(list[0].bytes > 3000, `the whole list has ${list[0].bytes} bytes`);
    await showsTruth(page, server, project);
    assert.equal(await taskRows(page).count(), 20);
  });

  scenario("a change behind the newest page of a timeline costs its row, once", ALONE, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "long" });
    await server.logEvents(task, longSteps(500));
    await show(`/tasks/${task.task_id}`);
    await page.getByText("step 499").waitFor();
    await page.keyboard.press("g");
    await page.getByText("step 0", { exact: true }).waitFor();
    const ids = await idsOf(eventRows(page));
    const older = "GET tasks/:id/timeline 200 older since 200";
    for (const [act, isThere] of [
      [
        () => server.send("PATCH", `/api/v1/events/${ids[3]}`, { title: "renamed" }),
        () => page.getByText("renamed").isVisible(),
      ],
      [
        () => server.send("DELETE", `/api/v1/events/${ids[4]}`),
        async () => (await page.locator(`[data-row="${ids[4]}"]`).count()) === 0,
      ],
    ]) {
      const { counts, all } = await cost(stage, "event.updated", async () => {
        await act();
        await until(isThere, "the change is shown");
      });
      assert.equal(counts[older], 1, JSON.stringify(counts));
      assert.equal(all.length, 2);
      const { bytes } = all.find((request) => nameOf(request) === older);
      assert.ok(bytes < 500, `${bytes} bytes`);
    }
    // The own write of a person who reads there.
    const { counts, all } = await cost(stage, "task.completed", async () => {
      await page.keyboard.press("f");
      await page.getByText("The task is done.").waitFor();
    });
    demands(all);
    assert.deepEqual(counts, {
      "PATCH tasks/:id 200": 1,
      "GET overview 200": 1,
      "GET tasks since 200": 1,
      "GET tasks/:id since 200": 1,
      [older]: 1,
    });
  });

  scenario("a person who reads above the newest page pays for the new rows alone", ALONE, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "followed" });
    await server.logEvents(task, longSteps(400));
    await show(`/tasks/${task.task_id}`);
    await page.getByText("step 399").waitFor();
    await timeline(page).hover();
    await page.mouse.wheel(0, -1200);
    await page.getByRole("button", { name: /to the end/i }).waitFor();
    const late = (at) => [{ kind: "log", title: `late ${at}`, body: noise(100) }];
    // The rows between the newest page and the older pages have no answer of their own before.
    for (let at = 0; at < 60; at++) await server.logEvents(task, late(at));
    await page.getByRole("button", { name: /60 newer/ }).waitFor();
    await settled(proxy);
    const { items } = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline?limit=200`);
    const shown = await idsOf(eventRows(page));
    const [changed, deleted] = items.filter(({ event_id }) => shown.includes(event_id)).slice(5);
    for (const [notice, act] of [
      ["event.logged", () => server.logEvents(task, late(60))],
      ["event.updated", () => server.send("PATCH", `/api/v1/events/${changed.event_id}`, { title: "renamed" })],
      ["event.logged", () => server.logEvents(task, late(61))],
      ["event.updated", () => server.send("DELETE", `/api/v1/events/${deleted.event_id}`)],
      ["event.logged", () => server.logEvents(task, late(62))],
    ]) {
      const { all } = await cost(stage, notice, act);
      const older = all.filter(({ path }) => path.includes("/timeline?"));
      assert.ok(older.length >= 1, "the rows in view are read again");
      for (const request of older) {
        assert.match(request.path, /since=/);
        assert.ok(request.bytes < 1500, `${request.bytes} bytes`);
      }
    }
    await until(
      async () => (await page.locator(`[data-row="${changed.event_id}"]`).textContent()).includes("renamed"),
      "the row is the newest one",
    );
    const truth = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline?limit=200`);
    const all = truth.items.map(({ event_id }) => event_id).reverse();
    const seen = await idsOf(eventRows(page));
    const first = all.indexOf(seen[0]);
    assert.deepEqual(seen, all.slice(first, first + seen.length));
  });

  scenario("a row below a filled hole is read again when it changes", ALONE, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "far" });
    await server.logEvents(task, longSteps(400));
    await show(`/tasks/${task.task_id}`);
    await page.getByText("step 399").waitFor();
    const more = async (name, count) => {
      const steps = Array.from({ length: count }, (_, at) => ({ kind: "log", title: `${name} ${at}` }));
      await server.logEvents(task, steps);
      await page.getByText(`${name} ${count - 1}`, { exact: true }).waitFor();
    };
    // Rows leave the newest page one after another, then more come than the newest page has, and then one more.
    for (const name of ["a", "b", "c"]) await more(name, 30);
    await more("many", 120);
    await more("last", 1);
    const row = page.locator(`[data-row]`, { hasText: "step 354" });
    await timeline(page).hover();
    await until(async () => {
      if ((await row.count()) > 0) return true;
      await page.mouse.wheel(0, -600);
      return false;
    }, "the row is drawn");
    const id = await row.getAttribute("data-row");
    await server.send("PATCH", `/api/v1/events/${id}`, { title: "renamed" });
    await until(() => page.getByText("renamed").isVisible(), "the change is shown");
  });

  scenario("older rows whose request failed are read again without a further change", ALONE, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const tasks = await longTasks(server, project, 150);
    await show("/tasks");
    await showsTruth(page, server, project);
    await loadOlder(page, "Older tasks", taskRows(page), 150);
    await letGo(page);
    let failed = 0;
    const failure = { status: 503, type: "application/json", body: JSON.stringify({ detail: "busy" }) };
    proxy.replace = (path) => {
      if (!path.includes("before=")) return null;
      failed += 1;
      return failure;
    };
    await server.send("DELETE", `/api/v1/tasks/${tasks[1].task_id}`);
    await until(() => failed >= 2, "the request is repeated");
    proxy.replace = () => null;
    const isGone = async () => (await page.locator(`[data-row="${tasks[1].task_id}"]`).count()) === 0;
    await until(isGone, "the deletion is shown");
  });
}
