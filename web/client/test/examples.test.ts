/** Runs the examples as their READMEs say, in Chromium, against the real server with a database file. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { shows, skip, stage } from "./chromium.js";

const examples = new URL("../../../../examples/", import.meta.url);
const root = new URL("../../", import.meta.url);

/** Starts an example, whose start command prints its address. */
async function begin(folder: URL, command: string[], server: string): Promise<{ child: ChildProcess; url: string }> {
  const [name = "", ...rest] = command;
  const env = { ...process.env, REQUERY_URL: server, PORT: "0", NO_COLOR: "1" };
  const child = spawn(name, rest, { cwd: fileURLToPath(folder), env, stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [found] = /http:\/\/[\w.]+:\d+/.exec(line) ?? [];
      if (found) {
        resolve(found);
      }
    });
    child.on("exit", (code) => reject(new Error(`the example ended with ${code}`)));
  });
  return { child, url };
}

const starts: [string, string[]][] = [
  ["react-tanstack", [process.execPath, "node_modules/vite/bin/vite.js", "--port", "0"]],
  ["plain-html", [process.execPath, "serve.mjs"]],
];

for (const [name, command] of starts) {
  const folder = new URL(`${name}/`, examples);
  const installed = new URL("node_modules/requery-client/", folder);
  const missing = skip || (!existsSync(installed) && `npm ci was not run in examples/${name}`);
  test(`examples/${name} outlives a stop of the server, without a reload or a request`, {
    skip: missing,
  }, async (t) => {
    // The example has a copy of the package, which may be an earlier one.
    for (const part of ["dist", "wasm", "package.json"]) {
      cpSync(new URL(part, root), new URL(part, installed), { recursive: true });
    }
    const { proxy, browser, post, ...server } = await stage(t);
    await post("one");
    const { child, url } = await begin(folder, command, proxy.url);
    t.after(() => child.kill());
    const page = await browser.newPage();
    page.on("pageerror", (error) => t.diagnostic(`page: ${error.message}`));
    await page.goto(url);
    await shows(page, "tasks", /^\s*\w+: one\s*$/, 30_000);
    await shows(page, "status", "live");
    if (name === "react-tanstack") {
      await shows(page, "projects", "p");
    }
    await page.evaluate("window.isTheSamePage = true");

    proxy.taken();
    await server.stop("SIGTERM");
    await shows(page, "status", /^reconnecting/);
    await page.waitForTimeout(2_000);
    await server.start();
    await shows(page, "status", "live", 30_000);
    await shows(page, "tasks", /^\s*\w+: one\s*$/);
    assert.deepEqual(proxy.taken(), []);
    await post("two");
    await shows(page, "tasks", /^\s*\w+: two\s*\w+: one\s*$/);
    assert.equal(await page.evaluate("window.isTheSamePage"), true);
  });
}
