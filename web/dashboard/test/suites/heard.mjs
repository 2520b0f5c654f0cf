/** A page that no person looks at still tells of a task that starts to wait. */
import assert from "node:assert/strict";
import { needs } from "../look.mjs";
import { scenario, settled, until } from "../stage.mjs";

export const title = "a page that is heard";
export const options = { concurrency: 2 };

/** Hides the page: a browser then draws no frame. */
const hide = () => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" });
  Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
  window.requestAnimationFrame = () => 0;
  document.dispatchEvent(new Event("visibilitychange"));
};

const notifications = () => {
  window.told = [];
  window.sounds = 0;
  localStorage.setItem("requery.notify", "on");
  localStorage.setItem("requery.sound", "on");
  window.Notification = class {
    constructor(title, { tag }) {
      Object.assign(this, { title, tag });
      window.told.push(this);
    }
    static permission = "granted";
  };
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...times) {
    window.sounds++;
    return start.apply(this, times);
  };
};

export function tests() {
  scenario(
    "a hidden page gets the badge and the notification, and makes no plain read",
    {
      scripts: [notifications],
    },
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const [task, other] = await server.newTasks(project, 2, (at) => ({ title: `task ${at}` }));
      await show("/tasks");
      await page.getByText("task 0").first().waitFor();
      // The first list is requested after its rows are shown from the overview.
      await settled(proxy);
      await page.evaluate(hide);
      proxy.taken();
      const told = () => page.evaluate(() => window.told.map(({ title, tag }) => ({ title, tag })));
      const icon = () => page.locator("link[rel=icon]").getAttribute("href");
      assert.equal(await icon(), "/icon.svg");
      await server.change(task, { status: "waiting", status_reason: "question", status_detail: "Now?" });
      await until(async () => (await page.title()).startsWith("(1)"), "the title has the number");
      await until(async () => (await told()).length === 1, "the wait is told");
      assert.equal(await icon(), "/icon-waiting.svg");
      assert.deepEqual(
        proxy.taken().filter((line) => line.includes("limit=100")),
        [],
        "the list of the hidden page is not requested",
      );
      // A second episode of the same task has a tag of its own: a browser shows a known tag without a sound.
      await server.change(task, { status: "running" });
      await until(async () => !(await page.title()).startsWith("("), "the number is gone");
      await server.change(task, { status: "waiting", status_reason: "question" });
      await until(async () => (await told()).length === 2, "the second wait is told");
      const tags = (await told()).map(({ tag }) => tag);
      assert.equal(new Set(tags).size, 2);
      assert.equal(await page.evaluate(() => window.sounds), 2, "each wait has its sound");
      // A person looks again: the list is the newest one.
      await server.change(other, { title: "renamed meanwhile" });
      await page.evaluate(() => {
        delete document.visibilityState;
        delete document.hidden;
        document.dispatchEvent(new Event("visibilitychange"));
      });
      await page.getByText("renamed meanwhile").first().waitFor();
      // A click on the notification leads to the task that waits.
      await page.evaluate(() => window.told.at(-1).onclick());
      await page.getByRole("heading", { name: "task 0" }).waitFor();
    },
  );

  scenario(
    "an old failure is not told, whether it returns or gets room",
    { scripts: [notifications] },
    async (stage) => {
      const { page, server, project, show } = stage;
      const told = () => page.evaluate(() => window.told.map(({ title }) => title));
      const fails = (title) => server.newTask(project, { title, status: "errored" });
      const remove = ({ task_id }) => server.send("DELETE", `/api/v1/tasks/${task_id}`);
      const shown = (title, count) =>
        until(async () => (await needs(page).filter({ hasText: title }).count()) === count, `${title}: ${count}`);
      // The list has room for 40 failures, and the newest ones get it.
      const failed = [];
      for (let at = 0; at < 41; at++) failed.push(await fails(`failure ${at}.`));
      await show("/");
      await shown("failure 1.", 1);
      await shown("failure 0.", 0);
      await remove(failed[40]);
      await shown("failure 0.", 1);
      const late = await fails("late failure");
      await until(async () => (await told()).length > 0, "a new failure is told");
      await shown("failure 0.", 0);
      await remove(late);
      await shown("failure 0.", 1);
      // Room alone makes no old failure new.
      await remove(failed[39]);
      await until(async () => (await needs(page).count()) === 39, "the list has room");
      await server.newTask(project, { title: "asks", status: "waiting", status_reason: "question" });
      await until(async () => (await told()).includes("asks"), "the question is told");
      assert.deepEqual(await told(), ["late failure", "asks"]);
      assert.equal(await page.evaluate(() => window.sounds), 2);
    },
  );

  const asking = () => {
    const requestPermission = () => {
      window.Notification.permission = "granted";
      return Promise.resolve("granted");
    };
    window.Notification = Object.assign(() => {}, { permission: "default", requestPermission });
  };
  scenario("the page asks once whether to tell of waits, and remembers a no", { scripts: [asking] }, async (stage) => {
    const { page, server, project, show } = stage;
    const task = await server.newTask(project, { title: "asks" });
    await show("/");
    await page.getByText("asks").first().waitFor();
    const offer = page.getByText("Tell you when a task starts to wait?");
    assert.equal(await offer.count(), 0, "no task waits");
    await server.change(task, { status: "waiting", status_reason: "question" });
    await offer.waitFor();
    await page.getByRole("button", { name: "No", exact: true }).click();
    await offer.waitFor({ state: "detached" });
    await page.reload();
    await page.getByText("waits for your answer").waitFor();
    await page.waitForTimeout(800);
    assert.equal(await offer.count(), 0, "the no is remembered");
    await page.keyboard.press("N");
    await page.getByText("Notifications are on.").waitFor();
  });
}
