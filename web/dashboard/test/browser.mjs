/** A page of Debian's Chromium before a running server, and the rows of a project of its own for each test. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

/** The address of a server that serves the dashboard: a running binary, or `vite preview` before one. */
export const base = process.env.REQUERY_PAGE;
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Why the tests cannot run here; `false` if they can. */
export const skipped = !base
  ? "REQUERY_PAGE does not name a server"
  : !existsSync(executablePath) && `${executablePath} does not exist`;

export async function open(options = {}) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  return { browser, context, page, faults };
}

export async function send(method, path, body) {
  const response = await fetch(new URL(path, base), {
    method,
    headers: { "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.status === 204 ? null : response.json();
}

export const newProject = () => `test ${randomUUID()}`;
export const newTask = (project, fields) => send("POST", "/api/v1/tasks", { project, ...fields });
export const logEvents = (task, events) => send("POST", `/api/v1/tasks/${task.task_id}/events`, { events });

/** The address of a screen in a project. */
export const at = (path, project, more = {}) => `${base}${path}?${new URLSearchParams({ project, ...more })}`;
