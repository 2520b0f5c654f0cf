/** The list of tasks, and the actions on a task. */
import assert from "node:assert/strict";
import { dialog, showsTruth, taskRows } from "../look.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "the list of tasks and its actions";
export const options = { concurrency: 2 };

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

  scenario("a search looks at every status, and a status ends the search", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const waits = await server.newTask(project, {
      title: "totals wait",
      status: "waiting",
      status_reason: "permission",
    });
    await server.newTask(project, { title: "totals end", status: "completed" });
    await show("/tasks", { status: "waiting" });
    await until(async () => (await taskRows(page).count()) === 1, "one task waits");
    const chosen = page.getByRole("navigation", { name: "Status" }).locator("[aria-current=true]");
    assert.equal(await chosen.textContent(), "Waiting");
    await page.getByRole("searchbox").fill("totals");
    await page.getByText("2 found").waitFor();
    assert.equal(await chosen.count(), 0, "no status is chosen");
    // A hit that is a task takes the keys of a task.
    await page.keyboard.press("Escape");
    await page.locator("[data-title='totals wait']").focus();
    await page.keyboard.press("f");
    await until(
      async () => (await server.send("GET", `/api/v1/tasks/${waits.task_id}`)).task.status === "completed",
      "the task is finished",
    );
    await page.getByRole("navigation", { name: "Status" }).getByRole("link", { name: "Done" }).click();
    await until(async () => (await taskRows(page).count()) === 2, "the done tasks");
    assert.equal(await page.getByRole("searchbox").inputValue(), "");
    // A status that is chosen while a person types ends the search before it begins.
    await page.getByRole("searchbox").fill("never sent");
    await page.getByRole("navigation", { name: "Status" }).getByRole("link", { name: "Waiting" }).click();
    await page.getByText("No task has this status now.").waitFor();
    assert.equal(await page.getByRole("searchbox").inputValue(), "");
    await page.waitForTimeout(400);
    assert.equal(new URL(page.url()).searchParams.get("q"), null);
  });

  // The index follows the rows. No notice tells that it has reached them.
  scenario("a search asks again while the index is behind", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTask(project, { title: "lately written" });
    const asked = [];
    await page.route(/api\/v1\/search/, async (route) => {
      asked.push(route.request().url());
      if (asked.length > 2) return route.continue();
      const response = await route.fetch();
      const answer = await response.json();
      // An answer of an index that is behind has a tag of its own.
      const headers = { ...response.headers(), etag: '"behind"' };
      return route.fulfill({ response, headers, json: { ...answer, items: [], complete: false } });
    });
    await show("/tasks");
    await page.getByRole("searchbox").fill("lately");
    await page.getByText("The index is behind").waitFor();
    await page.getByText("1 found").waitFor();
    assert.equal(asked.length, 3);
  });

  for (const width of [360, 1280]) {
    const options = { viewport: { width, height: 740 } };
    scenario(`a row says why a task waits, and a task where to answer, ${width} px`, options, async (stage) => {
      const { page, server, project, show } = stage;
      const blocked = { status: "waiting", status_reason: "permission", status_detail: "Delete the folder?" };
      const agent = await server.newTask(project, { title: "of an agent", source: "claude-code", ...blocked });
      const other = await server.newTask(project, { title: "of a program", source: "release-bot", ...blocked });
      await server.newTask(project, { title: "at work", status: "running" });
      await show("/tasks");
      const row = taskRows(page).filter({ hasText: "of an agent" });
      await row.getByText("permission").first().waitFor();
      await row.getByText("Delete the folder?").waitFor();
      const word = taskRows(page).filter({ hasText: "at work" }).locator(".row-word");
      assert.equal(await word.isVisible(), width > 600, "a row that does not wait has its word where there is room");
      await show(`/tasks/${agent.task_id}`);
      await page.getByText("waits for your permission, in its terminal").waitFor();
      await show(`/tasks/${other.task_id}`);
      await page.getByText("waits for your permission", { exact: true }).waitFor();
    });
  }

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
    await page
      .getByRole("link", { name: /whole/i })
      .or(page.getByRole("button", { name: /whole/i }))
      .first()
      .click();
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

  scenario("each Undo takes back its own deletion, and the key the last one", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const tasks = await server.newTasks(project, 3, (at) => ({ title: `task ${at}` }));
    await show("/tasks");
    await showsTruth(page, server, project);
    for (const task of tasks) {
      await page.locator(`[data-row="${task.task_id}"]`).focus();
      await page.keyboard.press("x");
    }
    const undoOf = (name) =>
      page
        .getByRole("contentinfo")
        .locator("div", { hasText: `${name} is being deleted` })
        .getByRole("button", { name: /undo/i });
    await undoOf("task 0").click();
    await page.keyboard.press("u");
    await undoOf("task 2").waitFor({ state: "detached" });
    await until(async () => (await server.tasks(project)).length === 2, "one deletion goes out");
    const titles = (await server.tasks(project)).map(({ title }) => title).sort();
    assert.deepEqual(titles, ["task 0", "task 2"]);
    assert.equal(proxy.requests.filter(({ method }) => method === "DELETE").length, 1);
  });

  scenario("a deletion whose request went out offers no Undo, and goes out once", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "sent" });
    const sent = () => proxy.requests.filter(({ method }) => method === "DELETE").length;
    await show("/tasks");
    await showsTruth(page, server, project);
    const row = page.locator(`[data-row="${task.task_id}"]`);
    await row.focus();
    await page.keyboard.press("x");
    await page.getByRole("button", { name: /undo/i }).waitFor();
    proxy.hold();
    await until(() => sent() === 1, "the request goes out");
    await page.getByRole("button", { name: /undo/i }).waitFor({ state: "detached" });
    assert.match(await row.textContent(), /is being deleted(?!;)/);
    await page.keyboard.press("u");
    await page.getByText("No deletion can be taken back now.").waitFor();
    await page.evaluate(() => window.dispatchEvent(new Event("pagehide")));
    proxy.heal();
    await until(async () => (await server.tasks(project)).length === 0, "the task is deleted");
    assert.equal(sent(), 1, "the request went out once");
  });

  scenario("a name is stored once by Enter, and not at all by Escape", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "first" });
    const field = page.getByRole("textbox", { name: "Name of the task" });
    const sent = () => proxy.requests.filter(({ method }) => method === "PATCH").length;
    await show(`/tasks/${task.task_id}`);
    await page.getByRole("heading", { name: "first" }).waitFor();
    for (const [key, name] of [
      ["Escape", "first"],
      ["Enter", "second"],
    ]) {
      await page.keyboard.press("n");
      await field.fill("second");
      await page.keyboard.press(key);
      await field.waitFor({ state: "detached" });
      await page.getByRole("heading", { name }).waitFor();
      // The answer to a later request comes after the request of the key.
      await settled(proxy);
      assert.equal((await server.send("GET", `/api/v1/tasks/${task.task_id}`)).task.title, name);
    }
    await page.keyboard.press("n");
    await field.fill("third");
    proxy.requests.length = 0;
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "third" }).waitFor();
    assert.equal(sent(), 1, "Enter sends one request");
  });

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
    assert.equal(proxy.requests.filter(({ path }) => path.includes("/purge")).length, 2);
  });

  scenario("a purge of any time leaves a task that ended after the preview", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTask(project, { title: "seen", status: "completed" });
    const late = await server.newTask(project, { title: "ends later" });
    await show("/tasks");
    await showsTruth(page, server, project);
    await page.keyboard.press("P");
    await dialog(page).getByLabel(/Ended/).selectOption({ label: "any time" });
    await dialog(page)
      .getByRole("button", { name: /which tasks/ })
      .click();
    await dialog(page).getByText("seen").waitFor();
    await server.change(late, { status: "completed" });
    await dialog(page)
      .getByRole("button", { name: /Remove 1/ })
      .click();
    await page.getByText("1 task is removed.").first().waitFor();
    assert.deepEqual(
      (await server.tasks(project)).map(({ title }) => title),
      ["ends later"],
    );
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
    // Rows behind the first page follow the server too.
    await server.send("DELETE", `/api/v1/tasks/${rows[125]}`);
    await server.send("PATCH", `/api/v1/tasks/${rows[110]}`, { title: "comes to the top" });
    await server.newTasks(project, 3, (at) => ({ title: `new ${at}` }));
    const truth = async () => {
      const { items } = await server.send("GET", `/api/v1/tasks?${new URLSearchParams({ project, limit: 200 })}`);
      return items.map(({ task_id }) => task_id).join();
    };
    await page.mouse.move(2, 2);
    await page.evaluate(() => document.activeElement.blur());
    const shown = () => taskRows(page).evaluateAll((all) => all.map((row) => row.dataset.row).join());
    await until(async () => (await shown()) === (await truth()), "all rows are those of the server");
    assert.equal((await truth()).split(",").length, 132);
  });
}
