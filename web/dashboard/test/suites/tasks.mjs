/** The list of tasks, and the actions on a task. */
import assert from "node:assert/strict";
import { dialog, showsTruth, taskRows } from "../look.mjs";
import { scenario, until } from "../stage.mjs";

export const title = "the list of tasks and its actions";

export function tests() {
  scenario("a filter shows the tasks of a status, as a link with an address", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTask(project, { title: "runs" });
    await server.newTask(project, { title: "waits", status: "waiting", status_reason: "permission" });
    await server.newTask(project, { title: "broke", status: "errored" });
    await server.newTask(project, { title: "ended", status: "completed" });
    await show("/tasks");
    await showsTruth(page, server, project);
    for (const [word, status, text] of [
      ["Waiting", "waiting", "waits"],
      ["Running", "running", "runs"],
      ["Failed", "errored", "broke"],
      ["Done", "completed", "ended"],
    ]) {
      await page.getByRole("navigation", { name: "Status" }).getByRole("link", { name: word }).click();
      await until(async () => (await taskRows(page).count()) === 1, `one task is ${status}`);
      assert.equal(await taskRows(page).first().getAttribute("data-title"), text);
      assert.equal(new URL(page.url()).searchParams.get("status"), status);
    }
  });

  scenario("the search shows where the words stand, finds events, and follows new rows", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "Totals are off by one cent" });
    await server.logEvents(task, [{ kind: "log", title: "read the cart", body: "the totals of <b>each</b> line" }]);
    await show("/tasks");
    await showsTruth(page, server, project);
    await page.keyboard.press("/");
    await page.getByRole("searchbox").fill("totals");
    await until(async () => (await page.locator("mark").count()) >= 2, "the words are marked");
    for (const mark of await page.locator("mark").all()) assert.match(await mark.textContent(), /^totals$/i);
    await page.getByText("<b>each</b>").first().waitFor();
    await server.newTask(project, { title: "totals again" });
    await page.getByText(/again/).first().waitFor();
    await page.getByRole("link", { name: /read the cart/ }).click();
    await page.getByRole("article", { name: "Selected event" }).waitFor();
  });

  scenario("a parent shows its parts, and a part leads to the whole", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const parent = await server.newTask(project, { title: "the whole" });
    await server.newTask(project, { title: "the part", parent_task_id: parent.task_id });
    await show(`/tasks/${parent.task_id}`);
    await page
      .getByText(/1 part/)
      .first()
      .click();
    await page.getByRole("link", { name: /the part/ }).click();
    await page.getByRole("heading", { name: "the part" }).waitFor();
    await page.getByRole("link", { name: /whole/i }).first().click();
    await page.getByRole("heading", { name: "the whole" }).waitFor();
  });

  scenario("rename and finish are stored, and the screen shows them", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "old name" });
    const stored = () => server.send("GET", `/api/v1/tasks/${task.task_id}`);
    await show(`/tasks/${task.task_id}`);
    await page.getByRole("heading", { name: "old name" }).waitFor();
    await page.getByRole("button", { name: /^Rename/ }).click();
    await page.getByRole("textbox", { name: "Name of the task" }).fill("new name");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "new name" }).waitFor();
    assert.equal((await stored()).task.title, "new name");
    await page.getByRole("button", { name: /^Finish/ }).click();
    await until(async () => (await stored()).task.status === "completed", "the task is stored as done");
    await page.getByRole("button", { name: /^Finish/ }).waitFor({ state: "detached" });
  });

  scenario(
    "a deletion goes out five seconds later; until then the row says so and u takes it back",
    {},
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const [kept, gone] = await server.newTasks(project, 2, (at) => ({ title: `task ${at}` }));
      const sent = () => proxy.requests.filter(({ method }) => method === "DELETE").length;
      await show("/tasks");
      await showsTruth(page, server, project);
      const row = (task) => page.locator(`[data-row="${task.task_id}"]`);
      await row(kept).focus();
      await page.keyboard.press("x");
      await until(
        async () => /being deleted/.test(await row(kept).textContent()),
        "the row says that it is being deleted",
      );
      await page.keyboard.press("u");
      await until(async () => !/being deleted/.test(await row(kept).textContent()), "the row is as before");
      await row(gone).focus();
      await page.keyboard.press("x");
      const pressed = Date.now();
      await page.getByRole("button", { name: /undo/i }).waitFor();
      await until(() => sent() === 1, "the request goes out");
      const waited = Date.now() - pressed;
      assert.ok(waited > 4500 && waited < 7500, `the request went out after ${waited} ms`);
      await page.keyboard.press("Escape");
      await showsTruth(page, server, project);
      assert.equal((await server.tasks(project)).length, 1);
    },
  );

  scenario("a deletion goes out at once when the page is left", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "to delete" });
    await show(`/tasks/${task.task_id}`);
    await page.getByRole("heading", { name: "to delete" }).waitFor();
    await page.keyboard.press("x");
    await page.getByText("being deleted").first().waitFor();
    await page.goto("about:blank");
    await until(async () => (await server.tasks(project)).length === 0, "the task is deleted");
  });

  scenario("a purge shows how many and which tasks before it removes them", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    await server.newTasks(project, 3, (at) => ({ title: `done ${at}`, status: "completed" }));
    await server.newTask(project, { title: "still runs" });
    await show("/tasks");
    await showsTruth(page, server, project);
    await page.keyboard.press("P");
    await dialog(page).getByLabel(/Ended/).selectOption({ index: 0 });
    await dialog(page)
      .getByRole("button", { name: /which tasks/ })
      .click();
    await dialog(page).getByText("done 2").waitFor();
    assert.equal((await server.tasks(project)).length, 4, "the preview removes no task");
    assert.equal(await dialog(page).getByText("still runs").count(), 0);
    await dialog(page)
      .getByRole("button", { name: /Remove 3/ })
      .click();
    await until(async () => (await server.tasks(project)).length === 1, "the tasks are removed");
    await showsTruth(page, server, project);
    assert.equal(proxy.requests.filter(({ path }) => path.endsWith("/purge")).length, 2);
  });

  scenario("older tasks are loaded on demand, and none stands twice", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTasks(project, 130, (at) => ({ title: `row ${at}` }));
    await show("/tasks");
    await showsTruth(page, server, project);
    await page.getByRole("button", { name: "Older tasks" }).click();
    await until(async () => (await taskRows(page).count()) === 130, "all rows are there");
    const rows = await taskRows(page).evaluateAll((all) => all.map((row) => row.dataset.row));
    assert.equal(new Set(rows).size, 130);
  });
}
