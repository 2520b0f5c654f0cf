/** The timeline of one task. */
import assert from "node:assert/strict";
import { eventRows, idsOf, panel, timeline } from "../look.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "the timeline of a task";
export const options = { concurrency: 2 };

const steps = (count, of = () => ({})) =>
  Array.from({ length: count }, (_, at) => ({ kind: "log", title: `step ${at}`, ...of(at) }));
const DIFF = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-<script>window.hacked=1</script>\n+<b>new</b>\n";

export function tests() {
  scenario("begins at its end, makes elements only for rows in view, and loads older pages", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "long" });
    await server.logEvents(task, steps(3000));
    await show(`/tasks/${task.task_id}`);
    await page.getByText("step 2999").waitFor();
    assert.ok((await eventRows(page).count()) < 100, "only the rows in view are elements");
    for (let pages = 0; pages < 3; pages++) {
      const before = proxy.requests.length;
      const scrolled = async () => {
        // A list that is busy with a page takes the next one at the next scroll.
        await timeline(page).evaluate((list) => list.scrollTo(0, list.scrollTop === 0 ? 1 : 0));
        return proxy.requests.length > before;
      };
      await until(scrolled, "an older page is requested");
    }
    assert.ok((await eventRows(page).count()) < 100);
    const older = proxy.requests.filter(({ path }) => path.includes("/timeline?")).map(({ path }) => path);
    assert.equal(new Set(older).size, older.length, "no page is requested twice");
  });

  scenario("follows its end, lets go when a person scrolls, and follows again on a key", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "followed" });
    await server.logEvents(task, steps(300));
    await show(`/tasks/${task.task_id}`);
    await page.getByText("step 299").waitFor();
    await server.logEvents(task, [{ kind: "log", title: "late one" }]);
    await page.getByText("late one").waitFor();
    await timeline(page).hover();
    await page.mouse.wheel(0, -600);
    await page.getByRole("button", { name: /to the end/i }).waitFor();
    await page.mouse.move(2, 2);
    const [first] = await idsOf(eventRows(page));
    const top = (await page.locator(`[data-row="${first}"]`).boundingBox()).y;
    await server.logEvents(
      task,
      steps(40, (at) => ({ title: `later ${at}` })),
    );
    await page.getByRole("button", { name: /40 newer/ }).waitFor();
    assert.equal((await page.locator(`[data-row="${first}"]`).boundingBox()).y, top, "the row stays in its place");
    await page.keyboard.press("l");
    await page.getByText("later 39").waitFor();
    await page.getByRole("button", { name: /newer|to the end/i }).waitFor({ state: "detached" });
    // The timeline followed when the person left it, so it follows when the person comes back.
    await page.keyboard.press("2");
    await page.getByRole("searchbox").waitFor();
    await page.goBack();
    await page.getByText("later 39").waitFor();
    await server.logEvents(task, [{ kind: "log", title: "the last one" }]);
    await page.getByText("the last one").waitFor();
    assert.equal(await page.getByRole("button", { name: /newer|to the end/i }).count(), 0);
  });

  scenario("a body is text: a diff has colours and no markup; raw JSON is one key away", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "diffs" });
    await server.logEvents(task, [
      { kind: "tool", family: "file", title: "Edit x", body: DIFF, metadata: { deep: "<i>" } },
    ]);
    await show(`/tasks/${task.task_id}`);
    await page.getByText("Edit x").first().click();
    await panel(page).getByText("<b>new</b>").waitFor();
    assert.equal(await panel(page).locator("b, script, i").count(), 0, "no text became markup");
    const colour = (text) =>
      panel(page)
        .getByText(text)
        .evaluate((line) => getComputedStyle(line).color);
    assert.notEqual(await colour("<b>new</b>"), await colour("window.hacked"));
    await page.keyboard.press("r");
    await panel(page).getByText('"event_id"').waitFor();
    assert.equal(await page.evaluate(() => window.hacked), undefined);
  });

  scenario("a failed step is open in the list: its text is seen without a click", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "failing" });
    await server.logEvents(task, [
      { kind: "tool", family: "terminal", title: "npm test", state: "ok", body: "quiet words" },
      { kind: "tool", family: "terminal", title: "npm build", state: "failed", body: "Error: no such module" },
    ]);
    await show(`/tasks/${task.task_id}`);
    await timeline(page).getByText("Error: no such module").waitFor();
    assert.equal(await timeline(page).getByText("quiet words").count(), 0);
  });

  scenario(
    "sessions and usage by model stand with the task, and the resume command is copied",
    { permissions: ["clipboard-read", "clipboard-write"] },
    async (stage) => {
      const { page, server, project } = stage;
      const session = `s-${project.slice(2)}`;
      await server.hook({
        session_id: session,
        cwd: "/home/dev/my shop",
        hook_event_name: "SessionStart",
        source: "startup",
      });
      await server.hook({
        session_id: session,
        cwd: "/home/dev/my shop",
        hook_event_name: "UserPromptSubmit",
        prompt: `Work ${project}`,
      });
      const { items } = await server.send("GET", "/api/v1/tasks?limit=200");
      const task = items.find((one) => one.title.includes(project));
      await page.goto(`${stage.proxy.url}/tasks/${task.task_id}`);
      await page
        .getByText(/1 session/)
        .first()
        .waitFor();
      await page.keyboard.press("c");
      await page
        .getByText(/resumes this session is copied/)
        .first()
        .waitFor();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      assert.equal(copied, `cd '/home/dev/my shop' && claude --resume ${session}`);
    },
  );

  scenario("an older row that changed out of view is the newest one when it comes into view", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "read again" });
    await server.logEvents(task, steps(600));
    const { items } = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline?limit=200`);
    await show(`/tasks/${task.task_id}`);
    await page.getByText("step 599").waitFor();
    await page.keyboard.press("g");
    await page.getByText("step 0", { exact: true }).waitFor();
    await page.keyboard.press("l");
    await page.getByText("step 599").waitFor();
    // The next rows push the first ones out of the newest page: no request for an older page brought these.
    await server.logEvents(
      task,
      steps(40, (at) => ({ title: `later ${at}` })),
    );
    await page.getByText("later 39").waitFor();
    await settled(proxy);
    for (const at of [30, 150]) {
      await server.send("PATCH", `/api/v1/events/${items[at].event_id}`, { title: `renamed ${at}` });
    }
    const reads = await settled(proxy);
    assert.deepEqual(
      reads.filter((line) => line.includes("/timeline?")),
      [],
      "a page out of view is not requested",
    );
    await timeline(page).hover();
    for (const at of [30, 150]) {
      await until(async () => {
        await page.mouse.wheel(0, -300);
        return (await page.locator(`[data-row="${items[at].event_id}"]`).count()) > 0;
      }, "the row comes into view");
      const row = page.locator(`[data-row="${items[at].event_id}"]`);
      await page.mouse.wheel(0, -100);
      await until(async () => (await row.textContent()).includes(`renamed ${at}`), "the row is the newest one");
    }
  });

  scenario("a link to an event and a kept place are found together after a reload", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "two searches" });
    await server.logEvents(
      task,
      steps(1500, (at) => ({ body: `body ${at}` })),
    );
    const first = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline?limit=200`);
    const second = await server.send(
      "GET",
      `/api/v1/tasks/${task.task_id}/timeline?limit=200&before=${encodeURIComponent(first.next)}`,
    );
    const far = second.items.at(-1);
    await show(`/tasks/${task.task_id}`, { event: far.event_id });
    await panel(page).getByText(far.body, { exact: true }).waitFor();
    await timeline(page).hover();
    await page.mouse.wheel(0, -400);
    await settled(proxy);
    // The place is kept, and the answers are slow, so that both searches run at once.
    proxy.delay = (path) => (path.includes("/timeline?") ? 300 : 0);
    await page.reload();
    await panel(page).getByText(far.body, { exact: true }).waitFor();
    await settled(proxy);
    assert.equal(await page.getByText("is not among the newest").count(), 0);
  });

  scenario("an event that changes is changed in place, and a deleted one leaves", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "edited" });
    await server.logEvents(task, steps(20));
    const { items } = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline?limit=200`);
    await show(`/tasks/${task.task_id}`);
    await page.getByText("step 19").waitFor();
    await server.send("PATCH", `/api/v1/events/${items[3].event_id}`, { title: "renamed step", state: "ok" });
    await page.getByText("renamed step").waitFor();
    await server.send("DELETE", `/api/v1/events/${items[5].event_id}`);
    await until(async () => (await eventRows(page).count()) === 19, "the deleted event is gone");
    assert.deepEqual(
      await idsOf(eventRows(page)),
      items
        .filter((_, at) => at !== 5)
        .map(({ event_id }) => event_id)
        .reverse(),
    );
  });
}
