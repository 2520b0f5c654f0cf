/**
 * Measures the times of the dashboard in Chromium, each in several runs, and prints a table of medians.
 *
 *     scripts/measure-web [runs]
 *
 * A release build (`REQUERY_BINARY`) and an idle machine give the times that the bounds mean.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { closeChromium, openContext, skipped } from "../test/browser.mjs";
import { changesAt } from "../test/pace.mjs";
import { counting, takeCounts } from "../test/probes.mjs";
import { CountingProxy } from "../test/proxy.mjs";
import { RealServer, binary } from "../test/server.mjs";

const RUNS = Number(process.argv[2] ?? 5);
const EVENTS = Number(process.argv[3] ?? 100_000);

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
};
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const withoutWorker = () => {
  delete window.SharedWorker;
};
/** Notes when a text is on the screen: after the frame in which it was drawn. */
const seeing = () => {
  window.seenAt = new Map();
  window.awaited = new Set();
  const look = () => {
    for (const text of window.awaited) {
      if (!document.body?.textContent.includes(text)) continue;
      window.awaited.delete(text);
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => window.seenAt.set(text, performance.timeOrigin + performance.now());
        port2.postMessage(0);
      });
    }
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
};
const now = () => performance.timeOrigin + performance.now();

async function seen(page, text) {
  await page.waitForFunction((one) => window.seenAt.has(one), text, { polling: 20, timeout: 30_000 });
  return page.evaluate((one) => window.seenAt.get(one), text);
}

/** From a write on an idle system to the pixels: from its request, and from its answer. */
async function pixels(server) {
  const { context, page } = await openContext({ scripts: [seeing] });
  const task = await server.newTask("pixels", { title: "start" });
  await page.goto(`${server.url}/?project=pixels`);
  await page.getByText("start").first().waitFor();
  await pause(1500);
  const fromRequest = [];
  const fromAnswer = [];
  for (let at = 0; at < 15; at++) {
    const text = `pixel ${at} of ${Math.random()}`;
    await page.evaluate((one) => window.awaited.add(one), text);
    const sent = now();
    await server.change(task, { title: text });
    const answered = now();
    const shown = await seen(page, text);
    fromRequest.push(shown - sent);
    fromAnswer.push(shown - answered);
    await pause(700);
  }
  await context.close();
  return {
    "write to pixels, from its request (ms)": median(fromRequest),
    "write to pixels, from its answer (ms)": median(fromAnswer),
  };
}

/** The share of the time in tasks of the main thread over 50 ms, at 500 changes a second. */
async function load(server) {
  const { context, page } = await openContext({ scripts: [counting] });
  const tasks = await server.newTasks("load", 25, (at) => ({ title: `row ${at}` }));
  await page.goto(`${server.url}/?project=load`);
  await page.getByText("row 24").first().waitFor();
  await pause(1500);
  await takeCounts(page);
  const begun = now();
  const requests = await changesAt(50, 10_000, (at) =>
    server.logEvents(
      tasks[at % 25],
      Array.from({ length: 10 }, (_, of) => ({ kind: "log", title: `event ${at} ${of}` })),
    ),
  );
  const spent = now() - begun;
  const { longTasks, shifts } = await takeCounts(page);
  await context.close();
  return {
    "main thread in tasks over 50 ms, 500 changes a second (%)":
      (longTasks.reduce((sum, { ms }) => sum + ms, 0) / spent) * 100,
    "layout shift, 500 changes a second": shifts.reduce((sum, { value }) => sum + value, 0),
    "changes a second, reached": (requests * 10 * 1000) / spent,
  };
}

/** A timeline of many events, all of them loaded: a jump to its end, and the end followed. */
async function timeline(server, task) {
  const { context, page } = await openContext({ scripts: [counting, seeing] });
  await page.goto(`${server.url}/tasks/${task.task_id}?project=long`);
  const list = page.getByRole("feed", { name: /^Timeline/ });
  const newest = await server.send("GET", `/api/v1/tasks/${task.task_id}/timeline?limit=1`);
  const last = newest.items[0].title;
  await page.getByText(last, { exact: true }).waitFor();
  // A person who scrolls up for a long time has loaded every page.
  await list.evaluate(async (element, height) => {
    const end = performance.now() + 240_000;
    while (element.scrollHeight < height && performance.now() < end) {
      element.scrollTo(0, 0);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }, EVENTS * 28);
  const loaded = await list.evaluate((element) => Math.round(element.scrollHeight / 28));
  const jumps = [];
  for (let at = 0; at < 5; at++) {
    await list.evaluate((element) => element.scrollTo(0, element.scrollHeight / 2));
    await pause(500);
    const begun = await page.evaluate((text) => {
      window.seenAt.clear();
      window.awaited.add(text);
      const start = performance.timeOrigin + performance.now();
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "l", bubbles: true, cancelable: true }));
      return start;
    }, last);
    jumps.push((await seen(page, last)) - begun);
  }
  await takeCounts(page);
  const mark = Math.random();
  const begun = now();
  const count = await changesAt(50, 8000, (at) =>
    server.logEvents(task, [{ kind: "log", title: `late ${at} ${mark}` }]),
  );
  const spent = now() - begun;
  await page.getByText(`late ${count - 1} ${mark}`, { exact: true }).waitFor();
  const { shifts, longTasks } = await takeCounts(page);
  await context.close();
  return {
    "rows of the timeline, loaded": loaded,
    "jump to the end of the timeline (ms)": median(jumps),
    "layout shift, following 50 events a second": shifts.reduce((sum, { value }) => sum + value, 0),
    "main thread in tasks over 50 ms, following (%)": (longTasks.reduce((sum, { ms }) => sum + ms, 0) / spent) * 100,
  };
}

/** A first load with a processor that is four times slower: until rows are drawn and the page takes a key. */
async function begin(server) {
  const { context, page } = await openContext({
    scripts: [
      () => {
        const look = new MutationObserver(() => {
          if (document.querySelector("main [data-row]") === null) return;
          look.disconnect();
          requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => (window.interactiveAt = performance.now());
            port2.postMessage(0);
          });
        });
        look.observe(document, { subtree: true, childList: true });
      },
    ],
  });
  const session = await context.newCDPSession(page);
  // The browser is busy with itself after the start of a context.
  await pause(2500);
  await session.send("Emulation.setCPUThrottlingRate", { rate: 4 });
  await page.goto(`${server.url}/?project=load`);
  // `evaluate` runs in the page and would slow the load, so it is called once, at the end.
  await pause(3000);
  const at = await page.evaluate(() => window.interactiveAt);
  if (at === undefined) throw new Error("the page shows no row");
  await context.close();
  return { "first load until interactive, 4 x throttle (ms)": at };
}

/** The bytes of a first load: all files that the page asks for, as they are sent. */
async function size(server) {
  const proxy = await CountingProxy.start(server.url);
  const { context, page } = await openContext({});
  await page.goto(`${proxy.url}/?project=load`);
  await pause(3000);
  const bytes = proxy.requests
    .filter(({ path }) => !path.startsWith("/api/") && !path.startsWith("/ws"))
    .reduce((sum, one) => sum + one.bytes, 0);
  await context.close();
  proxy.close();
  return { "first load, bytes as sent": bytes };
}

/** The heap of the tab after many notices. The store lives in the tab, so the figure has the whole package in it. */
async function memory(server) {
  const { context, page } = await openContext({ scripts: [withoutWorker] });
  const tasks = await server.newTasks("memory", 60, (at) => ({ title: `row ${at}` }));
  await page.goto(`${server.url}/?project=memory`);
  await page.getByText("row 59").first().waitFor();
  const session = await context.newCDPSession(page);
  const heap = async () => {
    await pause(1500);
    for (let at = 0; at < 3; at++) await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    return usedSize;
  };
  const writer = spawn("sqlite3", ["-cmd", ".timeout 5000", join(server.folder, "requery.db")], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  const notices = async (count) => {
    for (let at = 0; at < count; at += tasks.length) {
      const rows = tasks.map(({ task_id }) => `('${task_id}', 'log', 'event ${at}')`);
      writer.stdin.write(`insert into events (task_id, kind, title) values ${rows.join(",")};\n`);
      await pause(45);
    }
  };
  await notices(EVENTS / 10);
  const before = await heap();
  await notices(EVENTS);
  const after = await heap();
  writer.stdin.end();
  await context.close();
  return {
    "heap before 100,000 notices (MB)": before / 2 ** 20,
    "growth by 100,000 notices (%)": (after / before - 1) * 100,
  };
}

const BOUNDS = {
  "write to pixels, from its request (ms)": 60,
  "main thread in tasks over 50 ms, 500 changes a second (%)": 1,
  "jump to the end of the timeline (ms)": 100,
  "layout shift, following 50 events a second": 0.01,
  "first load until interactive, 4 x throttle (ms)": 300,
  "first load, bytes as sent": 70 * 1024,
  "growth by 100,000 notices (%)": 10,
};

if (skipped) {
  console.error(skipped);
  process.exit(1);
}
const server = await RealServer.start();
const found = new Map();
const note = (figures) => {
  for (const [name, value] of Object.entries(figures)) found.set(name, [...(found.get(name) ?? []), value]);
};
try {
  const long = await server.newTask("long", { title: "a long timeline" });
  await server.logEvents(
    long,
    Array.from({ length: EVENTS }, (_, at) => ({ kind: "log", title: `step ${at}` })),
  );
  for (let run = 0; run < RUNS; run++) {
    console.error(`run ${run + 1} of ${RUNS}`);
    note(await pixels(server));
    note(await load(server));
    note(await begin(server));
    note(await size(server));
    note(await timeline(server, long));
  }
  note(await memory(server));
} finally {
  await closeChromium();
  await server.close();
}
console.log(`${binary}, ${RUNS} runs, Chromium, ${new Date().toISOString()}\n`);
console.log("| figure | median | least | most | bound |\n| --- | ---: | ---: | ---: | ---: |");
const shown = (value) =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(Math.abs(value) < 1 ? 4 : 1);
let isOver = false;
for (const [name, values] of found) {
  const bound = BOUNDS[name];
  isOver ||= bound !== undefined && median(values) > bound;
  const cells = [median(values), Math.min(...values), Math.max(...values)].map(shown);
  console.log(`| ${name} | ${cells.join(" | ")} | ${bound === undefined ? "" : shown(bound)} |`);
}
process.exitCode = isOver ? 1 : 0;
