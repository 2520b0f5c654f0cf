/** The rows that a search found, with their marks. */
import { query } from "../ask";
import { useModel } from "../live";
import { Age } from "../parts/age";
import { Belief } from "../parts/belief";
import { Marked } from "../parts/marked";
import { Failed, Waiting } from "../parts/states";
import { useRead } from "../plain_read";
import { project, to } from "../route";
import type { SearchResults } from "../rows";
import { projectName } from "../words";

const MOST_HITS = 50;

/** A task can have several hits. */
const keyOf = (hit: SearchResults["items"][number]) => `${hit.kind} ${hit.event_id ?? hit.bookmark_id ?? hit.task_id}`;

export function Hits({ q }: { q: string }) {
  const overview = useModel("overview");
  const read = useRead<SearchResults>(
    `/api/v1/search${query({ q, project: project.value, limit: MOST_HITS })}`,
    overview.data,
    ({ complete }) => !complete,
  );
  if (read.data === null) return read.error ? <Failed error={read.error} /> : <Waiting />;
  const { items, complete } = read.data;
  return (
    <>
      <p class="dim" role="status">
        {items.length === 0
          ? "No row has all of these words. th* finds words that begin with th."
          : items.length < MOST_HITS
            ? `${items.length} found`
            : `The best ${MOST_HITS} are shown. Add a word to narrow the search`}
        {complete ? "" : ". The index is behind; there can be more."} <Belief model="overview" read={read} />
      </p>
      <ol class="hits">
        {items.map((hit) => (
          <li key={keyOf(hit)}>
            <a
              href={to(`/tasks/${hit.task_id}`, hit.event_id ? { event: hit.event_id } : {})}
              data-row={keyOf(hit)}
              data-task={hit.task_id}
              data-title={hit.kind === "task" ? hit.title : undefined}
            >
              <span class="hit-kind">{hit.kind}</span>
              <span class="row-name" dir="auto">
                <Marked text={hit.title} marks={hit.title_marks} />
              </span>
              {project.value === null ? <span class="row-project">{projectName(hit.project)}</span> : null}
              <Age time={hit.at} />
              <span class="hit-snippet" dir="auto">
                <Marked text={hit.snippet.text} marks={hit.snippet.marks} />
              </span>
            </a>
          </li>
        ))}
      </ol>
    </>
  );
}
