/** Runs the scripts of the engine in Chromium. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { skip, stage } from "./chromium.js";

const vectors = new URL("../../../../tests/vectors/", import.meta.url);

test("Chromium: the scripts of the engine give the same traces", { skip }, async (t) => {
  const { browser, open } = await stage(t);
  const names = (await readdir(vectors)).filter((name) => name.endsWith(".txt"));
  const page = await open(await browser.newContext(), `vectors.html?names=${names.join(",")}`);
  await page.waitForFunction(() => document.title.includes("right"), null, { timeout: 20_000 });
  assert.equal(await page.title(), `${names.length} right; wrong:`);
});
