/** A calm page: no row moves under a hand, and motion is short, rare and unwanted by none. */
import assert from "node:assert/strict";
import { idsOf, needs, section, taskRows, timeline } from "../look.mjs";
import { counting, followRows, takeCounts } from "../probes.mjs";
import { PATIENCE_MS, scenario, settled, until } from "../stage.mjs";
import { agentOf } from "../work.mjs";

export const title = "a calm page";

const probed = { scripts: [counting] };
const newer = (page) => page.getByRole("button", { name: /newer/ });

/** Changes the order of the list for a while, about a hundred times a second. A slow server gets more time. */
async function reorder(server, tasks, ms) {
  const least = (ms / 1000) * 30;
  let changes = 0;
  const begun = Date.now();
  while (Date.now() - begun < ms || (changes < least && Date.now() - begun < PATIENCE_MS)) {
    const batch = Array.from({ length: 10 }, () => {
      const number = changes++;
      const task = tasks[number % tasks.length];
      return server.change(task, { status_reason: `reason ${number}`, status: "waiting" });
    });
    await Promise.all(batch);
    const early = begun + changes * 10 - Date.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
  }
  return changes;
}

export function tests() {
  for (const hand of ["pointer", "focus"]) {
    for (const path of ["/tasks", "/"]) {
      scenario(`${path}: a hundred reorders a second move no row under the ${hand}`, probed, async (stage) => {
        const { page, server, project, show } = stage;
        const tasks = await server.newTasks(project, 12, (at) => ({
          title: `row ${at}`,
          status: at % 2 ? "waiting" : "running",
        }));
        await show(path);
        const list = page.locator("main [data-row]");
        await until(async () => (await list.count()) === 12, "all tasks are rows");
        const row = list.nth(3);
        const id = await row.getAttribute("data-row");
        if (hand === "pointer") await row.hover();
        else await row.focus();
        const before = await idsOf(list);
        await takeCounts(page);
        await page.evaluate(followRows);
        const changes = await reorder(server, tasks, 3000);
        await server.newTask(project, { title: "a newer task", status: "waiting" });
        await newer(page).waitFor();
        const counts = await takeCounts(page);
        assert.ok(changes >= 60, `only ${changes} changes were made`);
        assert.ok(counts.frames > 10, "the rows were looked at");
        assert.ok(counts.mutations > 0, "the values changed in their places");
        assert.deepEqual(counts.moved, [], "a row moved");
        // A value that grows moves its neighbour within the row. That is far below one row of 28 px.
        const shifted = counts.shifts.filter(({ byPerson }) => !byPerson).reduce((sum, { value }) => sum + value, 0);
        assert.ok(shifted < 0.02, `the layout shifted by ${shifted}`);
        assert.deepEqual(await idsOf(list), before, "the order changed");
        const now = await page.evaluate(() => document.activeElement?.closest("[data-row]")?.dataset.row ?? null);
        if (hand === "focus") assert.equal(now, id, "the focus is where it was");
        // A row that arrives after the key waits for the next press, as long as the hand stays.
        const isShown = async () => {
          await page.keyboard.press(".");
          return (await page.getByText("a newer task").count()) > 0 && (await newer(page).count()) === 0;
        };
        await until(isShown, "the key shows the newer rows");
      });
    }
  }

  scenario(
    "a value that changes often flashes at most once a second, for 120 to 180 ms, by opacity or transform",
    probed,
    async (stage) => {
      const { page, server, project, show } = stage;
      const task = await server.newTask(project, { title: "flashing", status: "waiting", status_reason: "one" });
      await show("/tasks");
      await taskRows(page).first().waitFor();
      await takeCounts(page);
      const changes = await reorder(server, [task], 3500);
      const { animations } = await takeCounts(page);
      assert.ok(changes > 50);
      assert.ok(animations.length >= 2, "the value flashes");
      for (const [at, { duration, properties }] of animations.entries()) {
        assert.ok(duration >= 120 && duration <= 180, `a flash of ${duration} ms`);
        assert.ok(
          properties.every((property) => ["opacity", "transform"].includes(property)),
          properties.join(),
        );
        const before = animations[at - 1];
        if (before)
          assert.ok(animations[at].at - before.at >= 990, `two flashes within ${animations[at].at - before.at} ms`);
      }
    },
  );

  scenario(
    "reduced motion: no element is animated, and no style has a transition",
    { ...probed, reducedMotion: "reduce" },
    async (stage) => {
      const { page, server, project, show } = stage;
      await show("/");
      await page.getByText("Waiting for the first event").waitFor();
      const moving = () => page.evaluate(() => document.getAnimations().length);
      assert.equal(await moving(), 0);
      const task = await server.newTask(project, { title: "still", status: "waiting", status_reason: "one" });
      await needs(page).first().waitFor();
      for (let at = 0; at < 10; at++) {
        await server.change(task, { status: "waiting", status_reason: `reason ${at}` });
        assert.equal(await moving(), 0);
      }
      assert.deepEqual((await takeCounts(page)).animations, []);
    },
  );

  scenario(
    "all motion of the styles is 120 to 180 ms of opacity or transform, but for the two signs of waiting",
    {},
    async (stage) => {
      const { page, show } = stage;
      await show("/");
      const found = await page.evaluate(() => {
        const faults = [];
        const look = (rules) => {
          for (const rule of rules) {
            if (rule.cssRules && !(rule instanceof CSSStyleRule)) look(rule.cssRules);
            const style = rule.style;
            if (!style) continue;
            if (style.transitionDuration && style.transitionDuration !== "0s") {
              const times = style.transitionDuration
                .split(",")
                .map((time) => Number.parseFloat(time) * (/ms/.test(time) ? 1 : 1000));
              const properties = style.transitionProperty.split(",").map((one) => one.trim());
              if (times.some((ms) => ms < 120 || ms > 180))
                faults.push(`${rule.selectorText}: ${style.transitionDuration}`);
              if (properties.some((one) => !["opacity", "transform"].includes(one)))
                faults.push(`${rule.selectorText}: ${properties}`);
            }
            if (rule instanceof CSSKeyframeRule) {
              for (const property of style)
                if (!["opacity", "transform", "rotate", "scale", "translate"].includes(property))
                  faults.push(`keyframe: ${property}`);
            }
          }
        };
        for (const sheet of document.styleSheets) look(sheet.cssRules);
        return faults;
      });
      assert.deepEqual(found, []);
    },
  );

  scenario(
    "a spinner appears only after 200 ms",
    {
      scripts: [
        () => {
          window.spinners = [];
          new MutationObserver(() => {
            const isThere = document.querySelector(".spinner") !== null;
            if (isThere && window.spinners.length === 0) window.spinners.push(performance.now());
          }).observe(document, { subtree: true, childList: true });
        },
      ],
    },
    async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const [quick, slow] = await server.newTasks(project, 2, (at) => ({ title: at ? "slow row" : "quick row" }));
      await show("/tasks");
      await taskRows(page).first().waitFor();
      const open = async ({ task_id }) => {
        await page.evaluate((id) => {
          window.spinners = [];
          window.clicked = performance.now();
          document.querySelector(`[data-row="${id}"]`).click();
        }, task_id);
      };
      await open(quick);
      await page.getByRole("heading", { name: "quick row" }).waitFor();
      const [fast, took] = await page.evaluate(() => [window.spinners, performance.now() - window.clicked]);
      await page.goBack();
      await taskRows(page).first().waitFor();
      proxy.delay = (path) => (path.includes(slow.task_id) ? 1500 : 0);
      await open(slow);
      await page.getByText("Reading the rows").waitFor();
      const [seen, clicked] = await page.evaluate(() => [window.spinners[0], window.clicked]);
      assert.ok(seen - clicked >= 200, `the spinner came after ${seen - clicked} ms`);
      await page.getByRole("heading", { name: "slow row" }).waitFor();
      assert.equal(await page.getByText("Reading the rows").count(), 0);
      assert.ok(fast.length === 0 || took > 200, "a fast answer shows no spinner");
    },
  );

  scenario(
    "the title has the number of tasks that need a person, and a screen reader hears the first",
    {},
    async (stage) => {
      const { page, server, project, show } = stage;
      const task = await server.newTask(project, { title: "the one" });
      await show("/");
      await page.getByText("the one").first().waitFor();
      assert.equal(await page.title(), "requery");
      await server.change(task, { status: "waiting", status_reason: "question" });
      await until(async () => (await page.title()) === "(1) requery", "the title has the number");
      await page
        .getByRole("status")
        .filter({ hasText: /1 need.*the one/ })
        .first()
        .waitFor({ state: "attached" });
      await server.change(task, { status: "running" });
      await until(async () => (await page.title()) === "requery", "the title has no number");
    },
  );

  scenario(
    "a notification: off by default, asked for once, and one for each time a task starts to wait",
    {
      scripts: [
        () => {
          window.told = [];
          window.asked = 0;
          let permission = "default";
          window.Notification = class {
            constructor(title, options) {
              window.told.push(`${title}: ${options.body}`);
            }
            static get permission() {
              return permission;
            }
            static async requestPermission() {
              window.asked += 1;
              permission = "granted";
              return permission;
            }
          };
        },
      ],
    },
    async (stage) => {
      const { page, server, project, show } = stage;
      const [task, other] = await server.newTasks(project, 2, (at) => ({ title: `task ${at}` }));
      const told = () => page.evaluate(() => window.told);
      const waits = (more = {}) =>
        server.change(task, { status: "waiting", status_reason: "question", status_detail: "Now?", ...more });
      await show("/");
      await page.getByText("task 0").first().waitFor();
      await waits();
      await needs(page).first().waitFor();
      assert.deepEqual(await told(), [], "notifications are off by default");
      assert.equal(await page.evaluate(() => window.asked), 0, "a person who does not ask for it is not asked");
      await server.change(task, { status: "running" });
      await page.keyboard.press("?");
      await page.getByRole("button", { name: /Notification: off/ }).click();
      await page.getByRole("button", { name: /Notification: on/ }).waitFor();
      await page.keyboard.press("Escape");
      await waits();
      await until(async () => (await told()).length === 1, "the first wait is told");
      assert.deepEqual(await told(), ["task 0: Now?"]);
      await server.change(other, { title: "renamed" });
      await waits({ status_detail: "Now, please?" });
      await needs(page).filter({ hasText: "please" }).waitFor();
      assert.equal((await told()).length, 1, "one episode is told once");
      await server.change(task, { status: "running" });
      await until(async () => (await needs(page).count()) === 0, "the task runs again");
      await waits();
      await until(async () => (await told()).length === 2, "the next episode is told");
      assert.equal(await page.evaluate(() => window.asked), 1);
      await page.reload();
      await needs(page).first().waitFor();
      assert.deepEqual(await told(), [], "a wait that is known is not told again after a reload");
    },
  );

  scenario(
    "360 px: who needs a person, and why, stands in the window without scrolling",
    { viewport: { width: 360, height: 640 } },
    async (stage) => {
      const { page, server, project, show } = stage;
      await server.newTasks(project, 30, (at) => ({ title: `work ${at}` }));
      await server.newTask(project, {
        title: "A name that takes more than one line of such a small window",
        status: "waiting",
        status_reason: "question",
        status_detail: "Which of the ports may I use for the tests?",
      });
      await show("/");
      const card = needs(page).first();
      await card.waitFor();
      const box = await card.boundingBox();
      assert.ok(box.y >= 0 && box.y + box.height <= 640, "the whole entry is in the window");
      await card.getByText("Which of the ports may I use for the tests?").waitFor();
      for (const path of ["/", "/tasks", "/bookmarks"]) {
        await show(path);
        assert.ok(
          await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
          `${path} scrolls sideways`,
        );
      }
    },
  );

  scenario(
    "4K: no screen scrolls sideways, and rows keep one height",
    { viewport: { width: 3840, height: 2160 } },
    async (stage) => {
      const { page, server, project, show } = stage;
      await server.newTasks(project, 40, (at) => ({ title: `work ${at}`, status: at % 3 ? "running" : "waiting" }));
      for (const path of ["/", "/tasks"]) {
        await show(path);
        await page.locator("main [data-row]").first().waitFor();
        assert.ok(
          await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
          `${path} scrolls sideways`,
        );
      }
      const heights = await taskRows(page).evaluateAll((rows) => [
        ...new Set(rows.map((row) => row.getBoundingClientRect().height)),
      ]);
      assert.equal(heights.length, 1);
    },
  );

  scenario(
    "a row is 28 px high, its figures have one width, and its status is a shape, a word and a colour",
    {},
    async (stage) => {
      const { page, server, project, show } = stage;
      const states = [
        { status: "running" },
        { status: "waiting", status_reason: "question" },
        { status: "waiting", status_reason: "finished" },
        { status: "completed" },
        { status: "errored" },
      ];
      for (const [at, state] of states.entries()) await server.newTask(project, { title: `row ${at}`, ...state });
      await show("/tasks");
      await until(async () => (await taskRows(page).count()) === 5, "all tasks are rows");
      const looks = await taskRows(page).evaluateAll((rows) =>
        rows.map((row) => {
          const mark = row.querySelector("svg");
          return {
            height: row.getBoundingClientRect().height,
            figures: getComputedStyle(row).fontVariantNumeric,
            shape: mark.innerHTML,
            colour: getComputedStyle(mark).fill,
            word: row.textContent.split(":")[0],
          };
        }),
      );
      assert.ok(looks.every(({ height, figures }) => height === 28 && figures.includes("tabular-nums")));
      for (const part of ["shape", "word"])
        assert.equal(new Set(looks.map((look) => look[part])).size, 5, `each status has its ${part}`);
      assert.ok(new Set(looks.map(({ colour }) => colour)).size >= 4);
    },
  );

  scenario(
    "links are links: each row has an address, and a click with Control opens a page of its own",
    {},
    async (stage) => {
      const { page, context, server, project, show } = stage;
      await server.newTask(project, { title: "linked" });
      await show("/tasks");
      await taskRows(page).first().waitFor();
      const addresses = await page.locator("main [data-row]").evaluateAll((rows) => rows.map((row) => row.href ?? ""));
      assert.ok(addresses.every((address) => /\/tasks\/[0-9a-f-]{36}/.test(address)));
      const [opened] = await Promise.all([
        context.waitForEvent("page"),
        taskRows(page)
          .first()
          .click({ modifiers: ["Control"] }),
      ]);
      await opened.getByRole("heading", { name: "linked" }).waitFor();
      assert.equal(new URL(page.url()).pathname, "/tasks");
    },
  );

  for (const width of [360, 1280]) {
    const options = { ...probed, viewport: { width, height: 800 } };
    scenario(`the words of a doubt move no row when they come and go, ${width} px`, options, async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const tasks = await server.newTasks(project, 6, (at) => ({
        title: `row ${at}`,
        status: at % 2 ? "running" : "waiting",
      }));
      for (const path of ["/", "/tasks"]) {
        await show(path);
        const list = page.locator("main [data-row]");
        await list.first().waitFor();
        await settled(proxy);
        await list.last().focus();
        await page.evaluate(followRows);
        await takeCounts(page);
        proxy.replace = (path) =>
          /overview|tasks/.test(path) ? { status: 500, type: "text/plain", body: "no" } : null;
        await server.change(tasks[0], { summary: `changed for ${path}` });
        const belief = page.getByText(/not confirmed for \d+ s/).first();
        await belief.waitFor();
        proxy.replace = () => null;
        await belief.waitFor({ state: "detached" });
        assert.deepEqual((await takeCounts(page)).moved, [], `${path}: a row moved`);
      }
    });
  }

  for (const width of [360, 1280]) {
    const options = { ...probed, viewport: { width, height: 800 } };
    scenario(`calls that begin and end move no row of the timeline, ${width} px`, options, async (stage) => {
      const { page, server, project, show, proxy } = stage;
      const agent = agentOf(server, project);
      await agent.hook("UserPromptSubmit", { prompt: "Fix the rounding" });
      const steps = ["short", "a step with so many words that no line of a small window has room for all of them"];
      const listOf = (at) =>
        agent.run("TodoWrite", {
          todos: steps.map((content, of) => ({ content, status: of === at ? "in_progress" : "pending" })),
        });
      await listOf(0);
      const [task] = await server.tasks(project);
      await server.logEvents(
        task,
        Array.from({ length: 60 }, (_, at) => ({ kind: "log", title: `step ${at}` })),
      );
      await show(`/tasks/${task.task_id}`);
      await page.getByText("step 59").waitFor();
      // A person reads older rows, so that new ones move none by themselves.
      await timeline(page).evaluate((list) => list.scrollTo(0, 300));
      await page.getByRole("button", { name: /newer|to the end/i }).waitFor();
      const line = page.locator(".open-calls");
      for (const isOpened of [false, true]) {
        if (isOpened) await line.locator("summary").click();
        await settled(proxy);
        await page.evaluate(followRows);
        await takeCounts(page);
        for (let at = 0; at < 4; at++) {
          const calls = [];
          for (let of = 0; of <= at * 2; of++) {
            const call = { command: `make ${of} ${"of the longest name ".repeat(of)}` };
            calls.push(await agent.begin("Bash", call));
          }
          await line.locator("summary", { hasText: /make 0/ }).waitFor();
          await listOf(at % 2);
          await page.locator("summary", { hasText: `now: ${steps[at % 2]}` }).waitFor();
          for (const call of calls) await agent.end(call, { stdout: "ok" });
          await line.locator("summary", { hasText: "No call runs now" }).waitFor();
        }
        const { moved, shifts, frames } = await takeCounts(page);
        assert.ok(frames > 10, "the rows were looked at");
        assert.deepEqual(moved, [], `a row moved, with the list ${isOpened ? "opened" : "folded"}`);
        const shifted = shifts.filter(({ nodes }) => nodes.some((name) => /event|virtual|timeline/.test(name)));
        assert.deepEqual(shifted, [], "the timeline shifted");
      }
    });
  }

  scenario("a first load shifts no layout, and an age that passes moves no row", probed, async (stage) => {
    const { page, server, project, show, proxy } = stage;
    await server.newTasks(project, 25, (at) => ({
      title: `row ${at}`,
      status: at % 4 ? "running" : "waiting",
      status_reason: at % 4 ? undefined : "question",
    }));
    for (const path of ["/", "/tasks"]) {
      await show(path);
      await page.locator("main [data-row]").first().waitFor();
      await page.evaluate(followRows);
      await settled(proxy);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const { moved, shifts } = await takeCounts(page);
      assert.deepEqual(moved, [], `${path}: a row moved`);
      const whole = shifts.reduce((sum, { value }) => sum + value, 0);
      assert.ok(whole < 0.01, `${path}: the layout shifted by ${whole}: ${JSON.stringify(shifts)}`);
    }
    assert.ok((await section(page, "Running").count()) >= 0);
  });
}
