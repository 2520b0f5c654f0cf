/** The stage of a test: a project of its own on the real server, behind a proxy of its own, in a fresh context. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { openContext } from "./browser.mjs";
import { CountingProxy } from "./proxy.mjs";
import { RealServer } from "./server.mjs";

/** A condition has this time: the tests share their machine with a compiler. */
export const PATIENCE_MS = 20_000;

let shared = null;

/** The server of the tests that neither stop nor restart it. */
export function sharedServer() {
  shared ??= RealServer.start();
  return shared;
}

export async function closeShared() {
  await (await shared)?.close();
  shared = null;
}

/** Waits until `check` returns a value that counts as true, and returns it. */
export async function until(check, why, within = PATIENCE_MS) {
  const end = Date.now() + within;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) assert.fail(`not within ${within} ms: ${typeof why === "function" ? why() : why}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Waits until no request has come for a while, which begins at `from` at the earliest. */
export function quieted(proxy, quiet, from = 0) {
  return until(
    () =>
      Date.now() - Math.max(from, proxy.requests.at(-1)?.at ?? 0) > quiet &&
      proxy.requests.every(({ status }) => status !== null),
    "the page makes no more requests",
    20_000,
  );
}

/** Waits until no request has come for a while, and forgets the requests that came. */
export async function settled(proxy, quiet = 700) {
  await quieted(proxy, quiet);
  return proxy.taken();
}

/**
 * A test with a stage.
 *
 * `ownServer` gives the test a server that it may stop. With `remote` the page takes the server for one of another
 * machine, because the way to its own machine needs no network. All other options are those of the context. Each test ends with
 * the same question: the page made no fault.
 */
export function scenario(name, options, run) {
  const {
    ownServer = false,
    remote = false,
    timeout = 120_000,
    mayFault = false,
    serverOptions,
    todo,
    skip,
    ...rest
  } = options;
  test(name, { timeout, ...(todo ? { todo } : {}), ...(skip ? { skip } : {}) }, async () => {
    const server = ownServer ? await RealServer.start({ more: serverOptions ?? [] }) : await sharedServer();
    const proxy = await CountingProxy.start(server.url);
    const project = `p ${randomUUID().slice(0, 8)}`;
    const { context, newPage, page, faults } = await openContext(rest);
    const origin = remote ? proxy.url.replace("127.0.0.1", "server.remote.test") : proxy.url;
    const at = (path, more = {}) => `${origin}${path}?${new URLSearchParams({ project, ...more })}`;
    const show = async (path, more) => {
      await page.goto(at(path, more));
    };
    try {
      await run({ server, proxy, project, context, newPage, page, faults, at, show });
      if (!mayFault) assert.deepEqual(faults, [], "the page made a fault");
    } finally {
      await context.close();
      proxy.close();
      if (ownServer) await server.close();
    }
  });
}
