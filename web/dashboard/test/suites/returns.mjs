/** A page that a person leaves, loads again, or comes back to. */
import assert from "node:assert/strict";
import { eventRows, panel, showsTruth, taskRows, timeline } from "../look.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "a page that is loaded again or returned to";
export const options = { concurrency: 2 };

export function tests() {
  scenario("loaded again without a change: no read model is requested", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "kept" });
    await server.logEvents(task, [{ kind: "log", title: "an event" }]);
    for (const [path, text] of [
      ["/", "kept"],
      [`/tasks/${task.task_id}`, "an event"],
      ["/bookmarks", "Waiting for the first bookmark"],
    ]) {
      await show(path);
      await page.getByText(text).first().waitFor();
      await settled(proxy);
      await page.reload();
      await page.getByText(text).first().waitFor();
      const reads = await settled(proxy);
      const models = reads.filter((line) => /overview|\/bookmarks( |\?(?!.*task_id))|tasks\/[^/?]+( |\?)/.test(line));
      assert.deepEqual(models, [], `${path}: a read model without a change is requested again`);
    }
  });

  scenario(
    "loaded again after a change meanwhile: only what changed is requested, and it is shown",
    {},
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const [task, other] = await server.newTasks(project, 3, (at) => ({ title: `task ${at}` }));
      await show(`/tasks/${task.task_id}`);
      await page.getByRole("heading", { name: "task 0" }).waitFor();
      await settled(proxy);
      await page.goto("about:blank");
      await server.change(other, { title: "changed meanwhile" });
      proxy.taken();
      await page.goBack();
      await page.getByRole("heading", { name: "task 0" }).waitFor();
      const reads = await settled(proxy);
      assert.deepEqual(
        reads.filter((line) => line.includes(`/tasks/${task.task_id}`)),
        [],
        "the task did not change",
      );
      await page.keyboard.press("2");
      await showsTruth(page, server, project);
    },
  );

  scenario(
    "away and back: the filter, the search, the scroll and the selected event are where they were",
    {},
    async (stage) => {
      const { page, server, project, show } = stage;
      await server.newTasks(project, 60, (at) => ({ title: `row ${at}`, status: at % 2 ? "running" : "completed" }));
      await show("/tasks");
      await taskRows(page).first().waitFor();
      await page.getByRole("link", { name: "Running", exact: true }).click();
      await until(async () => (await taskRows(page).count()) === 30, "the filter holds");
      await page.evaluate(() => window.scrollTo(0, 150));
      await page.waitForFunction(() => window.scrollY === 150);
      await taskRows(page)
        .nth(18)
        .evaluate((row) => row.click());
      await page.getByRole("heading", { name: /row/ }).waitFor();
      await page.goBack();
      await page.waitForFunction(() => window.scrollY === 150);
      assert.equal(new URL(page.url()).searchParams.get("status"), "running");
      assert.equal(await taskRows(page).count(), 30);
      // The same over a whole load of the page.
      await page.goto("about:blank");
      await page.goBack();
      await page.waitForFunction(() => window.scrollY === 150);
      assert.equal(await taskRows(page).count(), 30);
      await page.keyboard.press("/");
      await page.getByRole("searchbox").fill("row 41");
      await page.waitForURL(/q=row/);
      await page.reload();
      assert.equal(await page.getByRole("searchbox").inputValue(), "row 41");
    },
  );

  scenario(
    "the selected event is in the address: a link to it opens it, far from the end of the timeline",
    {},
    async (stage) => {
      const { page, server, project, show } = stage;
      const task = await server.newTask(project, { title: "long" });
      await server.logEvents(
        task,
        Array.from({ length: 900 }, (_, at) => ({ kind: "log", title: `step ${at}`, body: `body ${at}` })),
      );
      const { items } = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline?limit=200`);
      const far = items.at(-1);
      await show(`/tasks/${task.task_id}`, { event: far.event_id });
      await panel(page).getByText(far.body).waitFor();
      // The list makes its rows anew while it measures them.
      await until(async () => {
        const row = await page.locator(`[data-row="${far.event_id}"]`).boundingBox();
        const list = await timeline(page).boundingBox();
        return row !== null && row.y >= list.y && row.y < list.y + list.height;
      }, "the selected event is in view");
      const top = await timeline(page).evaluate((list) => list.scrollTop);
      await page.reload();
      await panel(page).getByText(far.body).waitFor();
      await page.keyboard.press("2");
      await page.goBack();
      await panel(page).getByText(far.body).waitFor();
      assert.ok(top > 0);
      assert.ok((await eventRows(page).count()) > 0);
    },
  );
}
