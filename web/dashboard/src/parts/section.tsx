/** A list of tasks with a name and a count. A list that folds shows its first rows. */
import { useCalm } from "../calm";
import type { Read } from "../plain_read";
import { project, to } from "../route";
import type { Task } from "../rows";
import { number } from "../words";
import { Belief } from "./belief";
import { TaskRow } from "./task_row";

/** The number of rows that a folded list shows. */
const FOLDED_ROWS = 5;

const idOf = ({ task_id }: Task) => task_id;

export function Section({
  id,
  name,
  tasks,
  count,
  status,
  read,
  fold,
}: {
  id: string;
  name: string;
  tasks: readonly Task[];
  count?: number;
  status: string;
  read?: Read<unknown>;
  /** Opens the list, which is folded. */
  fold?: (() => void) | undefined;
}) {
  const rows = useCalm(tasks, idOf, project.value);
  const shown = fold ? rows.slice(0, FOLDED_ROWS) : rows;
  const total = Math.max(count ?? tasks.length, tasks.length);
  const more = total - shown.length;
  if (rows.length === 0 && total === 0) return null;
  return (
    <section class={`list-${id}`} aria-labelledby={id}>
      <div class="heading">
        <h2 id={id}>
          {name} <span class="dim">{number(total)}</span>
        </h2>
        {read?.behindSince ? <Belief model="overview" read={read} /> : null}
      </div>
      <ol class="rows">
        {shown.map(({ id: key, row, isLeft }) => (
          <TaskRow key={key} task={row} isLeft={isLeft} showsProject={project.value === null} />
        ))}
      </ol>
      {more <= 0 ? null : fold && rows.length > FOLDED_ROWS ? (
        <button type="button" class="more" onClick={fold}>
          {number(more)} more <kbd>o</kbd>
        </button>
      ) : (
        <a class="more" href={to("/tasks", { status })}>
          {number(more)} more
        </a>
      )}
    </section>
  );
}
