/** The parts of a task, its sessions and its usage: one line, which opens. */
import type { RefObject } from "preact";
import { Age } from "../parts/age";
import { UsageFigures } from "../parts/figures";
import { Mark } from "../parts/mark";
import { to } from "../route";
import type { ChildTask, Session, TaskDetail } from "../rows";
import { cost, count, number, shapeOf, short } from "../words";

export function TaskParts({ detail, element }: { detail: TaskDetail; element: RefObject<HTMLDetailsElement | null> }) {
  const { task, sessions, children, figures, usage, models } = detail;
  return (
    <details class="more-of-task" ref={element}>
      <summary>
        {count(figures.events, "event")} · {count(figures.sessions, "session")}
        {figures.children > 0 ? ` · ${count(figures.children, "part")}` : ""}
        {usage.answers > 0 ? ` · ${short(usage.input_tokens + usage.output_tokens)} tokens · ${cost(usage)}` : ""}
      </summary>
      <div class="task-parts">
        {task.workspace ? (
          <p class="dim" dir="auto">
            {task.workspace}
          </p>
        ) : null}
        {children.length === 0 ? null : <Children of={task.task_id} rows={children} whole={figures.children} />}
        {sessions.length === 0 ? null : <Sessions rows={sessions} />}
        {models.length === 0 ? null : (
          <section>
            <h2>Usage by model</h2>
            {models.map(({ model, usage: of }) => (
              <div key={model ?? ""}>
                <b dir="auto">{model ?? "unknown model"}</b>
                <UsageFigures usage={of} />
              </div>
            ))}
          </section>
        )}
      </div>
    </details>
  );
}

function Children({ rows, whole, of }: { rows: readonly ChildTask[]; whole: number; of: string }) {
  return (
    <section>
      <h2>Parts</h2>
      <ol class="rows">
        {rows.map((child) => (
          <li class="row" key={child.task_id}>
            <a class="row-link" href={to(`/tasks/${child.task_id}`)} data-row={child.task_id} data-title={child.title}>
              <Mark shape={shapeOf(child)} />
              <span class="row-name" dir="auto">
                {child.title}
              </span>
              <Age time={child.created_at} />
            </a>
          </li>
        ))}
      </ol>
      {whole > rows.length ? (
        <a class="more" href={to("/tasks", { parent: of })}>
          All {number(whole)} parts
        </a>
      ) : null}
    </section>
  );
}

function Sessions({ rows }: { rows: readonly Session[] }) {
  return (
    <section>
      <h2>Sessions</h2>
      <ul class="pairs">
        {rows.map((one) => (
          <li key={one.session_id}>
            <span dir="auto">
              {one.source}
              {one.model ? ` · ${one.model}` : ""}
              {one.host ? ` · ${one.host}` : ""}
            </span>
            <span>{one.status}</span>
            <Age time={one.started_at} />
          </li>
        ))}
      </ul>
    </section>
  );
}
