/** The explanations of the engine, which the traces contain and no screen shows. */
import { Engine, some } from "../src/engine.js";
import { type HeldState, states, type Why, why } from "../src/words.js";

/** In the order of the engine's numbers. */
export const waits = [
  "a screen",
  "the application",
  "the network",
  "a visible screen",
  "the answer",
  "a free request",
  "the first message",
  "quiet",
  "the spread",
  "the pace",
  "the retry",
  "a change",
] as const;

/** The event or time that the next fetch of a read model waits for. */
export type WaitsFor = (typeof waits)[number];

/** Why a read model is in its state, and the event or time that its next fetch waits for. */
export interface Explanation {
  state: HeldState;
  why: Why | null;
  since: number | null;
  need: string | null;
  waitsFor: WaitsFor;
  until: number | null;
}

/** An engine that explains its states. */
export class ExplainingEngine extends Engine {
  /** Why `model` is stale, and the event or time that its next fetch waits for. */
  explain(model: number, now: number): Explanation | null {
    const state = states[this.wasm.explain(model, now)];
    if (!state) {
      return null;
    }
    const [reason, since, waitsFor, until] = this.numbers();
    return {
      state,
      why: reason < 0 ? null : why(reason),
      since: some(since),
      need: this.wasm.take_text() || null,
      waitsFor: waits[waitsFor] ?? "a change",
      until: some(until),
    };
  }
}
