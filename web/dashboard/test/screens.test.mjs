/** The screens in a browser, before a real server. Each test has a project of its own. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { at, logEvents, newProject, newTask, open, send, skipped } from "./browser.mjs";

const HOSTILE = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202e${"W".repeat(300)}`;

describe("the dashboard", { skip: skipped, timeout: 120_000 }, () => {
  let browser;
  let page;
  let faults;
  before(async () => {
    ({ browser, page, faults } = await open());
  });
  after(() => browser?.close());

  const rows = () => page.locator("[data-row]").evaluateAll((all) => all.map((row) => row.dataset.row));
  const show = async (path, project, more) => {
    await page.mouse.move(2, 2);
    await page.goto(at(path, project, more));
  };

  test("a task that asks a question stands first, in view in a window of 360 px", async () => {
    const project = newProject();
    for (let count = 0; count < 20; count++) await newTask(project, { title: `work ${count}` });
    await newTask(project, { title: "Which port?", status: "waiting", status_reason: "question" });
    await page.setViewportSize({ width: 360, height: 640 });
    await show("/", project);
    const card = page.locator(".need").first();
    await card.waitFor();
    assert.match(await card.textContent(), /asks you[\s\S]*Which port\?[\s\S]*asks a question/);
    const box = await card.boundingBox();
    assert.ok(box.y + box.height < 640, "the card is in view");
    assert.match(await page.title(), /^\(1\)/);
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  test("a hostile text runs no script and breaks no layout", async () => {
    const project = newProject();
    const task = await newTask(project, { title: HOSTILE, status: "waiting", status_reason: HOSTILE });
    await logEvents(task, [{ kind: "log", title: HOSTILE, body: HOSTILE }]);
    for (const width of [360, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      for (const path of ["/", "/tasks", `/tasks/${task.task_id}`]) {
        await show(path, project);
        await page.locator("[data-row]").first().waitFor();
        assert.equal(await page.evaluate(() => window.hacked), undefined);
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(beyond <= 0, `${path} is ${beyond} px too wide in ${width} px`);
      }
    }
  });

  test("a change is shown without a reload", async () => {
    const project = newProject();
    const task = await newTask(project, { title: "first" });
    await show("/", project);
    await page.getByText("first").waitFor();
    await send("PATCH", `/api/v1/tasks/${task.task_id}`, { status: "waiting", status_reason: "permission" });
    await page.locator(".need", { hasText: "first" }).waitFor({ timeout: 5000 });
  });

  test("no row moves under the pointer, and a key shows the newer rows", async () => {
    const project = newProject();
    for (let count = 0; count < 8; count++) await newTask(project, { title: `row ${count}` });
    await show("/tasks", project);
    await page.getByText("row 0").waitFor();
    await page.locator("[data-row]").nth(3).hover();
    const before = await rows();
    await newTask(project, { title: "newer" });
    await page.locator(".newer").waitFor({ timeout: 5000 });
    assert.deepEqual(await rows(), before);
    await page.keyboard.press(".");
    await page.getByText("newer", { exact: true }).waitFor({ timeout: 2000 });
  });

  test("a deletion can be taken back, and goes out at once when the page is left", async () => {
    const project = newProject();
    const task = await newTask(project, { title: "to delete" });
    const sent = [];
    page.on("request", (request) => request.method() === "DELETE" && sent.push(request.url()));
    await show(`/tasks/${task.task_id}`, project);
    await page.getByRole("heading", { name: "to delete" }).waitFor();
    await page.keyboard.press("x");
    await page.getByText("is being deleted", { exact: false }).first().waitFor();
    await page.keyboard.press("u");
    await page.getByText("The task stays.").waitFor();
    assert.deepEqual(sent, []);
    await page.keyboard.press("x");
    await page.goto("about:blank");
    for (let tries = 0; tries < 50; tries++) {
      const answer = await send("GET", `/api/v1/tasks?${new URLSearchParams({ project })}`);
      if (answer.items.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail("the task is still there");
  });

  test("a timeline begins at its end, loads older rows, and moves no row that a person reads", async () => {
    const project = newProject();
    const task = await newTask(project, { title: "long" });
    await logEvents(
      task,
      Array.from({ length: 1000 }, (_, count) => ({ kind: "log", title: `step ${count}` })),
    );
    await show(`/tasks/${task.task_id}`, project);
    await page.getByText("step 999").waitFor();
    assert.ok((await page.locator(".event").count()) < 100, "only the rows in view are elements");
    await page.locator(".virtual").evaluate((list) => list.scrollTo(0, 0));
    // 50 rows of 28 px came with the task, and 200 come with the older page.
    await page.waitForFunction(() => document.querySelector(".virtual").scrollHeight >= 250 * 28);
    await page.locator(".virtual").evaluate((list) => list.scrollTo(0, list.scrollHeight / 2));
    const row = page.locator(".event").nth(20);
    const id = await row.getAttribute("data-row");
    const top = (await row.boundingBox()).y;
    await logEvents(
      task,
      Array.from({ length: 300 }, (_, count) => ({ kind: "log", title: `late ${count}` })),
    );
    await page.getByText("300 newer").waitFor({ timeout: 5000 });
    assert.equal((await page.locator(`[data-row="${id}"]`).boundingBox()).y, top);
    await page.keyboard.press("l");
    await page.getByText("late 299").waitFor();
  });

  test("the address has the selected event, and keys alone open and close it", async () => {
    const project = newProject();
    const task = await newTask(project, { title: "keys" });
    await logEvents(task, [{ kind: "log", title: "one", body: "the body" }]);
    await show("/tasks", project);
    await page.locator("[data-row]").first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.getByText("one", { exact: true }).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.locator(".panel", { hasText: "the body" }).waitFor();
    assert.match(page.url(), /event=/);
    await page.reload();
    await page.locator(".panel", { hasText: "the body" }).waitFor();
    await page.keyboard.press("r");
    await page.locator(".panel", { hasText: '"event_id"' }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".panel").waitFor({ state: "detached" });
    assert.doesNotMatch(page.url(), /event=/);
  });

  test("the way back restores the scroll", async () => {
    const project = newProject();
    for (let count = 0; count < 60; count++) await newTask(project, { title: `row ${count}` });
    await show("/tasks", project);
    await page.getByText("row 0", { exact: true }).waitFor();
    await page.evaluate(() => window.scrollTo(0, 500));
    await page
      .locator("[data-row]")
      .nth(30)
      .evaluate((row) => row.click());
    await page.locator(".task-head").waitFor();
    await page.goBack();
    await page.waitForFunction(() => window.scrollY === 500, null, { timeout: 3000 });
  });

  test("a bookmark is saved from an event and leads back to it", async () => {
    const project = newProject();
    const task = await newTask(project, { title: "marked" });
    await logEvents(task, [{ kind: "log", title: "worth a mark" }]);
    await show(`/tasks/${task.task_id}`, project);
    await page.getByText("worth a mark").click();
    await page.locator(".panel").waitFor();
    await page.keyboard.press("b");
    await page.getByText("The bookmark is saved", { exact: false }).waitFor();
    await page.keyboard.press("3");
    await page.locator(".marks a", { hasText: "worth a mark" }).click();
    await page.locator(".panel", { hasText: "worth a mark" }).waitFor();
  });

  test("an empty project is a command and a live wait", async () => {
    const project = newProject();
    await show("/", project);
    await page.getByText("Waiting for the first event").waitFor();
    await page.getByText("requery hooks install --agent claude-code").waitFor();
    await newTask(project, { title: "the first" });
    await page.getByText("the first").waitFor({ timeout: 5000 });
  });

  test("the page made no fault and broke no rule of its policy", () => {
    assert.deepEqual(faults, []);
  });
});
