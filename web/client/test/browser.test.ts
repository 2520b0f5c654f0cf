/** Runs the built package in Chromium: tabs that share a connection, end, reload and survive. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { shows, skip, stage, until } from "./chromium.js";

test("Chromium: tabs share a connection", { skip }, async (t) => {
  const { proxy, remote, browser, open, post, rename, ...server } = await stage(t);
  const context = await browser.newContext();
  const id = await post("one");
  let pages: Page[] = [];

  await t.test("ten tabs have one stream, and all show a change", async () => {
    pages = await Promise.all(Array.from({ length: 10 }, () => open(context, "live.html")));
    for (const page of pages) {
      await shows(page, "tasks", "fresh: one");
    }
    assert.equal(proxy.sockets, 1);
    proxy.taken();
    await post("two");
    for (const page of pages) {
      await shows(page, "tasks", "fresh: two,one");
    }
    const fetches = proxy.taken();
    assert.ok(fetches.length <= 4, `ten tabs made ${fetches}`);
    assert.equal(proxy.sockets, 1);
    for (const page of pages.splice(2)) {
      await page.close();
    }
  });

  await t.test(
    "a tab that is loaded again makes no request, also for a read model that no other tab shows",
    async () => {
      const [first] = pages as [Page];
      const task = await open(context, `live.html?watch=task:${id}`);
      await shows(task, "task", "fresh: one");
      await shows(task, "status", "live");
      proxy.taken();
      await task.reload();
      await shows(task, "task", "fresh: one");
      await first.reload();
      await shows(first, "tasks", "fresh: two,one");
      assert.deepEqual(proxy.taken(), []);
      pages.push(task);
    },
  );

  await t.test("a tab that crashes leaves no watch behind", async () => {
    const task = pages.pop() as Page;
    await crash(task);
    // A change of the task is fetched until the read models of the tab are let go.
    let title = 0;
    await until(
      async () => {
        title += 1;
        proxy.taken();
        await rename(id, `one ${title}`);
        await shows(pages[0] as Page, "tasks", `fresh: one ${title},two`);
        return !proxy.taken().includes(`/api/v1/tasks/${id}`);
      },
      () => "the task is still fetched",
    );
    await rename(id, "one");
    await shows(pages[0] as Page, "tasks", "fresh: one,two");
  });

  await t.test("a worker that ends is replaced, and a read model that did not change is not fetched", async () => {
    const other = await browser.newContext();
    // The worker runs in the process of the first page.
    const first = await open(other, "live.html");
    await shows(first, "status", "live");
    const second = await open(other, "live.html");
    await shows(second, "status", "live");
    await shows(second, "tasks", "fresh: one,two");
    proxy.taken();
    await second.evaluate("window.last = store.status.getSnapshot()");
    await crash(first);
    await until(
      () => second.evaluate("store.status.getSnapshot() !== window.last"),
      () => "the page does not learn of the end of its worker",
    );
    await shows(second, "status", "live");
    await shows(second, "tasks", "fresh: one,two");
    assert.deepEqual(proxy.taken(), []);
    const third = await open(other, "live.html");
    await shows(third, "tasks", "fresh: one,two");
    // One stream for each of the two contexts.
    assert.equal(proxy.sockets, 2);
    await post("three");
    for (const page of [second, third, ...pages]) {
      await shows(page, "tasks", "fresh: three,one,two");
    }
    await other.close();
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    await t.test(`a server that ends by ${signal} is found again, and no read model is fetched`, async () => {
      const [page] = pages as [Page];
      await shows(page, "status", "live");
      proxy.taken();
      await server.stop(signal);
      await shows(page, "status", "reconnecting");
      await shows(page, "tasks", "unconfirmed: three,one,two");
      await shows(page, "text", /^could not reach the server: check that it runs at http/);
      await server.start();
      await shows(page, "status", "live");
      await shows(page, "tasks", "fresh: three,one,two");
      assert.deepEqual(proxy.taken(), []);
    });
  }

  await t.test("a browser without network says so, and fetches only changes when the network returns", async () => {
    const away = await browser.newContext();
    const [page, other] = [await open(away, "live.html", remote), await open(away, "live.html", remote)];
    await shows(page, "status", "live");
    await shows(other, "tasks", "fresh: three,one,two");
    await shows(other, "status", "live");
    // The switch of the browser tells the pages, and leaves the connection of the worker as it is.
    const offline = async () => {
      await away.setOffline(true);
      proxy.cut();
      await shows(page, "status", "offline");
      await shows(page, "tasks", /^unconfirmed: /);
    };
    proxy.taken();
    await offline();
    await away.setOffline(false);
    await shows(page, "status", "live");
    await shows(other, "status", "live");
    assert.deepEqual(proxy.taken(), []);
    await offline();
    await post("four");
    await away.setOffline(false);
    await shows(page, "tasks", "fresh: four,three,one,two");
    await shows(other, "tasks", "fresh: four,three,one,two");
    await away.close();
  });

  await t.test("a browser without network connects to a server on the same machine", async () => {
    const local = await browser.newContext();
    // The switch of the browser would also cut the way to the own machine, which the loss of a network leaves.
    await local.addInitScript("Object.defineProperty(navigator, 'onLine', { value: false })");
    const page = await open(local, "live.html");
    await shows(page, "status", "live");
    await page.evaluate("window.names = []; store.status.subscribe(({ name }) => names.push(name))");
    await page.evaluate("dispatchEvent(new Event('offline'))");
    proxy.cut();
    await until(
      () => page.evaluate("names.includes('reconnecting') && names.at(-1) === 'live' && !names.includes('offline')"),
      async () => `the connection was ${await page.evaluate("names.join()")}`,
    );
    await post("five");
    await shows(page, "tasks", "fresh: five,four,three,one,two");
    await local.close();
  });
});

/** Ends the process of a page. */
async function crash(page: Page): Promise<void> {
  const cdp = await page.context().newCDPSession(page);
  const crashed = new Promise((resolve) => page.on("crash", resolve));
  void cdp.send("Page.crash").catch(() => {});
  await crashed;
  await page.close();
}
