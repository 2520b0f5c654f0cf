/** Runs the built package in Chromium, against the real server. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { binary, CountingProxy, serve, stop } from "./real.js";

const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const skip = (!binary && "REQUERY_BINARY is not set") || (!existsSync(executablePath) && "there is no Chromium");
const vectors = new URL("../../../../tests/vectors/", import.meta.url);

async function shows(page: Page, id: string, text: string): Promise<void> {
  const shown = () => page.evaluate((id) => document.getElementById(id)?.textContent, id);
  for (let round = 0; (await shown()) !== text; round += 1) {
    assert.ok(round < 200, `the page shows ${JSON.stringify(await shown())} and not ${JSON.stringify(text)}`);
    await page.waitForTimeout(50);
  }
}

test("Chromium: the scripts of the engine, and pages that share, reload and survive a restart", { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "requery-web-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const proxy = await CountingProxy.start();
  t.after(() => proxy.close());
  let server = await serve(folder, 0, "--allow-origin", proxy.url);
  t.after(() => stop(server.child));
  proxy.target = server.url;
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  t.after(() => browser.close());
  const context: BrowserContext = await browser.newContext();
  const open = async (name: string) => {
    const page = await context.newPage();
    page.on("pageerror", (error) => t.diagnostic(`page: ${error.message}`));
    page.on("console", (message) => t.diagnostic(`console: ${message.text()}`));
    await page.goto(`${proxy.url}/app/test/pages/${name}`);
    return page;
  };
  const post = (title: string) =>
    fetch(`${server.url}/api/v1/tasks`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ title, project: "p" }),
    });

  await t.test("the scripts give the same traces", async () => {
    const names = (await readdir(vectors)).filter((name) => name.endsWith(".txt"));
    const page = await open(`vectors.html?names=${names.join(",")}`);
    await page.waitForFunction(() => document.title.includes("right"), null, { timeout: 20_000 });
    assert.equal(await page.title(), `${names.length} right; wrong:`);
    await page.close();
  });

  await t.test("two pages show a change, over one stream", async () => {
    const pages = [await open("live.html"), await open("live.html")];
    for (const page of pages) {
      await shows(page, "tasks", "fresh: ");
    }
    await post("one");
    for (const page of pages) {
      await shows(page, "tasks", "fresh: one");
    }
    assert.equal(proxy.sockets, 1);
    await pages[1]?.close();
    await post("two");
    await shows(pages[0] as Page, "tasks", "fresh: two,one");
    assert.equal(proxy.sockets, 1);
  });

  await t.test("a page that is loaded again fetches nothing", async () => {
    const [page] = context.pages() as [Page];
    await shows(page, "status", "live");
    proxy.taken();
    await page.reload();
    await shows(page, "tasks", "fresh: two,one");
    assert.deepEqual(proxy.taken(), []);
  });

  await t.test("a restarted server is found again, and nothing is fetched that did not change", async () => {
    const [page] = context.pages() as [Page];
    const { port } = new URL(server.url);
    await stop(server.child);
    await shows(page, "status", "reconnecting");
    server = await serve(folder, Number(port), "--allow-origin", proxy.url);
    await shows(page, "status", "live");
    await shows(page, "tasks", "fresh: two,one");
    assert.deepEqual(proxy.taken(), []);
  });

  await t.test("without WebSocket the stream comes by server-sent events", async () => {
    const [page] = context.pages() as [Page];
    await page.close();
    proxy.blocksWebSocket = true;
    const other = await open("live.html");
    await shows(other, "tasks", "fresh: two,one");
    await post("three");
    await shows(other, "tasks", "fresh: three,two,one");
    assert.equal(proxy.sockets, 0);
    assert.ok(proxy.requests.some((path) => path.startsWith("/api/v1/stream")));
    await other.close();
  });
});
