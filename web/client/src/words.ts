/** The words of the contract for the numbers of the engine. */
import { noticeKinds } from "./generated/invalidation.js";

/** How far a held answer can be trusted. */
export type HeldState = "loading" | "fresh" | "stale" | "unconfirmed" | "gone";

/** In the order of the engine's numbers. */
export const states: readonly HeldState[] = ["loading", "fresh", "stale", "unconfirmed", "gone"];

/** In the order of the engine's numbers. */
export const lossReasons = [
  "ended",
  "not reached",
  "busy",
  "silent",
  "no first message",
  "not confirmed",
  "closing",
  "network returned",
  "asked",
] as const;

/** Why the stream was lost. */
export type LossReason = (typeof lossReasons)[number];

/** Why a read model is fetched: the kind of a message, or another word. */
export type Why = string;

const whys = ["watched", "safety", "polled", "asked"];
const messages = ["snapshot", "resumed", "stale", "watching", "heartbeat", "resync", "closing", "unknown"];

/** The word for the engine's number of a reason. */
export function why(number: number): Why {
  if (number >= 1000) {
    return noticeKinds[number - 1000] ?? "unknown";
  }
  return whys[number] ?? messages[number - 10] ?? "unknown";
}
