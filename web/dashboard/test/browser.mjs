/** One Chromium for all tests, and pages in contexts of their own. */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { binary, hasBinary } from "./server.mjs";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Why the tests cannot run here; `false` if they can. */
export const skipped = !hasBinary
  ? `the browser tests are skipped: ${binary} does not exist (cargo build makes it)`
  : !existsSync(executablePath) && `the browser tests are skipped: there is no Chromium at ${executablePath}`;

let launch = null;

/** The browser, also for tests that begin at the same time. */
export function chromiumOnce() {
  launch ??= chromium.launch({
    executablePath,
    // Tests look at pages that no window shows, and a page in the background gets few timers.
    args: ["--no-sandbox", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"],
  });
  return launch;
}

export async function closeChromium() {
  await (await launch)?.close();
  launch = null;
}

/** A fresh context with a page. `faults` gets each error of the page and each breach of its policy. */
export async function openContext(options = {}) {
  const { scripts = [], ...rest } = options;
  const context = await (await chromiumOnce()).newContext({ viewport: { width: 1280, height: 800 }, ...rest });
  const faults = [];
  for (const script of scripts) await context.addInitScript(script);
  const newPage = async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => faults.push(error.stack));
    page.on("console", (message) => {
      // Chromium reports each failed request. Tests that end the server expect those.
      const isNetwork = /Failed to load resource|WebSocket connection to|net::ERR/.test(message.text());
      if (message.type() === "error" && !isNetwork) faults.push(message.text());
    });
    return page;
  };
  return { context, newPage, faults, page: await newPage() };
}
