/** The real program: a server with a database in a folder of its own, and requests to it. */
import { execFile, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const built = process.env.CARGO_TARGET_DIR ?? join(repository, "target");

/** The program: the one that `REQUERY_BINARY` names, or the debug build of this repository. */
export const binary = process.env.REQUERY_BINARY ?? join(built, "debug", "requery");
export const hasBinary = existsSync(binary);

/** Only SQL writes some texts that no operation and no hook takes. */
export const hasSqlite = spawnSync("sqlite3", ["--version"]).status === 0;

/** A server gives its address within this time, or the test fails. */
const START_MS = 20_000;

/** Runs a command of the program that serves, and waits for its address. */
async function run(command, folder, port, more = []) {
  const listen = ["--listen", `127.0.0.1:${port}`];
  const child = spawn(binary, [command, ...listen, ...more], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH, HOME: folder },
  });
  // A test that fails must not leave its server behind.
  const end = () => child.kill("SIGKILL");
  process.once("exit", end);
  const lines = [];
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no address after ${START_MS} ms: ${lines.join("\n")}`)), START_MS);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        if (lines.length < 100) lines.push(line);
        const [found] = /http:\/\/[\w.]+:\d+/.exec(line) ?? [];
        if (found) {
          clearTimeout(timer);
          resolve(found);
        }
      });
    }
    child.once("exit", (code) => {
      clearTimeout(timer);
      process.off("exit", end);
      reject(new Error(`the program ended with ${code}: ${lines.join("\n")}`));
    });
  });
  return { child, url };
}

function ended(child, signal) {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", resolve);
    child.kill(signal);
  });
}

/** A server that keeps its database and its port when it is stopped, killed or started again. */
export class RealServer {
  static async start({ command = "serve", more = [] } = {}) {
    const folder = await mkdtemp(join(tmpdir(), "requery-dashboard-"));
    const own =
      command === "serve" ? ["--database-url", join(folder, "requery.db"), "--spool", join(folder, "spool")] : [];
    const server = new RealServer(command, folder, [...own, ...more]);
    Object.assign(server, await run(command, folder, 0, server.more));
    return server;
  }

  constructor(command, folder, more) {
    this.command = command;
    this.folder = folder;
    this.more = more;
  }

  stop() {
    return ended(this.child, "SIGTERM");
  }

  kill() {
    return ended(this.child, "SIGKILL");
  }

  async again() {
    Object.assign(this, await run(this.command, this.folder, new URL(this.url).port, this.more));
  }

  async close() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async send(method, path, body, headers = {}) {
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? null : response.json();
  }

  newTask(project, fields) {
    return this.send("POST", "/api/v1/tasks", { project, ...fields });
  }

  async newTasks(project, count, fieldsOf) {
    const tasks = [];
    for (let at = 0; at < count; at++) tasks.push(await this.newTask(project, fieldsOf(at)));
    return tasks;
  }

  change({ task_id }, fields) {
    return this.send("PATCH", `/api/v1/tasks/${task_id}`, fields);
  }

  /** Logs events in batches of the largest size. */
  async logEvents({ task_id }, events) {
    for (let at = 0; at < events.length; at += 1000) {
      await this.send("POST", `/api/v1/tasks/${task_id}/events`, { events: events.slice(at, at + 1000) });
    }
  }

  /** The record of a hook, as the forwarder of the program sends it. */
  hook(body, headers) {
    return this.send("POST", "/api/v1/hooks/claude-code", body, headers);
  }

  /** Runs a statement as another program that writes the file. */
  async sql(statement) {
    const file = join(this.folder, "requery.db");
    const { stdout } = await promisify(execFile)("sqlite3", ["-cmd", ".timeout 10000", file, statement]);
    return stdout;
  }

  async tasks(project) {
    return (await this.send("GET", `/api/v1/tasks?${new URLSearchParams({ project, limit: 200 })}`)).items;
  }
}
