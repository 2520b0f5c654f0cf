/** The words of statuses, reasons and numbers. A status is a shape, a word and a colour. */
import type { NeedsYou, Task, TaskStatus, TodoProgress } from "./rows";

export type Shape = "asks" | "turn" | "running" | "ready" | "completed" | "errored" | "doubt";

const BLOCKS = ["permission", "question"];

/** The shape of a waiting or flagged task, from its reason. */
export function shapeOfReason(reason: string | null): Shape {
  if (reason === "silent" || reason === "gone") return "doubt";
  if (reason === "ready") return "ready";
  if (reason !== null && BLOCKS.includes(reason)) return "asks";
  return "turn";
}

export function shapeOf(task: {
  status: TaskStatus;
  status_reason?: string | null;
  stale_since?: string | null;
}): Shape {
  if (task.stale_since && task.status === "running") return "doubt";
  if (task.status === "waiting") return shapeOfReason(task.status_reason ?? null);
  return task.status;
}

export const SHAPE_WORDS: Record<Shape, string> = {
  asks: "asks you",
  turn: "your turn",
  running: "running",
  ready: "ready",
  completed: "done",
  errored: "failed",
  doubt: "in doubt",
};

const WHY: Record<string, string> = {
  permission: "waits for your permission",
  question: "waits for your answer",
  idle: "waits for input",
  finished: "ended its turn and waits for the next prompt",
  ready: "is ready for a first prompt",
  silent: "has been silent for a while, though it should be running",
  gone: "has no process any more, though it should be running",
};

/** Why a task needs a person, as a sentence after its name. */
export function why(reason: string | null): string {
  if (reason === null) return "waits for you";
  return WHY[reason] ?? `waits for you: ${reason}`;
}

/** The mark of an entry: the word of its reason where it has one of its own, since the sentence beside it says the rest. */
export const wordOfReason = (reason: string | null): string => blockOf(reason) ?? SHAPE_WORDS[shapeOfReason(reason)];

/** The reason of a task that is blocked until a person answers; `null` for every other task. */
export const blockOf = (reason: string | null): string | null =>
  reason !== null && BLOCKS.includes(reason) ? reason : null;

/** The entries in the order of their weight: a question that blocks comes first, then doubt, then an ended turn. */
export function byWeight(entries: readonly NeedsYou[]): NeedsYou[] {
  const weight = { asks: 0, doubt: 1, turn: 2, ready: 3 } as Record<Shape, number>;
  const of = (entry: NeedsYou) => weight[shapeOfReason(entry.reason ?? null)] ?? 2;
  return (
    entries
      .filter((entry) => entry.reason !== "ready")
      // The first comparison by a locale costs the page 8 ms, so the times are compared as numbers.
      .sort((a, b) => of(a) - of(b) || Date.parse(a.since) - Date.parse(b.since))
  );
}

/** The one sentence of a task in a list. */
export function sentenceOf(task: Task): string {
  if (task.stale_since && task.status === "running") return why(task.stale_reason ?? null);
  if (task.status === "waiting") return task.status_detail ?? why(task.status_reason ?? null);
  if (task.status === "errored") {
    return task.status_detail ?? (task.status_reason ? `failed: ${task.status_reason}` : (task.summary ?? "failed"));
  }
  if (task.status === "running") return task.progress?.active ?? task.summary ?? "";
  return task.summary ?? "";
}

/** How far the list of an agent is done, as in `2 of 5 done: Round the total`. */
export const progressWords = ({ done, total, active }: TodoProgress): string =>
  `${number(done)} of ${number(total)} done${active ? `: ${active}` : ""}`;

/** The name of a pull request: its number, where the address ends with one. */
export function pullRequestWords(address: string): string {
  const number = /\/(\d+)\/?$/.exec(address)?.[1];
  return number === undefined ? address : `Pull request #${number}`;
}

/** A path as seen from the folder of the agent. A path outside of that folder stays as it is. */
export function relativePath(path: string, folder: string | null): string {
  const inside = folder !== null && path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : "";
  return inside === "" ? path : inside;
}

// The first number formatter of a page costs milliseconds before the first rows, so no formatter is made here.
export const number = (value: number): string => String(value).replace(/\B(?=(?:\d{3})+$)/g, ",");

const STEPS = ["", "K", "M", "B", "T"];

/** A number in at most five characters: `9,999`, `12.3K`, `4M`. */
export function short(value: number): string {
  if (value < 10_000) return number(value);
  const step = Math.min(STEPS.length - 1, Math.floor(Math.log10(value) / 3));
  return `${Number((value / 1000 ** step).toFixed(1))}${STEPS[step]}`;
}

/** The stated cost, with a mark if not every answer states one. */
export function cost(usage: { cost_usd?: number | null; answers: number; answers_with_cost: number }): string {
  if (usage.cost_usd === null || usage.cost_usd === undefined) return "not stated";
  return `${usage.answers_with_cost < usage.answers ? "at least " : ""}$${usage.cost_usd.toFixed(2)}`;
}

/** The name of a project; the empty text is a project too. */
export const projectName = (project: string): string => (project === "" ? "(no project)" : project);

/** The commands that continue a session, by the agents that run in a terminal. */
const RESUME: ReadonlyMap<string, string> = new Map([
  ["claude-code", "claude --resume"],
  ["codex", "codex resume"],
]);

/** Whether a person answers an agent in its terminal. A person answers other agents in their own programs. */
export const runsInTerminal = (source: string): boolean => RESUME.has(source);

/** The command that continues a session of an agent in its folder. */
export function resumeCommand(source: string, runtime: string, workspace: string | null): string | null {
  // The agent would take such an id for an option.
  if (runtime.startsWith("-")) return null;
  const resume = RESUME.get(source);
  if (resume === undefined) return null;
  const command = `${resume} ${quoted(runtime)}`;
  return workspace === null ? command : `cd ${quoted(workspace)} && ${command}`;
}

/** A text as one word of a shell, since a hostile name must not run when it is pasted. Control characters go away. */
function quoted(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are the ones to remove.
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "");
  return /^[\w@%+=:,./][\w@%+=:,./-]*$/.test(plain) ? plain : `'${plain.replaceAll("'", `'\\''`)}'`;
}

/** The command that lets an agent report to the server of this page. */
export const installCommand = (): string => `requery hooks install --agent claude-code --server ${location.origin}`;
