-- The schema of version 1: tables, indexes, views and first rows. The triggers are in `triggers/sqlite`.
--
-- `{now}` stands for the milliseconds since 1970, `{fresh_id}` for a new UUID of version 7 in lower-case hyphenated
-- text, `{is_id:column}` for the condition that a column holds such a text.

-- The change log, and the tables to read it with.

-- One row for each change that a screen may show. AUTOINCREMENT: an id is never given twice, not even after the newest
-- rows were pruned. The floor of the log is its smallest id: from there on the log is complete.
create table changes (
    id integer primary key autoincrement,
    kind text not null,
    project text not null,
    task_id text,
    parent_task_id text,
    -- The session, event or bookmark.
    object_id text,
    -- The final status of a completed task.
    status text,
    -- How many tasks were purged.
    count integer,
    at integer not null default ({now})
) strict;

-- Each start of a server begins a run. The token of the run is the epoch of the cursors that are minted in it. `begins`
-- is the smallest change id that the run can have given. A cursor of an earlier run continues if all its changes are
-- below `begins`.
create table runs (
    id integer primary key autoincrement,
    token text not null unique,
    begins integer not null,
    started_at integer not null default ({now})
) strict;

-- Counts, so that the overview need not scan. Kept up by the triggers:
--   tasks.<status>, source.<source>: tasks.
-- Folded from the log by the server, up to `folded.next`; a reader adds the rest of the log:
--   events: events ever logged on the tasks there are; hour.<hours since 1970>: events logged in that hour.
create table figures (
    project text not null,
    figure text not null,
    value integer not null,
    primary key (project, figure)
) strict, without rowid;

-- The first change that is not in the figures yet.
create table folded (next integer not null) strict;
insert into folded (next) values (1);

-- Deliveries of hooks that were taken, so that the same one sent again is not taken twice.
create table deliveries (
    id text primary key not null,
    at integer not null default ({now})
) strict, without rowid;
create index deliveries_at on deliveries (at);

-- Rows that their own update trigger still changes. Where recursive triggers are on, that change fires the trigger
-- again, and the second run must not log.
create table settling (id text primary key not null) strict, without rowid;

-- Tasks that a purge is about to delete: their deletions are not logged, the purge is logged once for each project.
create table purging (task_id text primary key not null) strict, without rowid;

create table purges (
    id integer primary key,
    project text not null,
    count integer not null,
    at integer not null default ({now})
) strict;

-- Tasks.

create table tasks (
    id text primary key not null default ({fresh_id}) constraint id_is_a_uuid check ({is_id:id}),
    title text not null constraint title_is_1_to_500_characters check (length(title) between 1 and 500),
    project text not null default ''
        constraint project_is_at_most_128_characters check (length(project) <= 128)
        constraint project_has_no_control_characters
            check (project not glob '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
    status text not null default 'running'
        constraint status_is_known check (status in ('running', 'waiting', 'completed', 'errored')),
    mode text not null default 'primary' constraint mode_is_known check (mode in ('primary', 'background')),
    parent_task_id text references tasks (id) on delete cascade,
    parent_session_id text,
    workspace text,
    source text not null default 'sql',
    -- The id of the work in its runtime. A source has one task for each such id.
    external_id text,
    -- Why the task has its status: why it waits, or why it errored.
    status_reason text,
    -- When the status last changed. Kept by the trigger unless a writer sets it together with the status.
    status_since integer not null default ({now}),
    summary text,
    -- The state of the agent that the server computes from its hooks, as JSON. No screen shows it, so the triggers log
    -- no change of it.
    ingest_state text,
    -- How many events were ever logged; the triggers count.
    event_count integer not null default 0,
    -- When the row changed, or when its newest event happened; kept by the triggers.
    changed_at integer not null default ({now}),
    created_at integer not null default ({now}),
    -- The time of the last hook of the agent, and the process of the agent if a hook named it. The server sets both
    -- columns for tasks that hooks report. No screen shows them, so the triggers log no change of them.
    heard_at integer,
    process text,
    -- The stale flag: since when the agent has been silent or gone, and which of the two.
    stale_since integer,
    stale_reason text constraint stale_reason_is_known check (stale_reason in ('silent', 'gone'))
) strict;
create index tasks_parent on tasks (parent_task_id, created_at) where parent_task_id is not null;
create index tasks_changed on tasks (changed_at, id);
create index tasks_project_changed on tasks (project, changed_at, id);
create index tasks_status_since on tasks (status, status_since);
create unique index tasks_external on tasks (source, external_id) where external_id is not null;
create index tasks_stale on tasks (stale_since) where stale_since is not null;
create index tasks_heard on tasks (source, heard_at) where heard_at is not null;

-- One row for each pair of a task and a task below it, at any depth. The triggers delete a tree with it, because
-- foreign keys can be off.
create view task_tree (root, id) as
    with recursive tree (root, id) as (
        select parent_task_id, id from tasks where parent_task_id is not null
        union
        select tree.root, tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select root, id from tree;

-- A note of the row that INSERT OR REPLACE is about to remove, because that removal fires no delete trigger. If the
-- insert is then ignored or becomes an update, its note stays until the next insert overwrites it or a deletion clears
-- it. So after an insert, a note names the replaced row if that row is gone or has the id of the new row.
create table replaced (
    task_id text primary key not null,
    project text not null,
    parent_task_id text,
    status text not null,
    source text not null,
    external_id text,
    event_count integer not null
) strict, without rowid;
create index replaced_external on replaced (source, external_id) where external_id is not null;

-- Sessions: the runs of agents on tasks.

create table sessions (
    id text primary key not null default ({fresh_id}) constraint id_is_a_uuid check ({is_id:id}),
    task_id text not null references tasks (id) on delete cascade,
    source text not null default 'sql',
    runtime_session_id text,
    status text not null default 'running'
        constraint status_is_known check (status in ('running', 'completed', 'errored', 'lost')),
    summary text,
    started_at integer not null default ({now}),
    ended_at integer
) strict;
create index sessions_task on sessions (task_id, started_at);

-- Events: the entries of timelines.

create table events (
    -- The place in the timeline. AUTOINCREMENT: a place is never taken twice.
    position integer primary key autoincrement,
    id text not null unique default ({fresh_id}) constraint id_is_a_uuid check ({is_id:id}),
    task_id text not null references tasks (id) on delete cascade,
    session_id text,
    kind text not null constraint kind_is_1_to_64_lower_case_letters_digits_dots_and_underscores
        check (length(kind) between 1 and 64 and kind not glob '*[^a-z0-9._]*'),
    family text constraint family_is_known
        check (family in ('terminal', 'file', 'explore', 'agent', 'mcp', 'todo', 'question')),
    -- Left out, it follows from kind and family.
    lane text constraint lane_is_known check (lane in ('user', 'assistant', 'exploration', 'implementation', 'terminal',
        'planning', 'questions', 'todos', 'git', 'background', 'coordination', 'system')),
    state text constraint state_is_known check (state in ('running', 'ok', 'failed', 'denied', 'abandoned')),
    title text not null default '' constraint title_is_at_most_500_characters check (length(title) <= 500),
    body text constraint body_is_at_most_64_kib check (length(cast(body as blob)) <= 65536),
    metadata text constraint metadata_is_a_json_object check (json_type(metadata) = 'object'),
    truncated integer,
    -- The id of the tool call, the subagent or the todo in its runtime. A task has one event for each such id.
    external_id text,
    created_at integer not null default ({now}),
    updated_at integer not null default ({now})
) strict;
create index events_task on events (task_id, position);
create unique index events_external on events (task_id, external_id) where external_id is not null;

-- Bookmarks: marked tasks and events.

create table bookmarks (
    id text primary key not null default ({fresh_id}) constraint id_is_a_uuid check ({is_id:id}),
    task_id text not null references tasks (id) on delete cascade,
    -- None: the task itself is marked.
    event_id text references events (id) on delete cascade,
    title text not null default '' constraint title_is_at_most_500_characters check (length(title) <= 500),
    note text constraint note_is_at_most_64_kib check (length(cast(note as blob)) <= 65536),
    created_at integer not null default ({now}),
    updated_at integer not null default ({now})
) strict;
create unique index bookmarks_task on bookmarks (task_id) where event_id is null;
create unique index bookmarks_event on bookmarks (event_id) where event_id is not null;
create index bookmarks_of_task on bookmarks (task_id, updated_at, id);
create index bookmarks_updated on bookmarks (updated_at, id);

-- Search.

-- The server fills these tables from the change log, and no trigger does: a writer does not wait for the index, cannot
-- fail because of it, and need not know how to tokenize. All of it can be made again from the other tables.

-- The words of tasks, events and bookmarks. The server folds them, and FTS5 only splits them at spaces. The index holds
-- no text, so no text is stored twice, and a result shows the row itself. `scope` has the project and the task as one
-- word each, so that a search in a rare project does not look at words that are common everywhere.
create virtual table search_index using fts5 (
    title, text, scope, content = '', contentless_delete = 1, tokenize = 'ascii'
);
-- The server merges the index in small steps. The automatic merge of FTS5 would sometimes hold the write lock for
-- hundreds of milliseconds.
insert into search_index (search_index, rank) values ('automerge', 0);
insert into search_index (search_index, rank) values ('crisismerge', 1000);
-- Sixteen segments are merged at once, not four: each page is written again half as often. So merging keeps up while an
-- index is built, and a query need not look into hundreds of segments.
insert into search_index (search_index, rank) values ('usermerge', 16);

-- The words of the index, in order. For `th*` the server looks up the words that begin with `th` here, and searches the
-- index for these words. FTS5 itself would first collect all places of all these words, even for a few results. A
-- prefix index would make the search index two and a half times as large, and slower to write.
create virtual table search_words using fts5vocab (search_index, instance);

-- The tasks that have documents. `project` is the project under which the documents of the task are indexed.
create table search_tasks (
    number integer primary key,
    task_id text not null unique,
    project text not null
) strict;

-- The documents. `id` is the `rowid` in the index, and a higher id is newer. The document of an event has its position,
-- the document of a bookmark has its id, and the document of the task itself has neither.
create table search_documents (
    id integer primary key,
    task integer not null,
    position integer,
    bookmark_id text,
    -- The fingerprint of the indexed words. A row with the same fingerprint is not indexed again.
    fingerprint integer not null
) strict;
create unique index search_documents_task on search_documents (task, position, bookmark_id);
create unique index search_documents_bookmark on search_documents (bookmark_id) where bookmark_id is not null;

create table searched (
    -- The first change that is not in the index yet. 0: the index was never built.
    next integer not null,
    -- The id that the next new document gets.
    document integer not null,
    -- While all rows are walked, to build or mend the index: the table, the row behind which the walk goes on, and the
    -- id that the next document gets, downwards.
    stage text check (stage in ('tasks', 'bookmarks', 'events', 'gone')),
    stage_at text,
    stage_document integer
) strict;
insert into searched (next, document) values (0, 1);
-- Usage: the cost of the answers of models, in tokens and, where the runtime reports it, in money.

-- One row for each answer of a model. Counters are in `figures`, kept by the triggers with the row:
--   usage.answers, usage.answers_with_cost, usage.cost_usd_micros, usage.<input|output|cache_read|cache_write>_tokens.
create table usage (
    task_id text not null references tasks (id) on delete cascade,
    -- The id that the maker of the model gives the answer.
    answer_id text not null constraint answer_id_is_1_to_256_characters check (length(answer_id) between 1 and 256),
    model text constraint model_is_at_most_128_characters check (length(model) <= 128),
    -- The bound keeps the sums of these columns whole numbers.
    input_tokens integer not null default 0
        constraint input_tokens_are_0_to_a_trillion check (input_tokens between 0 and 1000000000000),
    output_tokens integer not null default 0
        constraint output_tokens_are_0_to_a_trillion check (output_tokens between 0 and 1000000000000),
    cache_read_tokens integer not null default 0
        constraint cache_read_tokens_are_0_to_a_trillion check (cache_read_tokens between 0 and 1000000000000),
    cache_write_tokens integer not null default 0
        constraint cache_write_tokens_are_0_to_a_trillion check (cache_write_tokens between 0 and 1000000000000),
    -- In millionths of a dollar, where the runtime reports it. Never computed from a list of prices.
    cost_usd_micros integer
        constraint cost_usd_micros_are_0_to_a_trillion check (cost_usd_micros between 0 and 1000000000000),
    at integer not null default ({now}),
    -- The project of the task, kept by the triggers: they find the counters with it even after the task was deleted.
    project text,
    primary key (task_id, answer_id)
) strict, without rowid;
create index usage_answer on usage (answer_id);

-- A note of the row that INSERT OR REPLACE is about to remove, as `replaced` is for tasks: if the insert is ignored or
-- becomes an update, the next insert overwrites the note, and a deletion clears it.
create table usage_replaced (
    task_id text not null,
    answer_id text not null,
    input_tokens integer not null,
    output_tokens integer not null,
    cache_read_tokens integer not null,
    cache_write_tokens integer not null,
    cost_usd_micros integer,
    project text,
    primary key (task_id, answer_id)
) strict, without rowid;
