/** The server answers badly, or the browser forbids: the page says so in one sentence, and works on. */
import assert from "node:assert/strict";
import { connection, needs, showsTruth, taskRows } from "../look.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "a bad answer, and a browser that forbids";
export const options = { concurrency: 2 };

const isApi = (path) => path.startsWith("/api/") || path.startsWith("/ws");
const problem = (status, detail) => ({
  status,
  type: "application/problem+json",
  body: JSON.stringify({ type: "/problems/unavailable", title: "Unavailable", status, detail, errors: [] }),
});
/** All that a person reads about a fault now. */
const told = async (page) => {
  const alerts = await page.getByRole("alert").allTextContents();
  return [await connection(page), ...alerts].join(" ").trim();
};
async function says(page, words) {
  let text = "";
  await until(
    async () => {
      text = await told(page);
      return words.test(text);
    },
    () => `the page says ${words}, and not "${text}"`,
  );
  return text;
}

export function tests() {
  for (const [what, answer, words] of [
    [
      "a page in place of rows",
      { status: 200, type: "text/html", body: "<h1>Sign in</h1>" },
      /page and not|not as requery|proxy/i,
    ],
    ["500", { status: 500, type: "text/plain", body: "oh" }, /server failed|log|500/i],
    ["no byte at all", { status: 0 }, /not answer|not reached|check that requery runs/i],
    ["503 as a problem", problem(503, "the database is away"), /away|busy/i],
  ]) {
    scenario(
      `the server answers ${what}: one sentence says so, and the page recovers by itself`,
      { timeout: 120_000 },
      async (stage) => {
        const { page, server, project, show, proxy } = stage;
        await server.newTask(project, { title: "behind the fault" });
        proxy.replace = (path) => (isApi(path) ? answer : null);
        await show("/tasks");
        const text = await says(page, words);
        assert.ok(text.length < 400, `the sentence is short: ${text}`);
        assert.equal(await page.getByText("Sign in").count(), 0, "the answer is not shown as rows");
        proxy.replace = () => null;
        await showsTruth(page, server, project, 60_000);
        await until(async () => (await told(page)) === "", "the sentence goes", 60_000);
      },
    );
  }

  scenario(
    "an older server without the list of projects: the page says that it is older, and shows all else",
    {},
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      await server.newTask(project, { title: "of an older server" });
      const absent = {
        type: "/problems/no-such-path",
        title: "No such path",
        status: 404,
        detail: "no operation has this path",
        errors: [],
      };
      proxy.replace = (path) =>
        path.startsWith("/api/v1/projects")
          ? { status: 404, type: "application/problem+json", body: JSON.stringify(absent) }
          : null;
      await show("/");
      await page.getByText("of an older server").first().waitFor();
      await page.keyboard.press("p");
      await says(page, /older/i);
      await says(page, /update requery/i);
      await page.keyboard.press("Escape");
      await server.newTask(project, { title: "and it is live" });
      await page.getByText("and it is live").first().waitFor();
    },
  );

  scenario("a read that fails once is repeated, also if no row changes", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    await server.newTask(project, { title: "read twice" });
    let failures = 0;
    proxy.replace = (path) => {
      if (!path.startsWith("/api/v1/tasks?") || !path.includes("limit=100") || failures >= 2) return null;
      failures += 1;
      return problem(503, "the database is busy");
    };
    await show("/tasks");
    await showsTruth(page, server, project, 30_000);
    assert.equal(failures, 2);
  });

  scenario("the rows of each screen fail after the first ones: the page says so, and heals", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "the cause" });
    const mark = { task_id: task.task_id, title: "look here" };
    await server.send("PUT", "/api/v1/bookmarks", mark);
    for (const [path, model, change] of [
      [
        `/tasks/${task.task_id}`,
        new RegExp(`^/api/v1/tasks/${task.task_id}(\\?|$)`),
        (at) => server.logEvents(task, [{ kind: "log", title: `event ${at}` }]),
      ],
      ["/bookmarks", /^\/api\/v1\/bookmarks/, (at) => server.send("PUT", "/api/v1/bookmarks", { ...mark, note: at })],
    ]) {
      await show(path);
      await page.locator("main [data-row], main h1").first().waitFor();
      await settled(proxy);
      proxy.replace = (asked) => (model.test(asked) ? problem(500, "the disk has a fault") : null);
      await change("one");
      const bar = page.locator(".connection");
      await until(async () => /disk has a fault/.test((await bar.textContent()) ?? ""), `${path} says the failure`);
      proxy.replace = () => null;
      await bar.waitFor({ state: "detached" });
    }
  });

  scenario("a write that fails says why, and the screen keeps the truth", {}, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    const task = await server.newTask(project, { title: "the name" });
    await show(`/tasks/${task.task_id}`);
    await page.getByRole("heading", { name: "the name" }).waitFor();
    proxy.replace = (_path, method) =>
      method === "PATCH" ? problem(503, "the database is locked by another program") : null;
    await page.keyboard.press("n");
    await page.getByRole("textbox", { name: "Name of the task" }).fill("another name");
    await page.keyboard.press("Enter");
    await page.getByText("the database is locked by another program").first().waitFor();
    await page.getByRole("heading", { name: "the name" }).waitFor();
    proxy.replace = () => null;
    await page.keyboard.press("f");
    await until(
      async () => (await server.send("GET", `/api/v1/tasks/${task.task_id}`)).task.status === "completed",
      "the next write works",
    );
  });

  const limits = {
    "no SharedWorker": () => {
      delete window.SharedWorker;
    },
    "no Web Locks": () => {
      Object.defineProperty(Navigator.prototype, "locks", { get: () => undefined });
    },
    "no notifications and no sound": () => {
      delete window.Notification;
      delete window.AudioContext;
    },
    "no clipboard": () => {
      Object.defineProperty(Navigator.prototype, "clipboard", { get: () => undefined });
    },
    "storage that is forbidden": () => {
      for (const name of ["localStorage", "sessionStorage"]) {
        Object.defineProperty(window, name, {
          get: () => {
            throw new DOMException("forbidden", "SecurityError");
          },
        });
      }
    },
    "storage that is full": () => {
      Storage.prototype.setItem = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
    },
    "no compiled engine": () => {
      WebAssembly.compileStreaming = undefined;
      WebAssembly.instantiateStreaming = undefined;
    },
  };
  for (const [name, script] of Object.entries(limits)) {
    scenario(`${name}: the page is live, and a reload shows the truth`, { scripts: [script] }, async (stage) => {
      const { page, server, project, show } = stage;
      const task = await server.newTask(project, { title: "works on" });
      await show("/tasks");
      await showsTruth(page, server, project);
      await server.change(task, { title: "and is live", status: "waiting", status_reason: "question" });
      await showsTruth(page, server, project);
      await page.keyboard.press("?");
      await page.getByRole("button", { name: /Sound/ }).click();
      if (name.includes("notifications")) {
        await page.getByRole("button", { name: /Notification/ }).click();
        await page
          .getByText(/no notifications/)
          .first()
          .waitFor();
      }
      await page.keyboard.press("Escape");
      await page.reload();
      await taskRows(page).first().waitFor();
      await showsTruth(page, server, project);
      await page.keyboard.press("1");
      await needs(page).filter({ hasText: "and is live" }).waitFor();
    });
  }
}
