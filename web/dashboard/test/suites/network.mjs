/** The network fails in each way that a laptop knows. Afterwards no row is lost, doubled or requested in vain. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { connection, needs, showsTruth, taskRows } from "../look.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "when the network fails";
/** The tests wait most of the time. */
export const options = { concurrency: 3 };

/** The wait before an attempt to connect grows to 30 s, and an attempt takes a moment. */
const MOST_MS = 40_000;
const isWell = (page) =>
  until(async () => (await connection(page)) === "", "the page says no word about the connection", MOST_MS);
async function says(page, words, within) {
  let said = "";
  const isSaid = async () => {
    said = await connection(page);
    return words.test(said);
  };
  await until(isSaid, () => `the page says ${words}, and not "${said}"`, within);
}
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const withoutWorker = () => {
  delete window.SharedWorker;
};

/** Tasks, and the list of them on the screen. */
async function listed({ server, project, show, page, proxy }) {
  const tasks = await server.newTasks(project, 6, (at) => ({ title: `task ${at}` }));
  await show("/tasks");
  await showsTruth(page, server, project);
  await isWell(page);
  await settled(proxy);
  return tasks;
}

/** Without a change the way back costs no request for rows. */
async function continuesForFree({ page, proxy, server, project }) {
  await isWell(page);
  assert.deepEqual(await settled(proxy), [], "no row changed, so no row is requested");
  await showsTruth(page, server, project);
}

/** A change that was made meanwhile costs the reads that show it, and each of them once. */
async function continuesWithOneChange({ page, proxy, server, project }, text) {
  await page.getByText(text).first().waitFor({ timeout: MOST_MS });
  await isWell(page);
  const reads = await settled(proxy);
  for (const path of ["/api/v1/overview?", "/api/v1/tasks?"]) {
    const same = reads.filter((line) => line.startsWith(`GET ${path}`));
    assert.ok(same.length <= 3, `one change costs few reads: ${same.join("; ")}`);
  }
  assert.ok(
    reads.every((line) => !line.includes("/bookmarks") && !line.includes("/timeline")),
    reads.join("; "),
  );
  await showsTruth(page, server, project);
}

async function losesNoChange(stage, task, text) {
  await stage.server.change(task, { title: text });
  await stage.page.getByText(text).first().waitFor();
  await showsTruth(stage.page, stage.server, stage.project);
}

export function tests() {
  scenario("ten seconds in which each connection ends: the page says so, and continues for free", {}, async (stage) => {
    const { page, proxy } = stage;
    const tasks = await listed(stage);
    proxy.drop();
    await says(page, /reconnecting/i);
    await pause(10_000);
    await says(page, /true \d+ s ago/);
    assert.equal(await taskRows(page).count(), 6, "the rows stay on the screen");
    proxy.taken();
    proxy.heal();
    await continuesForFree(stage);
    await losesNoChange(stage, tasks[2], "changed after the loss");
  });

  scenario("a change during ten seconds without connections is shown, and read once", {}, async (stage) => {
    const { page, proxy, server } = stage;
    const tasks = await listed(stage);
    proxy.drop();
    await says(page, /reconnecting/i);
    await pause(5000);
    await server.change(tasks[0], { status: "waiting", status_reason: "question", status_detail: "missed?" });
    await pause(5000);
    proxy.taken();
    proxy.heal();
    await continuesWithOneChange(stage, "missed?");
  });

  const beats = { ownServer: true, serverOptions: ["--heartbeat", "1s"] };
  scenario(
    "ten seconds in which no byte passes: no row is called fresh, and no change is lost",
    beats,
    async (stage) => {
      const { page, proxy, server } = stage;
      const tasks = await listed(stage);
      proxy.hold();
      await server.change(tasks[1], { title: "changed in the dark" });
      await says(page, /sign of life|reconnecting|not reached/i);
      await pause(6000);
      proxy.taken();
      proxy.heal();
      await continuesWithOneChange(stage, "changed in the dark");
      await losesNoChange(stage, tasks[3], "changed in the light");
    },
  );

  scenario(
    "ten seconds offline by the browser's switch: the page tries no connection, then continues at once",
    { remote: true },
    async (stage) => {
      const { page, proxy, context } = stage;
      const tasks = await listed(stage);
      await context.setOffline(true);
      proxy.drop();
      await says(page, /offline/i);
      const attempts = proxy.refused;
      await pause(10_000);
      assert.equal(proxy.refused, attempts, "a device without a network tries no connection");
      proxy.taken();
      proxy.heal();
      await context.setOffline(false);
      await until(() => proxy.streams === 1, "the stream is back at once", 5000);
      await continuesForFree(stage);
      await losesNoChange(stage, tasks[4], "changed after the switch");
    },
  );

  scenario("a browser that says offline while the stream works does not hide a change", {}, async (stage) => {
    const { context, page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "before the switch" });
    await show("/");
    await page.getByText("before the switch").first().waitFor();
    await isWell(page);
    // The switch cuts the requests of the page, and not those of its shared worker.
    await context.setOffline(true);
    await server.change(task, { title: "changed behind the switch" });
    await page.getByText("changed behind the switch").first().waitFor();
    await context.setOffline(false);
  });

  scenario(
    "a server that is killed and started again needs no reload and no request",
    { ownServer: true },
    async (stage) => {
      const { page, proxy, server } = stage;
      const tasks = await listed(stage);
      await server.kill();
      await says(page, /reconnecting/i);
      proxy.taken();
      await server.again();
      await continuesForFree(stage);
      await losesNoChange(stage, tasks[5], "changed after the restart");
    },
  );

  scenario(
    "a change by another program while the server is down is shown after its start",
    { ownServer: true },
    async (stage) => {
      const { page, proxy, server } = stage;
      const tasks = await listed(stage);
      await server.stop();
      await says(page, /reconnecting/i);
      const statement = `update tasks set title = 'changed by sqlite3' where title = '${tasks[0].title}'`;
      execFileSync("sqlite3", ["-cmd", ".timeout 5000", join(server.folder, "requery.db"), statement]);
      proxy.taken();
      await server.again();
      await continuesWithOneChange(stage, "changed by sqlite3");
    },
  );

  scenario(
    "a sleep of eight hours is a jump in time: the page wakes up with the truth",
    { scripts: [withoutWorker] },
    async (stage) => {
      const { page, proxy, server, project, show } = stage;
      await page.clock.install();
      const tasks = await server.newTasks(project, 3, (at) => ({ title: `task ${at}` }));
      await show("/tasks");
      await showsTruth(page, server, project);
      await isWell(page);
      proxy.hold();
      await server.change(tasks[1], { status: "waiting", status_reason: "question", status_detail: "since midnight" });
      await page.clock.fastForward("08:00:00");
      proxy.drop();
      proxy.heal();
      await page.getByText("since midnight").first().waitFor({ timeout: MOST_MS });
      await isWell(page);
      await showsTruth(page, server, project);
      await until(() => proxy.streams === 1, "one stream is open after the sleep");
    },
  );

  for (const blocksWebSocket of [false, true]) {
    const how = blocksWebSocket ? "server-sent events" : "a WebSocket";
    scenario(`ten tabs have one stream (${how}), and each shows each change`, {}, async (stage) => {
      const { page, proxy, server, project, newPage, at } = stage;
      proxy.blocksWebSocket = blocksWebSocket;
      const [task] = await server.newTasks(project, 3, (at) => ({ title: `task ${at}` }));
      const pages = [page];
      for (let tab = 1; tab < 10; tab++) pages.push(await newPage());
      for (const tab of pages) {
        await tab.goto(at("/"));
        await tab.getByText("task 0").first().waitFor();
      }
      await until(() => proxy.streams === 1, `one stream is open, not ${proxy.streams}`);
      await settled(proxy);
      await server.change(task, { status: "waiting", status_reason: "question", status_detail: "in every tab" });
      for (const tab of pages) await needs(tab).filter({ hasText: "in every tab" }).waitFor();
      const reads = (await settled(proxy)).filter((line) => line.startsWith("GET /api/v1/overview"));
      assert.ok(reads.length <= 2, `ten tabs share the reads: ${reads.length}`);
      for (const tab of pages.slice(1)) await tab.close();
      assert.equal(proxy.streams, 1, "the last tab keeps the stream");
      await page.close();
      await until(() => proxy.streams === 0, "the stream ends with the last tab");
    });
  }
}
