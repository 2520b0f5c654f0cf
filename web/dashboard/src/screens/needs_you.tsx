/** The entries of "needs you": which agent, why, since when, and the question itself. */
import { deletingWords } from "../actions";
import { useCalm, useFlash } from "../calm";
import { Age, Asked, Span } from "../parts/age";
import { Mark } from "../parts/mark";
import { project, to } from "../route";
import type { NeedsYou } from "../rows";
import { projectName, shapeOfNeed, whyNeeded, wordOf } from "../words";

const idOf = ({ task_id }: NeedsYou) => task_id;

export function NeedsYouList({ entries, running }: { entries: readonly NeedsYou[]; running: number }) {
  const rows = useCalm(entries, idOf, project.value);
  if (rows.length === 0) {
    return (
      <p class="dim">
        {running === 0 ? "No agent is at work." : `${running} at work. The page tells you when one stops.`}
      </p>
    );
  }
  return (
    <ol>
      {rows.map(({ id, row, isLeft }) => (
        <Entry key={id} entry={row} isLeft={isLeft} />
      ))}
    </ol>
  );
}

function Entry({ entry, isLeft }: { entry: NeedsYou; isLeft: boolean }) {
  const reason = entry.reason ?? null;
  const shape = shapeOfNeed(entry);
  const flash = useFlash<HTMLQuoteElement>(`${entry.status} ${reason} ${entry.detail}`);
  const words = deletingWords(entry.task_id) ?? (isLeft ? "no longer needs you" : whyNeeded(entry));
  return (
    <li class={`need is-${shape}${isLeft ? " is-left" : ""}${entry.detail ? " has-detail" : ""}`}>
      <a href={to(`/tasks/${entry.task_id}`)} data-row={entry.task_id} data-title={entry.title}>
        <span class="need-mark">
          <Mark shape={shape} silent />
          <b>{wordOf(shape, reason)}</b>
        </span>
        <span class="need-wait">
          {shape === "doubt" || shape === "errored" ? (
            <Age time={entry.since} label="since" />
          ) : shape === "asked" ? (
            <Asked time={entry.since} request={reason ?? ""} />
          ) : (
            <Span since={entry.since} state="waits" />
          )}
        </span>
        <span class="need-title" dir="auto">
          {entry.title}
        </span>
        <span class="need-why">
          <span class="need-who" dir="auto">
            {entry.source ?? "The agent"}
          </span>
          <span class="need-words">{words}</span>
          <span class="need-project" dir="auto">
            {projectName(entry.project)}
          </span>
        </span>
        {entry.detail ? (
          <q class="need-detail" dir="auto" ref={flash}>
            {entry.detail}
          </q>
        ) : null}
      </a>
    </li>
  );
}
