/** All browser tests, in one process with one Chromium, against the real program. */
import { after, describe, test } from "node:test";
import { closeChromium, skipped } from "./browser.mjs";
import { closeShared } from "./stage.mjs";

if (skipped) {
  console.error(skipped);
  test("the dashboard in a browser", { skip: skipped });
} else {
  after(async () => {
    await closeChromium();
    await closeShared();
  });
  const only = process.env.REQUERY_SUITES?.split(",") ?? null;
  const suites = [
    "screens",
    "tasks",
    "timeline",
    "live",
    "returns",
    "network",
    "hostile",
    "keys",
    "heard",
    "axe",
    "calm",
    "faults",
    "load",
    "changes",
  ];
  for (const name of suites) {
    if (only?.includes(name) === false) continue;
    const { title, tests, options = {} } = await import(`./suites/${name}.mjs`);
    describe(title, options, tests);
  }
}
