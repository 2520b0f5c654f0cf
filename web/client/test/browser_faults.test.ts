/** Runs the built package in Chromium where a part of the way or of the browser is missing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { setHidden, shows, skip, stage, until } from "./chromium.js";

test("Chromium: networks and servers that fail", { skip }, async (t) => {
  const { proxy, browser, open, post } = await stage(t);
  await post("one");
  let newest = "one";
  const change = async () => {
    const title = `${newest.length}`;
    await post(title);
    newest = `${title},${newest}`;
  };

  await t.test("without WebSocket the stream comes by server-sent events", async () => {
    proxy.blocksWebSocket = true;
    const context = await browser.newContext();
    const page = await open(context, "live.html");
    await shows(page, "tasks", `fresh: ${newest}`);
    await until(
      () => proxy.streams === 1,
      () => "there is no stream",
    );
    await change();
    await shows(page, "tasks", `fresh: ${newest}`);
    assert.equal(proxy.sockets, 0);
    await context.close();
  });

  await t.test("six connections of server-sent events never block a page", async () => {
    const context = await browser.newContext();
    const pages: Page[] = [];
    for (let tab = 0; tab < 8; tab += 1) {
      pages.push(await open(context, "live.html?tabs=alone"));
    }
    for (const page of pages) {
      await shows(page, "tasks", `fresh: ${newest}`);
    }
    // A page whose WebSocket did not open asks for a stream to learn the reason, and closes that stream at once. So the
    // count passes 3 for a moment, each time a page tries a WebSocket again: its lowest value is what the pages hold.
    const held = async () => {
      let lowest = proxy.streams;
      for (const end = Date.now() + 500; Date.now() < end; lowest = Math.min(lowest, proxy.streams)) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return lowest;
    };
    const holdThree = () =>
      until(
        async () => (await held()) === 3,
        () => `there are ${proxy.streams} streams`,
      );
    await holdThree();
    await change();
    for (const page of pages) {
      await shows(page, "tasks", `fresh: ${newest}`);
    }
    await holdThree();

    // A hidden page gives its stream to the visible ones.
    for (const page of pages.slice(1)) {
      await setHidden(page, true);
    }
    await until(
      () => proxy.streams <= 1,
      () => `hidden pages hold ${proxy.streams} streams`,
    );
    await context.close();
  });

  await t.test("without any stream the page polls, with requests that move no body", async () => {
    proxy.blocksSse = true;
    const context = await browser.newContext();
    const page = await open(context, "live.html");
    await shows(page, "status", "polling", 20_000);
    await shows(page, "tasks", `fresh: ${newest}`);
    await change();
    await shows(page, "tasks", `fresh: ${newest}`, 8_000);
    await setHidden(page, true);
    proxy.taken();
    await page.waitForTimeout(6_500);
    assert.deepEqual(proxy.taken(), [], "a hidden page does not poll");
    await context.close();
    proxy.blocksWebSocket = false;
    proxy.blocksSse = false;
  });

  await t.test("a server that is none is said in one sentence with a step", async () => {
    const cases: [string, typeof proxy.answers, RegExp][] = [
      [
        "HTML",
        (_, outgoing) => outgoing.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome</h1>"),
        /^could not load overview: the answer is not JSON, so it is not from a requery server: check the address http/,
      ],
      [
        "500",
        (_, outgoing) => outgoing.writeHead(500).end("oops"),
        /^could not load overview: the server answered 500: look into its log, or into the log of the proxy/,
      ],
      ["nothing", (_, outgoing) => outgoing.destroy(), /^could not load overview: could not reach the server: check/],
      [
        "an older version",
        (path, outgoing) =>
          path.includes("overview")
            ? outgoing.writeHead(200, { "requery-cursor": "a:5:5:" }).end('{"counts":{}}')
            : outgoing.writeHead(200, { "requery-cursor": "a:5:5:" }).end('{"items":[]}'),
        /^could not load overview: the answer has an unknown form: update the page or the server, whichever is older$/,
      ],
    ];
    for (const [, answers, sentence] of cases) {
      proxy.answers = answers;
      const context = await browser.newContext();
      const page = await open(context, "live.html");
      await shows(page, "error", sentence);
      await shows(page, "tasks", "loading: -");
      proxy.answers = null;
      await shows(page, "tasks", `fresh: ${newest}`);
      await shows(page, "error", "");
      await context.close();
    }
  });
});

test("Chromium: browsers that lack a part, and pages that sleep", { skip }, async (t) => {
  const { proxy, browser, open, post } = await stage(t);
  let newest = "";
  const change = async () => {
    const title = `${newest.length}`;
    await post(title);
    newest = newest === "" ? title : `${title},${newest}`;
  };
  await change();

  const lacks: [string, string][] = [
    ["no SharedWorker", "delete window.SharedWorker"],
    ["no locks", "Object.defineProperty(navigator, 'locks', { value: undefined })"],
    [
      "a forbidden storage",
      "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError'); } })",
    ],
    ["a full storage", "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }"],
  ];
  for (const [name, script] of lacks) {
    await t.test(`${name}: the page works on`, async () => {
      const context = await browser.newContext();
      await context.addInitScript(script);
      const page = await open(context, "live.html");
      await shows(page, "tasks", `fresh: ${newest}`);
      await change();
      await shows(page, "tasks", `fresh: ${newest}`);
      await page.reload();
      await shows(page, "tasks", `fresh: ${newest}`);
      await context.close();
    });
  }

  await t.test("a hidden page makes no request, and shows the changes when a person looks at it", async () => {
    const context = await browser.newContext();
    const page = await open(context, "live.html");
    await shows(page, "tasks", `fresh: ${newest}`);
    await shows(page, "status", "live");
    await setHidden(page, true);
    proxy.taken();
    const before = newest;
    await change();
    await shows(page, "tasks", `stale: ${before}`);
    await page.waitForTimeout(1_000);
    assert.deepEqual(proxy.taken(), []);
    await setHidden(page, false);
    await shows(page, "tasks", `fresh: ${newest}`);
    await context.close();
  });

  await t.test("a page that wakes from a sleep finds out that its connection is dead", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.clock.install();
    await page.goto(`${proxy.url}/app/test/pages/live.html?tabs=alone`);
    await shows(page, "tasks", `fresh: ${newest}`);
    await shows(page, "status", "live");
    proxy.freeze();
    const before = newest;
    await change();
    await page.clock.fastForward("08:00:00");
    await page.clock.resume();
    await shows(page, "tasks", `fresh: ${newest}`);
    assert.notEqual(newest, before);
    await shows(page, "status", "live");
    await context.close();
  });
});
