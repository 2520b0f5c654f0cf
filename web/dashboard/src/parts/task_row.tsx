/** A task in a list: a name, one sentence, an age. */
import { deletingWords } from "../actions";
import { useFlash } from "../calm";
import { to } from "../route";
import type { Task } from "../rows";
import { progressWords, projectName, SHAPE_WORDS, sentenceOf, shapeOf, wordOf } from "../words";
import { Age, Asked, Span } from "./age";
import { Mark } from "./mark";

export function TaskRow({ task, isLeft, showsProject }: { task: Task; isLeft: boolean; showsProject: boolean }) {
  const shape = shapeOf(task);
  const sentence = sentenceOf(task);
  const reason = task.status_reason ?? null;
  const flash = useFlash<HTMLSpanElement>(`${task.status} ${sentence}`);
  const going = deletingWords(task.task_id);
  return (
    <li class={`row${task.waiting_since ? " is-waiting" : ""}${isLeft ? " is-left" : ""}${going ? " is-going" : ""}`}>
      <a class="row-link" href={to(`/tasks/${task.task_id}`)} data-row={task.task_id} data-title={task.title}>
        <Mark shape={shape} />
        {task.parent_task_id ? <span class="row-part">part</span> : null}
        <span class="row-name" dir="auto">
          {task.title}
        </span>
        <span class="row-sentence" dir="auto" ref={flash}>
          {going ?? (isLeft ? "is no longer in this list" : sentence)}
        </span>
        {task.progress ? (
          <span class="row-progress">
            <span aria-hidden="true">
              {task.progress.done}/{task.progress.total}
            </span>
            <span class="unseen">{progressWords(task.progress)}</span>
          </span>
        ) : null}
        {showsProject ? <span class="row-project">{projectName(task.project)}</span> : null}
        <span class={`row-wait${shape === "asked" ? " is-asked" : ""}`}>
          {task.waiting_since && shape === "asked" ? (
            <Asked time={task.waiting_since} request={reason ?? ""} />
          ) : task.waiting_since && shape !== "doubt" ? (
            <Span since={task.waiting_since} state={wordOf(shape, reason)} />
          ) : (
            // A screen reader has the word from the mark.
            <span class="row-word" aria-hidden="true">
              {SHAPE_WORDS[shape]}
            </span>
          )}
        </span>
        <Age time={task.changed_at} saysAgo />
      </a>
    </li>
  );
}
