/** Changes reach each open page without a reload. */
import assert from "node:assert/strict";
import { eventRows, idsOf, needs, showsTruth, taskRows } from "../look.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "changes reach each open page";
export const options = { concurrency: 2 };

export function tests() {
  scenario(
    "two pages: a write in one is shown in both, without a reload and without a double row",
    {},
    async (stage) => {
      const { page, newPage, server, project, at, show, proxy } = stage;
      const [task] = await server.newTasks(project, 4, (index) => ({ title: `task ${index}` }));
      const other = await newPage();
      await show("/tasks");
      await other.goto(at("/tasks"));
      for (const one of [page, other]) await showsTruth(one, server, project);
      await settled(proxy);
      await page.locator(`[data-row="${task.task_id}"]`).focus();
      await page.keyboard.press("f");
      await page.getByText("The task is done.").waitFor();
      await page.keyboard.press("Escape");
      for (const one of [page, other]) await showsTruth(one, server, project);
      const reads = (await settled(proxy)).filter((line) => line.startsWith("GET /api/v1/overview"));
      assert.ok(reads.length <= 2, `two pages share the reads of one write: ${reads.length}`);
    },
  );

  scenario("a hundred changes in one second: each page ends with the truth", {}, async (stage) => {
    const { page, newPage, server, project, at, show } = stage;
    const tasks = await server.newTasks(project, 10, (index) => ({ title: `task ${index}` }));
    const other = await newPage();
    await show("/tasks");
    await other.goto(at("/"));
    await other.getByText("task 3").first().waitFor();
    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        server.change(tasks[index % 10], { title: `name ${index}`, status: index % 3 ? "running" : "waiting" }),
      ),
    );
    await showsTruth(page, server, project);
    const waiting = (await server.tasks(project)).filter(({ status }) => status === "waiting");
    for (const { title: name } of waiting) await needs(other).filter({ hasText: name }).waitFor();
    assert.equal(await needs(other).count(), waiting.length);
  });

  scenario("a new event appears in the timeline of its task, once, and the list tells of it", {}, async (stage) => {
    const { page, newPage, server, project, at, show } = stage;
    const task = await server.newTask(project, { title: "logged" });
    await server.logEvents(task, [{ kind: "log", title: "one" }]);
    await show(`/tasks/${task.task_id}`);
    const list = await newPage();
    await list.goto(at("/tasks"));
    await showsTruth(list, server, project);
    for (let count = 2; count <= 20; count++) await server.logEvents(task, [{ kind: "log", title: `event ${count}` }]);
    await page.getByText("event 20").waitFor();
    // The list draws the rows around the newest one in the next frames.
    await until(async () => (await eventRows(page).count()) === 20, "the timeline has each event once");
    assert.equal(new Set(await idsOf(eventRows(page))).size, 20);
    await showsTruth(list, server, project);
  });

  scenario(
    "a task that is deleted elsewhere leaves the list, and its own page says that it is gone",
    {},
    async (stage) => {
      const { page, newPage, server, project, at, show } = stage;
      const [task] = await server.newTasks(project, 3, (index) => ({ title: `task ${index}` }));
      await show(`/tasks/${task.task_id}`);
      const list = await newPage();
      await list.goto(at("/tasks"));
      await page.getByText("task 0").first().waitFor();
      await showsTruth(list, server, project);
      await server.send("DELETE", `/api/v1/tasks/${task.task_id}`);
      await page.getByText("The task is not here").waitFor();
      await showsTruth(list, server, project);
      assert.equal(await taskRows(list).count(), 2);
    },
  );
}
