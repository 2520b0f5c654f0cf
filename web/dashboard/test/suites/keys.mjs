/** A full run without a pointer. */
import assert from "node:assert/strict";
import { dialog, idsOf, panel, taskRows } from "../look.mjs";
import { scenario, until } from "../stage.mjs";

export const title = "a person without a pointer";
export const options = { concurrency: 2 };

/** Presses Tab until the focused element fits. */
async function tabTo(page, fits, most = 60) {
  for (let count = 0; count < most; count++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(fits)) return;
  }
  assert.fail(`no element fits within ${most} presses of Tab: ${fits}`);
}

/** The field has the focus one frame after the key. */
const searching = (page) => page.waitForFunction(() => document.activeElement?.id === "search");
const focusedRow = (page) => page.evaluate(() => document.activeElement?.closest("[data-row]")?.dataset.row ?? null);
const hasRing = (page) =>
  page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 2;
  });

export function tests() {
  scenario(
    "a full run by keys: find, open, read, mark, rename, finish, delete, take back, purge, switch the project",
    {},
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const asks = await server.newTask(project, {
        title: "asks",
        status: "waiting",
        status_reason: "question",
        status_detail: "Which one?",
      });
      await server.newTask(project, { title: "a part", parent_task_id: asks.task_id, status: "completed" });
      await server.newTasks(project, 5, (at) => ({ title: `work ${at}` }));
      await server.newTasks(project, 2, (at) => ({ title: `ended ${at}`, status: "completed" }));
      await server.logEvents(asks, [
        { kind: "log", title: "first event", body: "the first body" },
        { kind: "log", title: "second event", body: "the second body" },
      ]);
      const stored = () => server.send("GET", `/api/v1/tasks/${asks.task_id}`);
      const { keyboard } = page;
      await show("/");
      await page.getByText("Which one?").first().waitFor();
      // The first row is the one that needs a person.
      await keyboard.press("j");
      assert.equal(await focusedRow(page), asks.task_id);
      assert.ok(await hasRing(page), "the focus is seen");
      await keyboard.press("Enter");
      await page.getByText("second event").first().waitFor();
      // Read an event, as text and as JSON; go to the next; close it.
      await keyboard.press("j");
      await keyboard.press("Enter");
      await panel(page).getByText("the first body").waitFor();
      await keyboard.press("r");
      await panel(page).getByText('"event_id"').waitFor();
      await keyboard.press("b");
      await page.getByText("bookmark is saved").first().waitFor();
      await keyboard.press("Escape");
      await panel(page).waitFor({ state: "detached" });
      // Rename.
      await keyboard.press("n");
      await page.getByRole("textbox", { name: "Name of the task" }).waitFor();
      await keyboard.press("Control+A");
      await keyboard.type("renamed by keys");
      await keyboard.press("Enter");
      await page.getByRole("heading", { name: "renamed by keys" }).waitFor();
      // Finish.
      await keyboard.press("f");
      await until(async () => (await stored()).task.status === "completed", "the task is done");
      // The list: search and open a hit.
      await keyboard.press("/");
      await searching(page);
      await keyboard.type("second");
      await page.locator("mark").first().waitFor();
      await tabTo(page, () => document.activeElement?.closest("[data-row]") !== null);
      await keyboard.press("Enter");
      await panel(page).getByText("the second body").waitFor();
      // A filter by Tab and Enter.
      await keyboard.press("2");
      await taskRows(page).first().waitFor();
      await tabTo(page, () => document.activeElement?.textContent === "Running");
      assert.ok(await hasRing(page), "the focus of a link is seen");
      await keyboard.press("Enter");
      await until(async () => (await taskRows(page).count()) === 5, "the filter holds");
      // Delete and take back, then delete for good.
      await keyboard.press("j");
      await keyboard.press("j");
      const row = await focusedRow(page);
      assert.equal(row, (await idsOf(taskRows(page)))[1]);
      await keyboard.press("x");
      await page.getByText("being deleted").first().waitFor();
      await keyboard.press("u");
      await page.getByText("The task stays.").first().waitFor();
      assert.equal(proxy.requests.filter(({ method }) => method === "DELETE").length, 0);
      // Purge.
      await keyboard.press("P");
      await dialog(page).waitFor();
      await tabTo(
        page,
        () =>
          document.activeElement?.tagName === "SELECT" && /Ended/.test(document.activeElement.labels[0].textContent),
      );
      await keyboard.press("Home");
      await tabTo(page, () => /which tasks/.test(document.activeElement?.textContent ?? ""));
      await keyboard.press("Enter");
      await dialog(page).getByText("ended 1").waitFor();
      await tabTo(page, () => /^Remove 4/.test(document.activeElement?.textContent ?? ""));
      await keyboard.press("Enter");
      await until(async () => (await server.tasks(project)).length === 5, "four tasks are removed");
      await dialog(page).waitFor({ state: "detached" });
      // Another project.
      await keyboard.press("p");
      await dialog(page).waitFor();
      await tabTo(page, () => /All projects/.test(document.activeElement?.textContent ?? ""));
      await keyboard.press("Enter");
      await until(() => !page.url().includes("project="), "all projects are chosen");
      await dialog(page).waitFor({ state: "detached" });
      // The help, and its end.
      await keyboard.press("?");
      await dialog(page).waitFor();
      await keyboard.press("Escape");
      await dialog(page).waitFor({ state: "detached" });
      await keyboard.press("3");
      await page.getByRole("heading", { name: "Bookmarks" }).waitFor();
      await keyboard.press("1");
      await page.getByRole("region", { name: /need/ }).waitFor();
    },
  );

  scenario("the help lists a key for every action of the screen, and no key twice", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "with keys" });
    await server.logEvents(task, [{ kind: "log", title: "an event", body: "x" }]);
    const { items } = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline`);
    const everywhere = ["1", "2", "3", "/", "p", "j", "k", ".", "u", "?"];
    for (const [path, more, own] of [
      ["/", {}, ["f", "x"]],
      ["/tasks", {}, ["f", "x", "P"]],
      [`/tasks/${task.task_id}`, {}, ["n", "f", "x", "c", "l", "b"]],
      [`/tasks/${task.task_id}`, { event: items[0].event_id }, ["r", "y", "b"]],
      ["/bookmarks", {}, ["x"]],
    ]) {
      await show(path, more);
      if (path === "/bookmarks") await page.getByRole("heading", { name: "Bookmarks" }).waitFor();
      else if (more.event) await panel(page).waitFor();
      else await page.locator("main [data-row]:visible").first().waitFor();
      await page.keyboard.press("?");
      await dialog(page).waitFor();
      const keys = await dialog(page).locator("dt kbd").allTextContents();
      for (const key of [...everywhere, ...own])
        assert.ok(keys.includes(key), `${path}: the help does not list ${key}`);
    }
  });

  scenario("letters that a person types in a field are letters, and Escape leaves the field", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTask(project, { title: "typed" });
    await show("/tasks");
    await taskRows(page).first().waitFor();
    await page.keyboard.press("/");
    await searching(page);
    await page.keyboard.type("123?xfPu.");
    assert.equal(await page.getByRole("searchbox").inputValue(), "123?xfPu.");
    assert.equal(new URL(page.url()).pathname, "/tasks");
    await page.keyboard.press("Escape");
    await page.keyboard.press("1");
    await until(() => new URL(page.url()).pathname === "/", "the key leads to the first screen");
  });

  scenario("the skip link moves the focus to the rows, past the bar", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "skipped to" });
    await show("/tasks");
    await taskRows(page).first().waitFor();
    await tabTo(page, () => document.activeElement?.textContent.trim() === "To the rows");
    const address = page.url();
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
    assert.equal(page.url(), address);
    await tabTo(page, () => document.activeElement?.closest("[data-row]") !== null, 12);
    assert.equal(await focusedRow(page), task.task_id);
  });

  scenario("keys of one character can be turned off, and stay off after a reload", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTask(project, { title: "calm hands" });
    await show("/tasks");
    await taskRows(page).first().waitFor();
    const turn = async (from) => {
      await page.getByRole("button", { name: "Keys and signs" }).click();
      await dialog(page)
        .getByRole("button", { name: `Keys of one character: ${from}` })
        .click();
      await page.keyboard.press("Escape");
      await dialog(page).waitFor({ state: "detached" });
    };
    await turn("on");
    for (const load of [false, true]) {
      if (load) await page.reload();
      await taskRows(page).first().waitFor();
      await page.waitForFunction(() => document.documentElement.classList.contains("no-letter-keys"));
      for (const key of ["1", "j", "?", "P"]) await page.keyboard.press(key);
      assert.equal(new URL(page.url()).pathname, "/tasks");
      assert.equal(await focusedRow(page), null);
      assert.equal(await dialog(page).count(), 0);
    }
    await turn("off");
    await page.keyboard.press("1");
    await until(() => new URL(page.url()).pathname === "/", "the key acts again");
  });

  scenario("the focus stays where it is while rows change, and goes to the screen that opens", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const tasks = await server.newTasks(project, 6, (at) => ({ title: `row ${at}` }));
    await show("/tasks");
    await taskRows(page).first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    const row = await focusedRow(page);
    for (const task of tasks) await server.change(task, { status: "waiting" });
    await until(async () => (await page.getByText(/waits for you/).count()) === 6, "the rows changed");
    assert.equal(await focusedRow(page), row);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /row/ }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
    await page.goBack();
    await until(async () => (await focusedRow(page)) === row, "back gives the row its focus again");
  });

  scenario("back after a click leaves the lists free, and moves no page that a person scrolls", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTasks(project, 60, (at) => ({ title: `row ${at}` }));
    await show("/tasks");
    const row = taskRows(page).filter({ hasText: "row 59" });
    await row.click();
    await page.getByRole("heading", { name: "row 59" }).waitFor();
    await page.mouse.move(2, 2);
    await page.goBack();
    await row.waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.closest("[data-row]")), null);
    // The row that a person left by a key is gone when the person comes back.
    await show("/");
    await page.getByText("row 1").first().waitFor();
    await page.keyboard.press("j");
    const left = await focusedRow(page);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /row/ }).waitFor();
    await server.send("DELETE", `/api/v1/tasks/${left}`);
    await page.getByText("The task is not here").waitFor();
    await page.goBack();
    const scrollable = () => page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
    await until(async () => (await scrollable()) >= 400, "the page is long enough");
    await page.mouse.wheel(0, 400);
    const scrolled = () => page.evaluate(() => window.scrollY);
    await until(async () => (await scrolled()) === 400, "the person has scrolled");
    await page.waitForTimeout(3500);
    assert.equal(await scrolled(), 400);
  });
}
