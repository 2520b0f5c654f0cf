/** Each screen shows what the server has. */
import assert from "node:assert/strict";
import { connection, needs, section, taskRows, titlesOf } from "../look.mjs";
import { hasSqlite } from "../server.mjs";
import { scenario, settled, until } from "../stage.mjs";
import { agentOf, workOn } from "../work.mjs";

export const title = "each screen shows the rows of the server";
export const options = { concurrency: 2 };

const noSqlite = hasSqlite ? false : "there is no sqlite3 to write the file with";

export function tests() {
  scenario("who needs a person stands first: the agent, its question, the reason and the wait", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const since = new Date(Date.now() - 7 * 60_000).toISOString();
    await server.newTasks(project, 30, (at) => ({ title: `work ${at}` }));
    await server.newTask(project, {
      title: "Backfill the zones",
      source: "claude-code",
      status: "waiting",
      status_reason: "question",
      status_detail: "Use the zone of the shop?",
      waiting_since: since,
    });
    await server.newTask(project, { title: "Ended its turn", status: "waiting", status_reason: "finished" });
    await show("/");
    const first = needs(page).first();
    await first.waitFor();
    for (const part of [/Backfill the zones/, /claude-code/, /Use the zone of the shop\?/, /question/, /7m/]) {
      assert.match(await first.textContent(), part);
    }
    assert.equal(await needs(page).count(), 2);
    assert.match(await needs(page).nth(1).textContent(), /Ended its turn/);
    const top = await first.evaluate((one) => one.getBoundingClientRect().top);
    for (const row of await page.locator("main [data-row]").all()) {
      assert.ok(
        (await row.evaluate((one) => one.getBoundingClientRect().top)) >= top,
        "a row stands above the question",
      );
    }
  });

  scenario("the list of agents follows the hooks and the installation", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const body = (hook_event_name, more) => ({
      session_id: project,
      cwd: `/home/dev/${project}`,
      hook_event_name,
      ...more,
    });
    await server.hook(body("UserPromptSubmit", { prompt: "Fix the rounding" }));
    await show("/");
    const row = page.locator("section[aria-labelledby=agents] dl > div").filter({ hasText: "claude-code" });
    await row.filter({ hasText: /^claude-code.*1 open session/ }).waitFor();
    await server.send("PUT", "/api/v1/agents", { source: "claude-code", version: "2.1.332", hooks: 26 });
    await row.getByText("1 open session · version 2.1.332 · 26 hooks").waitFor();
    await server.hook(body("SessionEnd", { reason: "other" }));
    await row.getByText("version 2.1.332 · 26 hooks", { exact: true }).waitFor();
  });

  scenario(
    "the state of the work by hooks: the list, the running calls, the outcome in version control, the files",
    {},
    async (stage) => {
      const { page, server, project, proxy } = stage;
      const at = (path) => `${proxy.url}${path}?${new URLSearchParams({ project })}`;
      const agent = agentOf(server, project);
      const [first, ...others] = await workOn(agent, {}, `/home/dev/${project}`);
      await page.goto(at("/"));
      const row = section(page, "Running").locator("[data-row]");
      // A screen reader has the words of the figures, which a pointer is not needed for.
      await row.filter({ hasText: /1\/31 of 3 done, now: Round the total/ }).waitFor();
      assert.equal(await row.locator("[title]").count(), 0);
      const [task] = await server.tasks(project);
      await page.goto(at(`/tasks/${task.task_id}`));
      const head = page.locator(".task-head");
      const outcome = head.locator(".task-outcome");
      await outcome.waitFor();
      assert.equal(await outcome.textContent(), "opuson fix/xcommit 3f9d2c1Pull request #7");
      const link = outcome.getByRole("link", { name: "Pull request #7" });
      assert.equal(await link.getAttribute("href"), "https://github.com/a/b/pull/7");
      assert.match(await link.getAttribute("rel"), /noreferrer/);

      const calls = head.locator("summary", { hasText: /runs|No call/ });
      assert.match(await calls.textContent(), /^Bash: make the docs.*and 2 more$/);
      const running = head.getByRole("list", { name: "Running now" });
      assert.equal(await running.count(), 0, "the list is folded");
      await calls.click();
      assert.deepEqual(
        (await running.getByRole("listitem").allTextContents()).map((text) => text.replace(/runs.*$/, "")),
        ["Bash: make the docs", "Bash: npm test", "Bash: npm run lint"],
      );
      await agent.end(first, { stdout: "ok" });
      await calls.filter({ hasText: /^Bash: npm test.*and 1 more$/ }).waitFor();
      for (const call of others) await agent.end(call, { stdout: "ok" });
      await calls.filter({ hasText: "No call runs now" }).waitFor();

      await head.getByText("1 of 3 done, now: Round the total").click();
      const todos = head.getByRole("list", { name: "The agent's list" }).getByRole("listitem");
      assert.deepEqual(await todos.allTextContents(), [
        "✓Read the codedone",
        "▸Round the totalin progress",
        "○Run the testsnot begun",
      ]);
      await head.getByText("1 changed file").click();
      const file = head.getByRole("list", { name: "Changed files" }).getByRole("listitem");
      assert.match(await file.textContent(), /^src\/totals\.ts2 ×/, "the path is that from the folder of the agent");
      await head.getByText(/1 session/).click();
      await head.getByText("claude-code · opus · north").waitFor();

      // A task that ended its turn has no line for calls.
      await agent.hook("Stop", { last_assistant_message: "The totals are right now." });
      await head.getByText("The totals are right now.").waitFor();
      await until(async () => (await calls.count()) === 0, "no line is kept for calls");
    },
  );

  scenario(
    "a task that waits for no person is in doubt once its process is gone",
    { skip: noSqlite },
    async (stage) => {
      const { page, server, project, show } = stage;
      const task = await server.newTask(project, { title: "goes on", status: "waiting", status_reason: "scheduled" });
      await show("/tasks");
      await taskRows(page)
        .filter({ hasText: /^scheduled/ })
        .waitFor();
      const flag = `update tasks set stale_since = changed_at, stale_reason = 'gone' where id = '${task.task_id}'`;
      await server.sql(flag);
      await taskRows(page)
        .filter({ hasText: /^in doubt/ })
        .waitFor();
      await show(`/tasks/${task.task_id}`);
      await page
        .locator(".task-state")
        .filter({ hasText: /^in doubt.*has no process any more/ })
        .waitFor();
    },
  );

  scenario("a full list of needs says which lists can have others", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTasks(project, 41, (at) => ({ title: `failed ${at}`, status: "errored" }));
    await show("/");
    await page.getByRole("heading", { name: "At least 40 agents need you" }).waitFor();
    await page
      .getByText("There is room for 40 failed or doubtful entries here.")
      .getByRole("link", { name: "the failed tasks" })
      .click();
    await taskRows(page).filter({ hasText: "failed 40" }).waitFor();
    assert.match(page.url(), /status=errored/);
  });

  scenario(
    "the status by hooks of an agent: it works, asks for permission, works on, and ends its turn",
    {},
    async (stage) => {
      const { page, server } = stage;
      const cwd = `/home/dev/${stage.project}`;
      const body = (hook_event_name, more) => ({ session_id: stage.project, cwd, hook_event_name, ...more });
      await stage.page.goto(`${stage.proxy.url}/?project=${encodeURIComponent(stage.project)}`);
      await page.getByText("Waiting for the first event").waitFor();
      await server.hook(body("SessionStart", { source: "startup" }));
      await server.hook(body("UserPromptSubmit", { prompt: "Fix the rounding" }));
      await section(page, "Running").getByText("Fix the rounding").waitFor();
      const call = { tool_name: "Bash", tool_input: { command: "git push" }, tool_use_id: "t1" };
      await server.hook(body("PermissionRequest", call));
      await needs(page).filter({ hasText: "git push" }).waitFor();
      await server.hook(body("PreToolUse", call));
      await server.hook(body("PostToolUse", { ...call, tool_response: { stdout: "done" } }));
      await section(page, "Running").getByText("Fix the rounding").waitFor();
      assert.equal(await needs(page).count(), 0);
      await server.hook(body("Stop", { last_assistant_message: "The totals are right now." }));
      await needs(page).filter({ hasText: "The totals are right now." }).waitFor();
    },
  );

  scenario("done tasks fold to a count and unfold; failures never fold", {}, async (stage) => {
    const { page, server, project, show } = stage;
    await server.newTasks(project, 14, (at) => ({ title: `done ${at}`, status: "completed" }));
    await server.newTasks(project, 12, (at) => ({ title: `failed ${at}`, status: "errored" }));
    await show("/");
    await needs(page).filter({ hasText: "failed 11" }).waitFor();
    assert.equal(await needs(page).count(), 12);
    assert.equal(await section(page, "Failed").count(), 0, "a task has one row");
    const done = section(page, "Done");
    assert.ok((await done.locator("[data-row]").count()) < 14, "done tasks are folded");
    const folded = 14 - (await done.locator("[data-row]").count());
    await done.getByRole("button", { name: `${folded} more` }).click();
    await done.getByText("done 0").waitFor();
    assert.equal(await done.locator("[data-row]").count(), 14);
  });

  scenario(
    "a task that is ready stands on the first screen, however many tasks changed after it",
    {},
    async (stage) => {
      const { page, server, project, show } = stage;
      await server.newTasks(project, 2, (at) => ({ title: `ready ${at}`, status: "waiting", status_reason: "ready" }));
      await server.newTasks(project, 55, (at) => ({ title: `done ${at}`, status: "completed" }));
      await show("/");
      await until(async () => (await section(page, "Ready").locator("[data-row]").count()) === 2, "both are shown");
    },
  );

  scenario(
    "the needs stand in the order of the server, each with its word: an order of the page's own would differ",
    {},
    async (stage) => {
      const { page, server, project, show } = stage;
      const waits = (title, status_reason, more) =>
        server.newTask(project, { title, status: "waiting", status_reason, ...more });
      const ago = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();
      await waits("stopped by a person", "interrupted", { waiting_since: ago(50) });
      await waits("ended its turn", "finished", { waiting_since: ago(40) });
      await waits("goes on", "scheduled", { waiting_since: ago(60) });
      await waits("was never used", "ready", { waiting_since: ago(60) });
      await server.newTask(project, {
        title: "broke",
        status: "errored",
        status_reason: "overloaded",
        status_detail: "The service has too much to do.",
      });
      await server.newTask(project, { title: "broke without a text", status: "errored", status_reason: "billing" });
      await waits("asks", "question", { waiting_since: ago(1) });
      await waits("asks longer", "permission", { waiting_since: ago(2) });
      await show("/");
      await needs(page).first().waitFor();
      const { needs_you } = await server.send("GET", `/api/v1/overview?${new URLSearchParams({ project })}`);
      const shown = await needs(page)
        .locator("[data-row]")
        .evaluateAll((all) => all.map(({ dataset }) => dataset.title));
      assert.deepEqual(
        shown,
        needs_you.map(({ title }) => title),
      );
      assert.deepEqual(
        [shown.slice(0, 2), shown.slice(2, 4).sort(), shown.slice(4)],
        [
          ["asks longer", "asks"],
          ["broke", "broke without a text"],
          ["stopped by a person", "ended its turn"],
        ],
      );
      const texts = await needs(page).allTextContents();
      const of = (title) => texts[shown.indexOf(title)];
      for (const part of [/failed: overloaded/, /The service has too much to do\./, /since|just now/]) {
        assert.match(of("broke"), part);
      }
      assert.doesNotMatch(of("broke"), /waits/, "an error does not wait");
      assert.match(of("broke without a text"), /failed: billing/);
      assert.match(of("stopped by a person"), /^interrupted.*was stopped and waits for the next prompt/);
      // The tasks that wait for no person have lists of their own, with the numbers of their rows.
      const ready = section(page, "Ready for a prompt");
      const scheduled = section(page, "Goes on by itself");
      await scheduled.getByText("goes on", { exact: true }).waitFor();
      assert.match(await scheduled.textContent(), /Goes on by itself 1.*scheduled/);
      assert.match(await ready.textContent(), /Ready for a prompt 1.*was never used/);
      assert.deepEqual(await titlesOf(ready.locator("[data-row]")), ["was never used"]);
      await show("/tasks");
      for (const word of ["interrupted", "scheduled"]) {
        await taskRows(page).filter({ hasText: word }).first().waitFor();
      }
    },
  );

  scenario(
    "a permission that may be given already says when it was asked, and not that it waits",
    {},
    async (stage) => {
      const { page, server, project, proxy } = stage;
      const cwd = `/home/dev/${project}`;
      const call = { tool_name: "Bash", tool_input: { command: "make the shop" }, tool_use_id: "t1" };
      const body = (hook_event_name, more) => ({ session_id: project, cwd, hook_event_name, ...more });
      await server.hook(body("UserPromptSubmit", { prompt: "Build the shop" }));
      await server.hook(body("PermissionRequest", call));
      await page.goto(`${proxy.url}/?project=${encodeURIComponent(project)}`);
      const entry = needs(page).first();
      const asked = /permission asked (just now|\d+s ago)/;
      await entry.filter({ hasText: asked }).waitFor();
      assert.match(await entry.textContent(), /^asked/);
      assert.doesNotMatch(await entry.textContent(), /waits/, "the page does not know that the task waits");
      await entry.filter({ hasText: /permission asked \d+s ago/ }).waitFor();
      const [task] = await server.tasks(project);
      await page.goto(`${proxy.url}/tasks?project=${encodeURIComponent(project)}`);
      await taskRows(page).filter({ hasText: asked }).waitFor();
      await page.setViewportSize({ width: 360, height: 640 });
      const share = await taskRows(page).evaluate((row) => {
        const [name, whole] = [row.querySelector(".row-name"), row].map((one) => one.getBoundingClientRect().width);
        return name / whole;
      });
      assert.ok(share > 0.8, "on a small screen the words leave the name its line");
      await page.setViewportSize({ width: 1280, height: 800 });
      await page.goto(`${proxy.url}/tasks/${task.task_id}?project=${encodeURIComponent(project)}`);
      const head = page.locator(".task-state");
      await head.filter({ hasText: asked }).waitFor();
      assert.match(await head.textContent(), /asked for your permission, and may have it already/);
      // A writer that sets the status knows it.
      await server.change(task, { status: "waiting" });
      await head.filter({ hasText: /waits for your permission.*waits/ }).waitFor();
      await page.goto(`${proxy.url}/?project=${encodeURIComponent(project)}`);
      await entry.filter({ hasText: /permission.*waits/ }).waitFor();
      assert.doesNotMatch(await entry.textContent(), /asked/);
    },
  );

  scenario("the figures are those of the overview", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const [task] = await server.newTasks(project, 3, (at) => ({ title: `run ${at}`, source: "codex" }));
    await server.newTask(project, { title: "failed", status: "errored" });
    await server.logEvents(
      task,
      Array.from({ length: 9 }, (_, at) => ({ kind: "log", title: `event ${at}` })),
    );
    await show("/");
    const figures = page.getByRole("complementary", { name: "Figures" });
    // The figures are drawn in the frame after the rows.
    await figures.locator("svg.activity").waitFor();
    const text = (await figures.textContent()).replace(/\s+/g, " ");
    for (const part of [/running ?3/, /failed ?1/, /9 events in 4 tasks/, /codex ?3/]) assert.match(text, part);
    assert.equal(await figures.locator("svg.activity path").count(), 1, "the activity is one path");
    await server.newTask(project, { title: "one more" });
    await until(async () => /running ?4/.test(await figures.textContent()), "the figures follow");
  });

  scenario("an empty project is a command and a live wait; an address without a screen says so", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    await show("/");
    await page.getByText("Waiting for the first event").waitFor();
    // The server has another address than the one that the command chooses by itself.
    await page.getByText(`requery hooks install --agent claude-code --server ${proxy.url}`).waitFor();
    await server.newTask(project, { title: "task one" });
    await page.getByText("task one").first().waitFor();
    assert.equal(await page.getByText("Waiting for the first event").count(), 0);
    await page.goto(`${proxy.url}/no/such/screen`);
    await page.getByText("has no screen").waitFor();
    await show("/tasks/019b0000-0000-7000-8000-000000000000");
    await page.getByText("The task is not here").waitFor();
  });

  scenario("a healthy connection says no word, and an idle page makes no request", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    await server.newTask(project, { title: "calm" });
    await show("/");
    await page.getByText("calm").first().waitFor();
    await settled(proxy);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    assert.deepEqual(proxy.taken(), []);
    assert.equal(await connection(page), "");
  });

  scenario("projects: the switch shows counts, and the address and the rows follow", {}, async (stage) => {
    const { page, server, project, show } = stage;
    const other = `${project} other`;
    await server.newTasks(project, 2, (at) => ({ title: `here ${at}` }));
    await server.newTask(other, { title: "there", status: "waiting", status_reason: "question" });
    await show("/tasks");
    await page.getByText("here 0").waitFor();
    await page.keyboard.press("p");
    const entry = page.getByRole("dialog").getByRole("button", { name: other });
    await entry.waitFor();
    assert.match(await entry.textContent(), /1 waiting/);
    await page.getByLabel("Filter projects").fill("other");
    await entry.click();
    await page.getByText("there").first().waitFor();
    assert.equal(new URL(page.url()).searchParams.get("project"), other);
    assert.equal(await page.getByText("here 0").count(), 0);
  });

  scenario(
    "another project on a task leads to its first screen; a task of another project is found",
    {},
    async (stage) => {
      const { page, server, project, show } = stage;
      const other = `${project} other`;
      const task = await server.newTask(project, { title: "here" });
      await server.newTask(other, { title: "there" });
      await show(`/tasks/${task.task_id}`);
      await page.getByRole("heading", { name: "here" }).waitFor();
      await page.keyboard.press("p");
      await page.getByRole("dialog").getByRole("button", { name: other }).click();
      await page.getByText("there").first().waitFor();
      assert.equal(new URL(page.url()).pathname, "/");
      await show(`/tasks/${task.task_id}`, { project: other });
      await page.getByText("The task is not here").waitFor();
      await page.getByRole("link", { name: "Look in all projects" }).click();
      await page.getByRole("heading", { name: "here" }).waitFor();
    },
  );

  scenario("bookmarks: from a task and from an event, with a note, and back to the place", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "worth a look" });
    await server.logEvents(task, [{ kind: "log", title: "the cause", body: "text" }]);
    await show(`/tasks/${task.task_id}`);
    await page.getByText("the cause").first().waitFor();
    await page.keyboard.press("b");
    await page.getByText("bookmark is saved").first().waitFor();
    await page.getByText("the cause").first().click();
    await page.getByRole("article", { name: "Selected event" }).waitFor();
    await page.keyboard.press("b");
    const kept = () => server.send("GET", `/api/v1/bookmarks?${new URLSearchParams({ project })}`);
    await until(async () => (await kept()).items.length === 2, "two bookmarks are stored");
    await page.keyboard.press("3");
    const row = page.getByRole("listitem").filter({ hasText: "the cause" });
    await row.getByRole("button", { name: /note/i }).click();
    await page.getByRole("textbox", { name: "Note" }).fill("look here");
    await page.keyboard.press("Enter");
    await until(async () => (await kept()).items.some(({ note }) => note === "look here"), "the note is stored");
    await row.getByText("look here").waitFor();
    await row.getByRole("link").click();
    await page.getByRole("article", { name: "Selected event" }).getByText("the cause").first().waitFor();
    assert.match(page.url(), /event=/);
    await page.goBack();
    await page
      .getByRole("listitem")
      .filter({ hasText: "worth a look" })
      .getByRole("button", { name: "Remove" })
      .click();
    await until(async () => (await kept()).items.length === 1, "the bookmark is removed");
    assert.ok(proxy.requests.length > 0);
  });
}
