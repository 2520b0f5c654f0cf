/** A lively database: two recorded days of agents that end just now, and tasks that stand where a person finds them. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const fixtures = fileURLToPath(new URL("../../../tests/fixtures/", import.meta.url));
const MINUTE = 60_000;

async function hooks(server, source, body, at) {
  const response = await fetch(`${server.url}/api/v1/hooks/${source}`, {
    method: "POST",
    headers: { "requery-at": new Date(at).toISOString() },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`hook: ${response.status} ${await response.text()}`);
}

/** Sends a recording as if it had ended `before` the moment. */
async function recording(server, source, name, before) {
  const text = await readFile(`${fixtures}hooks/${name}`, "utf8");
  const records = text.split("\n").filter((line) => line !== "");
  const parsed = records.map((line) => JSON.parse(line));
  const end = Date.now() - before - parsed.at(-1).at_ms;
  for (const { at_ms, body } of parsed) if (typeof body === "object") await hooks(server, source, body, end + at_ms);
}

/** The session of an agent that has worked for a while, and then stands still with `last`. */
async function session(server, project, prompt, ago, last) {
  const id = crypto.randomUUID();
  const cwd = `/home/dev/${project}`;
  const of = (hook_event_name, more = {}) => ({ session_id: id, cwd, hook_event_name, ...more });
  const begin = Date.now() - ago;
  await hooks(
    server,
    "claude-code",
    of("SessionStart", { source: "startup", model: "claude-sonnet-5" }),
    begin - 5 * MINUTE,
  );
  await hooks(server, "claude-code", of("UserPromptSubmit", { prompt }), begin - 5 * MINUTE + 8000);
  const calls = [
    ["Read", { file_path: `${cwd}/README.md` }],
    ["Grep", { pattern: "TODO", path: cwd }],
    ["Bash", { command: "npm test", description: "Runs the tests" }],
  ];
  for (const [at, [tool_name, tool_input]] of calls.entries()) {
    const call = { tool_name, tool_input, tool_use_id: `toolu_${id}_${at}` };
    await hooks(server, "claude-code", of("PreToolUse", call), begin - 4 * MINUTE + at * 20_000);
    await hooks(
      server,
      "claude-code",
      of("PostToolUse", { ...call, tool_response: { stdout: "ok" } }),
      begin - 4 * MINUTE + at * 20_000 + 3000,
    );
  }
  for (const [name, more] of last) await hooks(server, "claude-code", of(name, more), begin);
}

/** Fills the database of a server. Returns a task that waits, and a long one with a failed event. */
export async function lively(server) {
  await recording(server, "claude-code", "claude-code-busy-day.jsonl", 6 * MINUTE);
  await recording(server, "codex", "codex-two-sessions.jsonl", 3 * MINUTE);
  const push = { tool_name: "Bash", tool_input: { command: "git push origin fix/rounding --force-with-lease" } };
  await session(server, "storefront", "Rebase the rounding fix on main and push it.", 4 * MINUTE, [
    ["PermissionRequest", push],
  ]);
  const question = "The old invoices have no tax zone. Use the zone of the shop, or leave the field empty?";
  const asked = {
    questions: [{ question, header: "Tax zone", options: [{ label: "The shop's" }, { label: "Empty" }] }],
  };
  await session(server, "ledger-api", "Backfill tax_zone for invoices from before 2024.", 11 * MINUTE, [
    ["PreToolUse", { tool_name: "AskUserQuestion", tool_input: asked, tool_use_id: "toolu_question" }],
  ]);
  await session(
    server,
    "relay-worker",
    "Retries should back off with jitter instead of every five seconds.",
    2 * MINUTE,
    [
      [
        "Stop",
        { last_assistant_message: "Retries wait 0.5 s to 30 s with full jitter now. Shall I also cap the queue?" },
      ],
    ],
  );
  for (const [project, prompt, ago] of [
    ["storefront", "Show the delivery date in the order summary, in the customer's time zone.", 20_000],
    ["field-notes", "Importing 3,000 photos needs 6 GB of memory. Stream them instead.", 5000],
    ["relay-worker", "Find out why two messages are lost when the worker restarts under load.", MINUTE],
  ]) {
    await session(server, project, prompt, ago, []);
  }
  for (const name of ["shop/checkout.jsonl", "notes/resumed.jsonl"]) {
    const response = await fetch(`${server.url}/api/v1/transcripts/claude-code`, {
      method: "POST",
      body: await readFile(`${fixtures}transcripts/${name}`),
    });
    if (!response.ok) throw new Error(`transcript: ${response.status}`);
  }
  const { items } = await server.send("GET", "/api/v1/tasks?limit=200");
  const waiting = items.find(({ status_reason }) => status_reason === "question") ?? items[0];
  const worked = items.toSorted((a, b) => b.event_count - a.event_count)[0];
  const timeline = await server.send("GET", `/api/v1/tasks/${worked.task_id}/timeline?limit=200`);
  const event =
    timeline.items.find(({ state }) => state === "failed") ??
    timeline.items.find(({ body }) => body) ??
    timeline.items[0];
  await server.send("PUT", "/api/v1/bookmarks", {
    task_id: worked.task_id,
    event_id: event.event_id,
    note: "Why does this fail on CI only?",
  });
  await server.send("PUT", "/api/v1/bookmarks", { task_id: waiting.task_id, note: "Ask the accountants on Monday." });
  return { waiting, worked: { ...worked, failed: event.event_id } };
}
