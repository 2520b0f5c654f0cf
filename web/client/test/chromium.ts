/** Chromium with pages of the built package, before a proxy and the real server. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { binary, CountingProxy, serve, stop } from "./real.js";

const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** Why the tests cannot run here, or false. */
export const skip =
  (!binary && "REQUERY_BINARY is not set") || (!existsSync(executablePath) && "there is no Chromium") || false;

/** The server, the proxy and the browser of a test in Chromium. They end with the test. */
export async function stage(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "requery-web-"));
  const proxy = await CountingProxy.start();
  /** The proxy as a server of another machine. */
  const remote = proxy.url.replace("127.0.0.1", "remote.test");
  const origins = ["--allow-origin", proxy.url, "--allow-origin", remote];
  let server = await serve(folder, 0, ...origins);
  proxy.target = server.url;
  const args = [
    "--no-sandbox",
    "--host-resolver-rules=MAP remote.test 127.0.0.1",
    // Only secure origins have locks.
    `--unsafely-treat-insecure-origin-as-secure=${remote}`,
  ];
  const browser = await chromium.launch({ executablePath, args });
  t.after(async () => {
    await browser.close();
    proxy.close();
    await stop(server.child);
    await rm(folder, { recursive: true, force: true });
  });
  /** Opens a page of `test/pages` in a tab of `context`. */
  const open = async (context: BrowserContext, name: string, origin = proxy.url) => {
    const page = await context.newPage();
    page.on("pageerror", (error) => t.diagnostic(`page: ${error.message}`));
    await page.goto(`${origin}/app/test/pages/${name}`);
    return page;
  };
  return {
    proxy,
    remote,
    browser,
    open,
    /** Starts a task, and returns its id. */
    post: async (title: string): Promise<string> => {
      const body = JSON.stringify({ title, project: "p" });
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${server.url}/api/v1/tasks`, { method: "POST", headers, body });
      return ((await response.json()) as { task_id: string }).task_id;
    },
    rename: async (id: string, title: string): Promise<void> => {
      const headers = { "content-type": "application/json" };
      const init = { method: "PATCH", headers, body: JSON.stringify({ title }) };
      assert.ok((await fetch(`${server.url}/api/v1/tasks/${id}`, init)).ok);
    },
    stop: (signal: "SIGTERM" | "SIGKILL") => stop(server.child, signal),
    start: async () => {
      server = await serve(folder, Number(new URL(server.url).port), ...origins);
    },
  };
}

/** Waits until the element shows the text, at most `patience` milliseconds. */
export async function shows(page: Page, id: string, text: string | RegExp, patience = 12_000): Promise<void> {
  const shown = () => page.evaluate((id) => document.getElementById(id)?.textContent ?? "", id);
  const is = (shown: string) => (typeof text === "string" ? shown === text : text.test(shown));
  await until(
    async () => is(await shown()),
    async () => `${id} shows ${JSON.stringify(await shown())} and not ${text}`,
    patience,
  );
}

/** Waits for a condition. */
export async function until(
  is: () => boolean | Promise<boolean>,
  fault: () => string | Promise<string>,
  patience = 12_000,
): Promise<void> {
  const end = Date.now() + patience;
  while (!(await is())) {
    assert.ok(Date.now() < end, await fault());
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** Hides or shows a page, as a person who changes the tab. */
export function setHidden(page: Page, hidden: boolean): Promise<void> {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, "visibilityState", { value: hidden ? "hidden" : "visible", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}
