/** The words of statuses, reasons and numbers. A status is a shape, a word and a colour. */
import type { NeedsYou, Task, TaskStatus, TodoProgress } from "./rows";

export type Shape = "asks" | "asked" | "turn" | "running" | "ready" | "scheduled" | "completed" | "errored" | "doubt";

const BLOCKS = ["permission", "question"];

/** The shape of a waiting or flagged task, from its reason. A request that may be answered already is not certain. */
function shapeOfReason(reason: string | null, isCertain: boolean): Shape {
  if (reason === "silent" || reason === "gone") return "doubt";
  if (reason === "ready" || reason === "scheduled") return reason;
  if (reason !== null && BLOCKS.includes(reason)) return isCertain ? "asks" : "asked";
  return "turn";
}

/** The shape of an entry of "needs you". */
export const shapeOfNeed = (entry: NeedsYou): Shape =>
  entry.status === "errored" ? "errored" : shapeOfReason(entry.reason ?? null, entry.status_certain);

/** Whether an open task is flagged: its agent is silent, or its process is gone. */
export const isFlagged = (task: { status: TaskStatus; stale_since?: string | null }): boolean =>
  Boolean(task.stale_since) && (task.status === "running" || task.status === "waiting");

export function shapeOf(task: {
  status: TaskStatus;
  status_reason?: string | null;
  status_certain: boolean;
  stale_since?: string | null;
}): Shape {
  if (isFlagged(task)) return "doubt";
  if (task.status === "waiting") return shapeOfReason(task.status_reason ?? null, task.status_certain);
  return task.status;
}

export const SHAPE_WORDS: Record<Shape, string> = {
  asks: "asks you",
  asked: "asked",
  turn: "your turn",
  running: "running",
  ready: "ready",
  scheduled: "scheduled",
  completed: "done",
  errored: "failed",
  doubt: "in doubt",
};

const WHY: Record<string, string> = {
  permission: "waits for your permission",
  question: "waits for your answer",
  idle: "waits for input",
  finished: "ended its turn and waits for the next prompt",
  interrupted: "was stopped and waits for the next prompt",
  scheduled: "ended its turn and goes on by itself",
  ready: "is ready for a first prompt",
  silent: "has been silent for a while, though it should be running",
  gone: "has no process any more, though it has not ended",
};

/** Why a task is in doubt, if its request may be answered already. */
const ASKED: Record<string, string> = {
  permission: "asked for your permission, and may have it already",
  question: "asked you a question, and may have the answer",
};

/** Why a task waits, as a sentence after its name. */
export function why(reason: string | null, isCertain = true): string {
  if (reason === null) return "waits for you";
  const asked = isCertain ? undefined : ASKED[reason];
  if (asked !== undefined) return asked;
  return WHY[reason] ?? `waits for you: ${reason}`;
}

/** The overview has no more entries than these. */
export const MOST_NEEDS = 100;
/** So many of them failed or are in doubt, at most. */
export const MOST_FAILURES = 40;

export function hasFailed(entry: NeedsYou): boolean {
  const shape = shapeOfNeed(entry);
  return shape === "errored" || shape === "doubt";
}

/** The entries that leave no room for others of their kind. */
export function withoutRoom(entries: readonly NeedsYou[]): readonly NeedsYou[] {
  if (entries.length >= MOST_NEEDS) return entries;
  const failed = entries.filter(hasFailed);
  return failed.length >= MOST_FAILURES ? failed : [];
}

/** Why an entry needs a person. */
export function whyNeeded(entry: NeedsYou): string {
  if (entry.status === "errored") return entry.reason ? `failed: ${entry.reason}` : "failed";
  return why(entry.reason ?? null, entry.status_certain);
}

/** The word of a shape, or of the reason where it has a word of its own, since the sentence beside it says the rest. */
export const wordOf = (shape: Shape, reason: string | null): string =>
  (shape === "asks" ? blockOf(reason) : shape === "turn" && reason === "interrupted" ? reason : null) ??
  SHAPE_WORDS[shape];

/** The reason of a task that is blocked until a person answers; `null` for every other task. */
export const blockOf = (reason: string | null): string | null =>
  reason !== null && BLOCKS.includes(reason) ? reason : null;

/** The one sentence of a task in a list. */
export function sentenceOf(task: Task): string {
  if (isFlagged(task)) return why(task.stale_reason ?? null);
  if (task.status === "waiting") return task.status_detail ?? why(task.status_reason ?? null, task.status_certain);
  if (task.status === "errored") {
    return task.status_detail ?? (task.status_reason ? `failed: ${task.status_reason}` : (task.summary ?? "failed"));
  }
  if (task.status === "running") return task.progress?.active ?? task.summary ?? "";
  return task.summary ?? "";
}

/** How far the list of an agent is done, as in `2 of 5 done, now: Round the total`. */
export const progressWords = ({ done, total, active }: TodoProgress): string =>
  `${number(done)} of ${number(total)} done${active ? `, now: ${active}` : ""}`;

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

/** A number of things: `1 event`, `2 events`. */
export const count = (value: number, word: string): string => `${number(value)} ${word}${value === 1 ? "" : "s"}`;

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
