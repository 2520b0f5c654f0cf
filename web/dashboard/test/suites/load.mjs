/** Work is counted under load: requests, mutations, moved rows and shifts. */
import assert from "node:assert/strict";
import { eventRows, showsTruth, timeline } from "../look.mjs";
import { counting, followRows, takeCounts } from "../probes.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "under load";

/** Makes changes at a pace for a while, in requests that do not wait for each other. Returns the number of changes. */
async function changesAt(pace, ms, change) {
  const begun = Date.now();
  const sent = [];
  let count = 0;
  while (Date.now() - begun < ms) {
    const due = Math.floor(((Date.now() - begun) / 1000) * pace);
    while (count < due) sent.push(change(count++));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await Promise.all(sent);
  return count;
}

/** The most requests in any second of a list of times. */
export function mostInASecond(times) {
  let most = 0;
  let first = 0;
  for (let last = 0; last < times.length; last++) {
    while (times[last] - times[first] >= 1000) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

export function tests() {
  scenario(
    "500 changes a second: at most 5 fetches of a read model in any second, 4 once the load is steady",
    { scripts: [counting] },
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const tasks = await server.newTasks(project, 25, (at) => ({ title: `row ${at}` }));
      await show(`/tasks/${tasks[0].task_id}`);
      await page.getByRole("heading", { name: "row 0" }).waitFor();
      await settled(proxy);
      await takeCounts(page);
      const begun = Date.now();
      // A request logs 10 events, each of which is a change.
      const requests = await changesAt(50, 8000, (at) =>
        server.logEvents(
          tasks[at % 25],
          Array.from({ length: 10 }, (_, of) => ({ kind: "log", title: `event ${at} ${of}` })),
        ),
      );
      const spent = Date.now() - begun;
      const counts = await takeCounts(page);
      const timesOf = (pattern) => proxy.requests.filter(({ path }) => pattern.test(path)).map(({ at }) => at);
      for (const [name, pattern] of [
        ["overview", /^\/api\/v1\/overview/],
        ["task", new RegExp(`^/api/v1/tasks/${tasks[0].task_id}(\\?|$)`)],
      ]) {
        const times = timesOf(pattern);
        assert.ok(times.length >= 4, `${name}: the page follows (${times.length} fetches)`);
        assert.ok(mostInASecond(times) <= 5, `${name}: ${mostInASecond(times)} fetches in one second`);
        const steady = times.filter((at) => at - begun > 3000);
        assert.ok(
          mostInASecond(steady) <= 4,
          `${name}: ${mostInASecond(steady)} fetches in one second of a steady load`,
        );
      }
      assert.ok(
        (requests * 10) / (spent / 1000) > 250,
        `the load was ${Math.round((requests * 10) / (spent / 1000))} changes a second`,
      );
      const shifts = counts.shifts.filter(({ byPerson }) => !byPerson);
      assert.ok(
        shifts.reduce((sum, { value }) => sum + value, 0) < 0.01,
        `the layout shifted: ${JSON.stringify(shifts)}`,
      );
      await page.keyboard.press("2");
      await showsTruth(page, server, project, 30_000);
    },
  );

  scenario("a change of one row draws few nodes of a list of 100", { scripts: [counting] }, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const tasks = await server.newTasks(project, 100, (at) => ({ title: `row ${at}` }));
    await show("/tasks");
    await showsTruth(page, server, project);
    await settled(proxy);
    // The ages are written once a second, so the count is the least of some tries.
    let least = Number.POSITIVE_INFINITY;
    for (let at = 0; at < 5; at++) {
      const text = `changed ${at}`;
      await page.evaluate(() => {
        window.counts.mutations = 0;
      });
      await server.change(tasks[99], { title: text });
      await page.getByText(text).waitFor();
      least = Math.min(least, (await takeCounts(page)).mutations);
    }
    assert.ok(least <= 40, `${least} mutations for one changed row`);
  });

  scenario("a change of a task on no screen costs the read models of the screen alone", {}, async (stage) => {
    const { server, project, show, proxy, page } = stage;
    const [shown, other] = await server.newTasks(project, 2, (at) => ({ title: `task ${at}` }));
    await server.logEvents(shown, [{ kind: "log", title: "an event" }]);
    await show(`/tasks/${shown.task_id}`);
    await page.getByText("an event").waitFor();
    await settled(proxy);
    await server.logEvents(other, [{ kind: "log", title: "elsewhere" }]);
    await until(
      () => proxy.requests.some(({ path }) => path.startsWith("/api/v1/overview")),
      "the overview is fetched",
    );
    const reads = await settled(proxy);
    assert.deepEqual(
      reads.filter((line) => line.includes("/api/v1/tasks/") || line.includes("bookmarks")),
      [],
    );
  });

  scenario(
    "the timeline follows 50 events a second without a shift and without a double event",
    { scripts: [counting] },
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const task = await server.newTask(project, { title: "followed" });
      const steps = Array.from({ length: 3000 }, (_, at) => ({ kind: "log", title: `step ${at}` }));
      await server.logEvents(task, steps);
      await show(`/tasks/${task.task_id}`);
      await page.getByText("step 2999").waitFor();
      await settled(proxy);
      await takeCounts(page);
      const count = await changesAt(50, 5000, (at) => server.logEvents(task, [{ kind: "log", title: `late ${at}` }]));
      await page.getByText(`late ${count - 1}`, { exact: true }).waitFor();
      const { shifts } = await takeCounts(page);
      const whole = shifts.reduce((sum, { value }) => sum + value, 0);
      assert.ok(whole < 0.01, `the layout shifted by ${whole}`);
      const ids = await eventRows(page).evaluateAll((rows) => rows.map((row) => row.dataset.row));
      assert.equal(new Set(ids).size, ids.length);
      const isAtEnd = await timeline(page).evaluate(
        (list) => list.scrollHeight - list.scrollTop - list.clientHeight < 30,
      );
      assert.ok(isAtEnd, "the list follows its end");
      // A person who reads older rows is left in peace by the same load.
      await timeline(page).evaluate((list) => list.scrollTo(0, list.scrollHeight - 3000));
      await page.getByRole("button", { name: /newer|to the end/i }).waitFor();
      await page.evaluate(followRows);
      await takeCounts(page);
      await changesAt(50, 2500, (at) => server.logEvents(task, [{ kind: "log", title: `unseen ${at}` }]));
      await page.getByRole("button", { name: /newer/ }).waitFor();
      const { moved, frames } = await takeCounts(page);
      assert.ok(frames > 10);
      assert.deepEqual(moved, [], "a row that a person reads moved");
    },
  );
}
