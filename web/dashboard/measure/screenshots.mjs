/**
 * Takes a picture of each screen in both themes and three widths, from a lively database.
 *
 *     node web/dashboard/measure/screenshots.mjs [folder]
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { closeChromium, openContext, skipped } from "../test/browser.mjs";
import { RealServer } from "../test/server.mjs";
import { lively } from "./scene.mjs";

const folder = process.argv[2] ?? fileURLToPath(new URL("../../../target/screenshots", import.meta.url));
const WIDTHS = [
  [360, 740],
  [1280, 800],
  [2560, 1440],
];

if (skipped) {
  console.error(skipped);
  process.exit(1);
}
mkdirSync(folder, { recursive: true });
const server = await RealServer.start();
try {
  const { waiting, worked } = await lively(server);
  const task = (id, more = "") => `/tasks/${id}${more}`;
  const rows = () => document.querySelector("[data-row]") !== null;
  const screens = [
    ["now", "/", rows],
    ["tasks", "/tasks", rows],
    ["waiting-tasks", "/tasks?status=waiting", rows],
    ["search", "/tasks?q=total*", () => document.querySelector("mark") !== null],
    ["task", task(waiting.task_id), rows],
    ["long-task", task(worked.task_id), rows],
    [
      "event",
      task(worked.task_id, `?event=${worked.failed}`),
      () => document.querySelector("[aria-label='Selected event']") !== null,
    ],
    ["bookmarks", "/bookmarks", rows],
    ["help", "/", rows, (page) => page.keyboard.press("?")],
    ["projects", "/", rows, (page) => page.keyboard.press("p")],
    ["purge", "/tasks", rows, (page) => page.keyboard.press("P")],
    ["empty", "/?project=a+new+project", () => document.body.textContent.includes("Waiting for the first event")],
  ];
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of WIDTHS) {
      const { context, page } = await openContext({ colorScheme, viewport: { width, height } });
      for (const [name, path, isThere, act] of screens) {
        await page.goto(server.url + path);
        await page.waitForFunction(isThere);
        await act?.(page);
        await page.waitForTimeout(400);
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`) });
      }
      await context.close();
    }
  }
  console.log(`the pictures are in ${folder}`);
} finally {
  await closeChromium();
  await server.close();
}
