/** Texts of agents are hostile: no text runs a script, becomes markup, or breaks the layout. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { eventRows, panel, taskRows } from "../look.mjs";
import { hasSqlite } from "../server.mjs";
import { scenario, until } from "../stage.mjs";
import { agentOf } from "../work.mjs";

export const title = "a hostile text runs no script and breaks no layout";
export const options = { concurrency: 2 };

const noSqlite = hasSqlite ? false : "there is no sqlite3 to write the file with";
const SCRIPT = `"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script><svg onload=window.hacked=1>`;
const WORD = "W".repeat(100 * 1024);
const ZALGO = Array.from("zalgo", (letter) => letter + "\u0300\u0316\u0334\u0489".repeat(12)).join("");
const TEXTS = {
  script: SCRIPT,
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a text that a template would run.
  template: "{{constructor.constructor('window.hacked=1')()}} ${window.hacked=1} javascript:window.hacked=1",
  "right to left": "safe\u202e)1=dekcah.wodniw\u2066\u2067 \u05d0\u05d1 \u0645\u0631\u062d\u0628\u0627 end",
  "a word of 100 KB": WORD,
  zalgo: ZALGO,
  lines: "one\r\ntwo\n\n\n\u2028three\u0085four\tfive",
  emoji: "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\u200d\u{1f466}\u{1f3f3}\ufe0f\u200d\u{1f308}".repeat(20),
  "odd characters": "\ufeff\u200b\u00ad\ufffd\u{e0041}\u{1d173}\ud7ff a",
};

const cut = (text, characters) => [...text].slice(0, characters).join("");
/** A title is one line for the server. */
const line = (text, characters = 500) => cut(text.replace(/[\p{Cc}\u2028\u2029]/gu, " "), characters);

/** The text as one line of at most so many bytes, as a text of SQL. */
function quoted(text, bytes) {
  let cut = "";
  let size = 0;
  for (const character of line(text, bytes)) {
    size += Buffer.byteLength(character);
    if (size > bytes) break;
    cut += character;
  }
  return `'${cut.replaceAll("'", "''")}'`;
}

/** The text as the state of the work on a task, and as an agent of the project. Hooks would pass no such text on. */
async function work(server, project, { task_id }, text) {
  const states = ["completed", "in_progress", "pending"];
  const todos = JSON.stringify(states.map((state) => ({ id: null, title: line(text, 120), state })));
  await server.sql(`
    update tasks set model = ${quoted(text, 256)}, branch = ${quoted(text, 512)}, last_commit = ${quoted(text, 64)},
      pull_request = ${quoted(`https://host.test/${text}`, 1000)}, todos = '${todos.replaceAll("'", "''")}'
      where id = '${task_id}';
    update sessions set model = ${quoted(text, 256)}, host = ${quoted(text, 64)} where task_id = '${task_id}';
    insert or ignore into agents (source, host, project, version, hooks, heard_at)
      values (${quoted(text, 16)}, ${quoted(text, 64)}, '${project}', ${quoted(text, 64)}, 9, 60000);`);
  await server.logEvents({ task_id }, [
    {
      kind: "tool",
      family: "file",
      state: "ok",
      title: line(text),
      metadata: { file_path: `/srv/${cut(line(text), 3000)}` },
    },
    { kind: "tool", family: "terminal", state: "running", title: line(text) },
    { kind: "subagent", state: "running", title: line(text) },
  ]);
}

/** The text in every field that takes it. */
async function everywhere(server, project, text) {
  const task = await server.newTask(project, {
    title: line(text),
    source: line(text, 64).trim() || "source",
    workspace: `/home/${cut(line(text), 4000)}`,
    summary: cut(text, 9000),
    status: "waiting",
    status_reason: line(text),
    status_detail: cut(text, 500),
  });
  const session = await server.send("POST", `/api/v1/tasks/${task.task_id}/sessions`, {
    source: line(text, 64).trim() || "source",
    runtime_session_id: line(text),
  });
  await server.newTask(project, { title: line(text), parent_task_id: task.task_id });
  await server.newTask(project, {
    title: line(text),
    status: "errored",
    status_reason: line(text),
    status_detail: cut(text, 500),
  });
  await server.newTask(project, { title: line(text), status: "completed", summary: cut(text, 9000) });
  const { items } = await server.send("POST", `/api/v1/tasks/${task.task_id}/events`, {
    events: [
      { kind: "log", title: line(text), body: text, metadata: { [cut(text, 100)]: cut(text, 9000) } },
      {
        kind: "tool",
        family: "terminal",
        state: "failed",
        title: line(text),
        body: text,
        session_id: session.session_id,
      },
      { kind: "assistant.response", title: "", body: text },
    ],
  });
  if (hasSqlite) await work(server, project, task, text);
  await server.send("PUT", "/api/v1/bookmarks", {
    task_id: task.task_id,
    event_id: items[0].event_id,
    title: line(text),
    note: cut(text, 9000),
  });
  return { task, event: items[0] };
}

/** The faults of the layout and of the markup that a text has caused. */
const broken = () => {
  const faults = [];
  if (window.hacked !== undefined) faults.push("a script ran");
  const foreign = document.querySelectorAll("main img, main script, main iframe, main [onerror], main [onload]");
  if (foreign.length > 0) faults.push("a text became markup");
  const beyond = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (beyond > 0) faults.push(`the page is ${beyond} px too wide`);
  // These scroll by themselves, so the page is not too wide if they are.
  for (const box of document.querySelectorAll(".task-head, .task-head :is(details, ul, ol, p), .figures dl")) {
    const over = box.scrollWidth - box.clientWidth;
    if (over > 0) faults.push(`${box.className || box.localName} is ${over} px too wide`);
  }
  for (const row of document.querySelectorAll("main [data-row]")) {
    const { left, right } = row.getBoundingClientRect();
    if (left < -1 || right > window.innerWidth + 1) faults.push("a row leaves the window");
  }
  return faults;
};

export function tests() {
  for (const [width, height] of [
    [360, 640],
    [1280, 800],
  ]) {
    scenario(`in every field of every screen, ${width} px`, { viewport: { width, height } }, async (stage) => {
      const { page, server, project, at } = stage;
      const written = [];
      for (const text of Object.values(TEXTS)) written.push(await everywhere(server, project, text));
      for (const [path, more] of [["/"], ["/tasks"], ["/tasks", { q: "script OR one" }], ["/bookmarks"]]) {
        await page.goto(at(path, more));
        if (more)
          await page
            .getByText(/found|No row has/)
            .first()
            .waitFor();
        else await page.locator("main [data-row]:visible").first().waitFor();
        assert.deepEqual(await page.evaluate(broken), [], path);
      }
      await page.goto(at("/tasks"));
      const count = 4 * written.length;
      await until(async () => (await taskRows(page).count()) === count, "all tasks are rows");
      const heights = await taskRows(page).evaluateAll((rows) =>
        rows.map((row) => [row.closest(".is-waiting") !== null, row.getBoundingClientRect().height]),
      );
      // On a narrow screen a task that waits has two more lines for its reason.
      const most = (waits) => (waits && width < 600 ? 80 : 28);
      const others = heights.filter(([waits, height]) => height < 28 || height > most(waits));
      assert.deepEqual(others, [], "each row keeps its height");
      for (const [number, { task, event }] of written.entries()) {
        const name = Object.keys(TEXTS)[number];
        await page.goto(at(`/tasks/${task.task_id}`));
        await eventRows(page).first().waitFor();
        await until(async () => (await eventRows(page).count()) === (hasSqlite ? 6 : 3), name);
        await page.evaluate(() => {
          for (const details of document.querySelectorAll("main details")) details.open = true;
        });
        assert.deepEqual(await page.evaluate(broken), [], `the task with ${name}`);
        await page.locator(`[data-row="${event.event_id}"]`).click();
        await panel(page).waitFor();
        await page.keyboard.press("r");
        assert.deepEqual(await page.evaluate(broken), [], `the event with ${name}`);
      }
    });
  }

  for (const width of [360, 1280]) {
    scenario(
      `the state of the work breaks no layout, ${width} px`,
      { skip: noSqlite, viewport: { width, height: 640 } },
      async (stage) => {
        const { page, server, project, show } = stage;
        const agent = agentOf(server, project, "h".repeat(64));
        const segment = `${"a-long-segment".repeat(12)}/`;
        await agent.hook("SessionStart", { source: "startup", model: "m".repeat(200) });
        await agent.run("Edit", {
          file_path: `/home/dev/${project}/${segment.repeat(8)}totals.ts`,
          old_string: "a",
          new_string: "b",
        });
        await agent.begin("Bash", { command: `make ${"x".repeat(400)}` });
        await agent.run("TodoWrite", { todos: [{ content: "y".repeat(120), status: "in_progress" }] });
        const [task] = await server.tasks(project);
        const address = page.locator(".task-outcome").last();
        for (const [text, isLink] of [
          ["javascript:window.hacked=1", false],
          [" javascript:window.hacked=1", false],
          ["JAVASCRIPT:window.hacked=1//https://host.test/pull/7", false],
          ["data:text/html,<script>window.hacked=1</script>", false],
          ["//host.test/pull/7", false],
          ["/tasks/7", false],
          [`https://host.test/${"z".repeat(900)}/pull/7`, true],
        ]) {
          await server.sql(`update tasks set pull_request = ${quoted(text, 1000)}, branch = ${quoted("b".repeat(500), 512)}
            where id = '${task.task_id}'`);
          await show(`/tasks/${task.task_id}`);
          await address.getByText(isLink ? "Pull request #7" : text.trim()).waitFor();
          assert.equal(await address.getByRole("link").count(), isLink ? 1 : 0, text);
          for (const summary of await page.locator("main summary").all()) await summary.click();
          assert.deepEqual(await page.evaluate(broken), [], text);
        }
        await show("/");
        await page.locator(".agents dt").waitFor();
        assert.deepEqual(await page.evaluate(broken), []);
      },
    );
  }

  scenario("a hostile project, in the address, in the bar and in the list of projects", {}, async (stage) => {
    const { page, server, proxy, project } = stage;
    for (const text of [SCRIPT, "\u202edekcah", ZALGO, "x".repeat(128)]) {
      const name = line(`${project} ${text}`, 128);
      await server.newTask(name, { title: "in a hostile project" });
      await page.setViewportSize({ width: 360, height: 640 });
      await page.goto(`${proxy.url}/?${new URLSearchParams({ project: name })}`);
      await page.getByText("in a hostile project").first().waitFor();
      await page.keyboard.press("p");
      await page.getByLabel("Filter projects").fill(project);
      await page.getByRole("dialog").getByText(project).first().waitFor();
      assert.deepEqual(await page.evaluate(broken), []);
    }
  });

  scenario("the hostile records of hooks: the server takes them, and the page shows each task", {}, async (stage) => {
    const { page, server, proxy } = stage;
    const fixture = fileURLToPath(new URL("../../../../tests/fixtures/hooks/hostile.jsonl", import.meta.url));
    const records = (await readFile(fixture, "utf8")).split("\n").filter((one) => one !== "");
    for (const record of records) {
      const { raw } = JSON.parse(record);
      if (typeof raw === "string") await fetch(`${server.url}/api/v1/hooks/claude-code`, { method: "POST", body: raw });
    }
    const { items } = await server.send("GET", "/api/v1/tasks?limit=100");
    await page.goto(`${proxy.url}/tasks`);
    await until(async () => (await taskRows(page).count()) >= Math.min(100, items.length), "each task is a row");
    assert.deepEqual(await page.evaluate(broken), []);
    const heights = () => taskRows(page).evaluateAll((rows) => rows.map((row) => row.getBoundingClientRect().height));
    const keepTheirHeight = (rows) => rows.length > 0 && rows.every((height) => height === 28);
    await until(async () => keepTheirHeight(await heights()), "each row has its height");
    for (const { task_id } of items.filter(({ source }) => source === "claude-code").slice(0, 12)) {
      await page.goto(`${proxy.url}/tasks/${task_id}`);
      await page.locator("main h1").waitFor();
      assert.deepEqual(await page.evaluate(broken), []);
    }
  });
}
