/** axe-core finds no fault on any screen, in both themes. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { connection, dialog, panel } from "../look.mjs";
import { scenario, until } from "../stage.mjs";
import { agentOf, workOn } from "../work.mjs";

export const title = "axe-core finds no fault";
export const options = { concurrency: 2 };

const source = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Returns the faults of the screen as it is now, each with the first elements that have it. */
async function faultsOf(page, place) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, help, nodes }) => {
    const elements = nodes.slice(0, 3).map(({ html }) => html.slice(0, 160));
    return `${place}: ${id}: ${help}: ${elements.join(" | ")}`;
  });
}

export function tests() {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      scenario(
        `each screen in the ${colorScheme} theme, ${width} px`,
        { colorScheme, viewport: { width, height: 800 } },
        async (stage) => {
          const { page, server, project, show, proxy } = stage;
          const faults = [];
          const check = async (place) => faults.push(...(await faultsOf(page, place)));
          const asks = { status: "waiting", status_reason: "question", status_detail: "Which zone?" };
          const task = await server.newTask(project, { title: "asks", ...asks });
          await server.newTask(project, { title: "a part", parent_task_id: task.task_id });
          await server.newTask(project, {
            title: "ended its turn",
            status: "waiting",
            status_reason: "finished",
            status_detail: "Done.",
          });
          await server.newTask(project, { title: "ready", status: "waiting", status_reason: "ready" });
          await server.newTask(project, { title: "broke", status: "errored", status_detail: "overloaded" });
          await server.newTasks(project, 8, (at) => ({
            title: `ended ${at}`,
            status: "completed",
            summary: "It works.",
          }));
          await server.logEvents(task, [
            { kind: "user.message", title: "Do it" },
            { kind: "tool", family: "file", title: "Edit", body: "@@ -1 +1 @@\n-a\n+b\n", state: "ok" },
            { kind: "tool", family: "terminal", title: "npm test", body: "Error: no", state: "failed" },
            { kind: "question", title: "Which zone?", state: "running" },
          ]);
          await workOn(agentOf(server, project), {}, `/home/dev/${project}`);
          const work = (await server.tasks(project)).find(({ source }) => source === "claude-code");
          const { items } = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline`);
          await server.send("PUT", "/api/v1/bookmarks", { event_id: items[1].event_id, note: "look" });
          await server.send("PUT", "/api/v1/bookmarks", { task_id: task.task_id });
          const rows = () => page.locator("main [data-row]:visible").first().waitFor();

          await show("/");
          await rows();
          await check("the first screen");
          await page.keyboard.press("j");
          await check("a focused row");
          await page.keyboard.press("?");
          await dialog(page).waitFor();
          await check("the help");
          await page.keyboard.press("Escape");
          await dialog(page).waitFor({ state: "hidden" });
          await page.keyboard.press("p");
          await dialog(page).getByRole("button", { name: project }).waitFor();
          await check("the choice of a project");

          await show("/tasks");
          await rows();
          await page.locator("main [data-row]").nth(1).focus();
          await page.keyboard.press("x");
          await page.getByRole("button", { name: /undo/i }).waitFor();
          await check("the list of tasks with a deletion that waits");
          await page.keyboard.press("u");
          await page.keyboard.press("P");
          await dialog(page).getByLabel(/Ended/).selectOption({ index: 0 });
          await dialog(page)
            .getByRole("button", { name: /which tasks/ })
            .click();
          await dialog(page).getByText("ended 1").first().waitFor();
          await check("the purge with its preview");

          await show("/tasks", { q: "zone" });
          await page.locator("mark").first().waitFor();
          await check("found rows");

          await show(`/tasks/${task.task_id}`);
          await rows();
          await page.locator("summary").first().click();
          await check("a task with its parts");
          await show(`/tasks/${work.task_id}`);
          await rows();
          await check("a task at work");
          for (const summary of await page.locator("summary").all()) await summary.click();
          await page.getByRole("list", { name: "Running now" }).waitFor();
          await check("a task at work with all that opens");
          await show(`/tasks/${task.task_id}`, { event: items[2].event_id });
          await panel(page).waitFor();
          await check("a selected event");
          await page.keyboard.press("n");
          await check("the rename of a task");

          await show("/bookmarks");
          await rows();
          await page.getByRole("button", { name: /note/i }).first().click();
          await check("bookmarks");

          await show("/", { project: `${project} empty` });
          await page.getByText("Waiting for the first event").waitFor();
          await check("an empty project");
          await show("/no/screen");
          await check("an address without a screen");

          await show("/");
          await rows();
          await until(() => proxy.streams > 0, "the page has a stream");
          proxy.drop();
          await until(async () => /reconnecting/i.test(await connection(page)), "the page says that it reconnects");
          await check("a lost connection");
          assert.deepEqual(faults, []);
        },
      );
    }
  }
}
