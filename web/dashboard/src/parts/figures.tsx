/** The figures of the overview: counts, activity, sources, projects, usage. */
import type { Activity, Overview, ProjectPage, Usage } from "../rows";
import { useRead } from "../plain_read";
import { cost, number, projectName, short } from "../words";
import { useFlash } from "../calm";
import { project, to } from "../route";
import { Agents } from "./agents";
import { Mark } from "./mark";
import type { Shape } from "../words";

function Count({ status, shape, word, value }: { status: string; shape: Shape; word: string; value: number }) {
  const flash = useFlash<HTMLElement>(value);
  return (
    <a class="count" href={to("/tasks", { status })}>
      <Mark shape={shape} silent />
      <span>{word}</span>
      <b ref={flash}>{number(value)}</b>
    </a>
  );
}

export function Figures({ overview }: { overview: Overview }) {
  const { stats, activity, sources, usage } = overview;
  return (
    <div class="figures">
      <nav class="counts" aria-label="Tasks by status">
        <Count status="waiting" shape="turn" word="waiting" value={stats.waiting_tasks} />
        <Count status="running" shape="running" word="running" value={stats.running_tasks} />
        <Count status="errored" shape="errored" word="failed" value={stats.errored_tasks} />
        <Count status="completed" shape="completed" word="done" value={stats.completed_tasks} />
      </nav>
      <section aria-labelledby="activity">
        <h2 id="activity">Activity, 24 hours</h2>
        <ActivityPath activity={activity} />
        <p class="dim">
          {number(stats.total_events)} events in {number(stats.total_tasks)} tasks
        </p>
      </section>
      <Agents />
      {sources.length === 0 ? null : (
        <section aria-labelledby="sources">
          <h2 id="sources">Sources</h2>
          <dl class="pairs">
            {sources.slice(0, 8).map(({ source, tasks }) => (
              <div key={source}>
                <dt dir="auto">{source}</dt>
                <dd>{number(tasks)}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
      {project.value === null ? <Projects sign={overview} /> : null}
      <section aria-labelledby="usage">
        <h2 id="usage">Tokens and stated cost</h2>
        <UsageFigures usage={usage} />
      </section>
    </div>
  );
}

/** More projects than these are behind the switch of the project. */
const MOST_PROJECTS = 8;

function Projects({ sign }: { sign: Overview }) {
  const { data } = useRead<ProjectPage>(`/api/v1/projects?limit=${MOST_PROJECTS}`, sign);
  if (data === null || data.items.length < 2) return null;
  return (
    <section aria-labelledby="projects">
      <h2 id="projects">Projects</h2>
      <ul class="pairs">
        {data.items.map((one) => (
          <li key={one.project}>
            <a href={to("/", { project: one.project })} dir="auto">
              {projectName(one.project)}
            </a>
            <span>{number(one.total_tasks)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

export function UsageFigures({ usage }: { usage: Usage }) {
  if (usage.answers === 0) return <p class="dim">No transcript reports its usage yet.</p>;
  return (
    <dl class="pairs">
      <div>
        <dt>sent</dt>
        <dd>{short(usage.input_tokens)}</dd>
      </div>
      <div>
        <dt>received</dt>
        <dd>{short(usage.output_tokens)}</dd>
      </div>
      <div>
        <dt>cache read</dt>
        <dd>{short(usage.cache_read_tokens)}</dd>
      </div>
      <div>
        <dt>cache written</dt>
        <dd>{short(usage.cache_write_tokens)}</dd>
      </div>
      <div>
        <dt>stated cost</dt>
        <dd>{cost(usage)}</dd>
      </div>
    </dl>
  );
}

const WIDTH = 240;
const HEIGHT = 44;
const HOUR_MS = 3_600_000;
const HOURS = 24;

/** The events of each hour as one path of bars. Hours without events are missing in the answer and have no bar. */
function ActivityPath({ activity }: { activity: readonly Activity[] }) {
  const newest = activity.at(-1);
  if (newest === undefined) return <p class="dim">No events yet.</p>;
  const most = Math.max(...activity.map(({ events }) => events));
  const end = Date.parse(newest.hour);
  const width = WIDTH / HOURS;
  const path = activity
    .map(({ hour, events }) => {
      const at = HOURS - 1 - (end - Date.parse(hour)) / HOUR_MS;
      const height = Math.max(1, (events / most) * (HEIGHT - 1));
      return `M${(at * width).toFixed(1)} ${HEIGHT}v${(-height).toFixed(1)}h${(width - 1.5).toFixed(1)}V${HEIGHT}Z`;
    })
    .join("");
  return (
    <svg
      class="activity"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Events per hour, at most ${most} in one hour, ${newest.events} in the newest`}
    >
      <path d={`${path}M0 ${HEIGHT - 0.5}h${WIDTH}v.5H0Z`} />
    </svg>
  );
}
