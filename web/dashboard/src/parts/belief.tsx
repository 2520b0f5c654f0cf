/** How old the shown rows are, while they are not known to be true. Fresh rows have no such words. */
import { useRef } from "preact/hooks";
import { now } from "../clock";
import { ageOf, useModel } from "../live";
import type { Read } from "../plain_read";
import type { ReadModel } from "../store";

/** A fetch under way is no news: the words appear when a person has looked at the doubt for so long. */
const PATIENCE_MS = 1000;

export function Belief({ model, read }: { model: ReadModel; read?: Read<unknown> }) {
  const view = useModel(model);
  const at = now.value;
  const ofModel = view.state === "fresh" ? 0 : (ageOf(model) ?? 0);
  const ofRead = read?.behindSince ? at - read.behindSince : 0;
  const age = Math.max(ofModel, ofRead);
  const begin = useRef<number | null>(null);
  if (age === 0 || view.data === null || view.state === "gone") {
    begin.current = null;
    return null;
  }
  begin.current ??= at;
  if (at - begin.current < PATIENCE_MS || age < PATIENCE_MS) return null;
  return <span class="belief">not confirmed for {Math.floor(age / 1000)} s</span>;
}
