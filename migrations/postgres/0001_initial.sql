-- The schema of version 1: tables, indexes, views and first rows. The triggers are in `triggers/postgres`.
-- Each text compares by its bytes, as in SQLite.

-- The change log, and the tables to read it with.

-- One row for each change that a screen may show. A reader reads the part between two snapshots: the transactions that
-- the second one sees and the first one does not see. Ids give the order within a transaction and no other order.
create table changes (
    id bigint not null generated always as identity (cache 32),
    xid xid8 not null default pg_current_xact_id(),
    kind text collate "C" not null,
    project text collate "C" not null,
    task_id text collate "C",
    parent_task_id text collate "C",
    -- The session, event or bookmark.
    object_id text collate "C",
    -- The final status of a completed task.
    status text collate "C",
    -- How many tasks were purged.
    count bigint,
    at bigint not null default now_ms(),
    -- When the logged event happened. No other kind of change has it.
    happened_at bigint,
    -- Of an event: its kind, family and lane, as `tool/terminal/`. After a space the same from before the change, if that
    -- differs.
    event_class text collate "C",
    -- Of a task: 1 if the change is one of its status, otherwise 0.
    status_changed bigint,
    primary key (xid, id)
);
create index changes_events_of_task on changes (task_id, xid) where kind = 'event.logged';

-- The token is the epoch of the cursors. The table is not logged: after a crash, a restore or a promotion it is empty, and
-- the server gives it a new token, because transactions may be lost that a cursor has seen.
create unlogged table epoch (
    one boolean primary key default true constraint there_is_one_row check (one),
    token text collate "C" not null
);
insert into epoch (token) values (fresh_id());

-- The log continues the cursors that have seen all that `floor` has seen: older changes were deleted. `floor_notes` has
-- the snapshots that become the floor later.
create table floor (snapshot text collate "C" not null);
insert into floor (snapshot) values ('1:1:');
create table floor_notes (
    at bigint not null default now_ms(),
    snapshot text collate "C" not null
);
create index floor_notes_at on floor_notes (at);

-- Counts, so that the overview need not scan. A reader adds the deltas and the rest of the log:
--   tasks.<status>, source.<source>: tasks.
--   usage.answers, usage.answers_with_cost, usage.cost_usd_micros, usage.<input|output|cache_read|cache_write>_tokens.
--   events: events ever logged on the tasks there are, folded from the log up to `folded.next`.
create table figures (
    project text collate "C" not null,
    figure text collate "C" not null,
    value bigint not null,
    primary key (project, figure)
);
-- The server deletes figures that fell to zero: of a project or a source without tasks.
create index figures_zero on figures (project) where value = 0;

-- The changes of figures. The triggers insert them; the server adds them to `figures` and deletes them in one transaction.
-- So a reader adds all that it sees.
create table figure_deltas (
    id bigint generated always as identity (cache 32) primary key,
    project text collate "C" not null,
    -- The figures `tasks.<status>` and `source.<source>` change by `tasks`.
    status text collate "C",
    source text collate "C",
    tasks bigint,
    events bigint,
    -- The figures `usage.<column>` change by these columns.
    answers bigint,
    answers_with_cost bigint,
    cost_usd_micros bigint,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint
);

-- The events of each hour, folded from the log up to `folded.next`; a reader adds the rest of the log. `hour` counts
-- from 1970. A project keeps the 24 hours up to its newest one: no reader shows an earlier hour.
create table activity (
    project text collate "C" not null,
    hour bigint not null,
    events bigint not null,
    primary key (project, hour)
);

-- The snapshot up to which the log is in `figures`, `activity` and the rows of the tasks.
create table folded (next text collate "C" not null);
insert into folded (next) values ('1:1:');

-- The transaction that may change `event_count` and `changed_at` of tasks: the fold inserts its row first and deletes it
-- last. The changes of any other transaction are taken back.
create table folding (xid xid8 primary key default pg_current_xact_id());

-- Events up to `folded.next` that are not in the rows of their tasks: other transactions had locked these rows. A negative
-- number stands for the events of a deleted task that are in other rows of this table or are not folded yet.
create table counts_pending (
    task_id text collate "C" not null,
    events bigint not null,
    changed_at bigint not null
);
create index counts_pending_task on counts_pending (task_id);

-- Deliveries of hooks that were taken, so that the same one sent again is not taken twice.
create table deliveries (
    id text collate "C" primary key,
    at bigint not null default now_ms()
);
create index deliveries_at on deliveries (at);

-- Tasks that a purge is about to delete: their deletions are not logged, the purge is logged once for each project.
create table purging (task_id text collate "C" primary key);

create table purges (
    id bigint generated by default as identity primary key,
    project text collate "C" not null,
    count bigint not null,
    at bigint not null default now_ms()
);

-- Deleted tasks whose rows are deleted later. None on this engine: foreign keys and a trigger delete them at once.
create table leaving (task_id text collate "C" primary key);

-- The work that one server does for all. The clock is that of the database.
create table leases (
    name text collate "C" primary key,
    holder text collate "C",
    until timestamptz
);

-- Settings of the database. `notify` = 'on': each transaction that logs a change sends a NOTIFY on `requery_<schema>`.
create table settings (
    name text collate "C" primary key,
    value text collate "C" not null
);

-- Tasks.

create table tasks (
    id text collate "C" primary key default fresh_id() constraint id_is_a_uuid check (is_uuid(id)),
    title text collate "C" not null
        constraint title_is_1_to_500_characters check (length(title) between 1 and 500),
    project text collate "C" not null default ''
        constraint project_is_at_most_128_characters check (length(project) <= 128)
        constraint project_has_no_control_characters check (project !~ '[\u0001-\u001f\u007f-\u009f]'),
    status text collate "C" not null default 'running'
        constraint status_is_known check (status in ('running', 'waiting', 'completed', 'errored')),
    mode text collate "C" not null default 'primary'
        constraint mode_is_known check (mode in ('primary', 'background')),
    -- Not a foreign key: the triggers delete the tree in one statement, at any depth.
    parent_task_id text collate "C",
    parent_session_id text collate "C",
    workspace text collate "C",
    source text collate "C" not null default 'sql',
    -- The id of the work in its runtime. A source has one task for each such id in a project.
    external_id text collate "C",
    -- Why the task has its status: why it waits, or why it errored.
    status_reason text collate "C",
    -- When the status last changed. Kept by the trigger unless a writer sets it together with the status.
    status_since bigint not null default now_ms()
        constraint status_since_is_in_the_years_1970_to_9999 check (is_time(status_since)),
    summary text collate "C",
    -- The state of the agent that the server computes from its hooks, as JSON. No screen shows it, so the triggers log
    -- no change of it.
    ingest_state text collate "C",
    -- How many events were ever logged, and when the row changed or its newest event happened. Both contain the events
    -- up to `folded.next`; `task_counts` adds the rest.
    event_count bigint not null default 0,
    changed_at bigint not null default now_ms()
        constraint changed_at_is_in_the_years_1970_to_9999 check (is_time(changed_at)),
    created_at bigint not null default now_ms()
        constraint created_at_is_in_the_years_1970_to_9999 check (is_time(created_at)),
    -- The time of the last hook of the agent, and the process of the agent if a hook named it. The server sets both
    -- columns for tasks that hooks report. No screen shows them, so the triggers log no change of them.
    heard_at bigint
        constraint heard_at_is_in_the_years_1970_to_9999 check (is_time(heard_at)),
    process text collate "C",
    -- The stale flag: since when the agent has been silent or gone, and which of the two.
    stale_since bigint
        constraint stale_since_is_in_the_years_1970_to_9999 check (is_time(stale_since)),
    stale_reason text collate "C"
        constraint stale_reason_is_known check (stale_reason in ('silent', 'gone')),
    -- The question that a task waits with, the command that it asks for, or the text of its error. A change of the status
    -- or of its reason removes the detail, unless the same statement gives one.
    status_detail text collate "C"
        constraint status_detail_is_at_most_500_characters
        check (length(status_detail) <= 500 and octet_length(status_detail) <= 2000),
    -- A JSON array of objects with the texts `id`, `title` and `state`. A text of another form counts as an empty list.
    todos text collate "C"
        constraint todos_are_at_most_64_kib check (octet_length(todos) <= 65536),
    model text collate "C"
        constraint model_is_at_most_256_bytes check (octet_length(model) <= 256),
    branch text collate "C"
        constraint branch_is_at_most_512_bytes check (octet_length(branch) <= 512),
    last_commit text collate "C"
        constraint last_commit_is_at_most_64_bytes check (octet_length(last_commit) <= 64),
    pull_request text collate "C"
        constraint pull_request_is_at_most_1000_bytes check (octet_length(pull_request) <= 1000),
    -- Whether the status is known to be true: 0 for a permission that may be given already, because an approval runs no
    -- hook.
    status_certain bigint not null default 1
        constraint status_certain_is_0_or_1 check (status_certain in (0, 1)),
    -- The place of the task in the lists: its `changed_at`, kept by the trigger.
    listed_at bigint,
    -- Which of the columns that a change of the status clears the statement names: one trigger of the row tells the next
    -- one. Always 0 in a stored row.
    given bigint not null default 0
);
create index tasks_parent on tasks (parent_task_id, created_at) where parent_task_id is not null;
create index tasks_status_since on tasks (status, status_since);
-- The source and the id come first: hooks look for a task by these two.
create unique index tasks_external on tasks (source, external_id, project) where external_id is not null;
create index tasks_stale on tasks (stale_since) where stale_since is not null;
create index tasks_heard on tasks (source, heard_at) where heard_at is not null;
create index tasks_process on tasks (process) where process is not null;
create index tasks_listed on tasks (listed_at, id);
create index tasks_project_listed on tasks (project, listed_at, id);
create index tasks_status_listed on tasks (status, listed_at, id);
create index tasks_project_status_listed on tasks (project, status, listed_at, id);

-- Sessions: the runs of agents on tasks.

create table sessions (
    id text collate "C" primary key default fresh_id() constraint id_is_a_uuid check (is_uuid(id)),
    task_id text collate "C" not null references tasks (id) on delete cascade,
    source text collate "C" not null default 'sql',
    runtime_session_id text collate "C",
    status text collate "C" not null default 'running'
        constraint status_is_known check (status in ('running', 'completed', 'errored', 'lost')),
    summary text collate "C",
    started_at bigint not null default now_ms()
        constraint started_at_is_in_the_years_1970_to_9999 check (is_time(started_at)),
    ended_at bigint
        constraint ended_at_is_in_the_years_1970_to_9999 check (is_time(ended_at)),
    model text collate "C"
        constraint model_is_at_most_256_bytes check (octet_length(model) <= 256),
    host text collate "C"
        constraint host_is_at_most_256_bytes check (octet_length(host) <= 256)
);
create index sessions_task on sessions (task_id, started_at);
create index sessions_running on sessions (source, host) where status = 'running';

-- Events: the entries of timelines.

-- The table has no conditions and no foreign key to its task. The trigger of an insert checks the same, which costs a third
-- of it: a condition of a table is read and compiled again by each statement, a trigger once for a connection. The trigger
-- reads the row of the task anyway, and locks it as a foreign key would. That of a deleted task deletes its events.
create table events (
    -- The place in the timeline. A place is never taken twice.
    position bigint generated by default as identity primary key,
    id text collate "C" not null unique default fresh_id(),
    task_id text collate "C" not null,
    session_id text collate "C",
    kind text collate "C" not null,
    family text collate "C",
    -- Left out, it follows from kind and family.
    lane text collate "C",
    state text collate "C",
    title text collate "C" not null default '',
    body text collate "C",
    metadata text collate "C",
    truncated bigint,
    -- The id of the tool call, the subagent or the todo in its runtime. A task has one event for each such id.
    external_id text collate "C",
    created_at bigint not null default now_ms(),
    updated_at bigint not null default now_ms()
);
create index events_task on events (task_id, position, created_at);
create unique index events_external on events (task_id, external_id) where external_id is not null;
-- The calls that run now, and the files that calls changed.
create index events_running on events (task_id, position) where state = 'running';
create index events_files on events (task_id, position) where family = 'file';

-- Bookmarks: marked tasks and events.

create table bookmarks (
    id text collate "C" primary key default fresh_id() constraint id_is_a_uuid check (is_uuid(id)),
    task_id text collate "C" not null references tasks (id) on delete cascade,
    -- None: the task itself is marked.
    event_id text collate "C" references events (id) on delete cascade,
    title text collate "C" not null default ''
        constraint title_is_at_most_500_characters check (length(title) <= 500),
    note text collate "C"
        constraint note_is_at_most_64_kib check (octet_length(note) <= 65536),
    created_at bigint not null default now_ms()
        constraint created_at_is_in_the_years_1970_to_9999 check (is_time(created_at)),
    updated_at bigint not null default now_ms()
        constraint updated_at_is_in_the_years_1970_to_9999 check (is_time(updated_at)),
    -- The project of the task, kept by the triggers.
    project text collate "C"
);
create unique index bookmarks_task on bookmarks (task_id) where event_id is null;
create unique index bookmarks_event on bookmarks (event_id) where event_id is not null;
create index bookmarks_of_task on bookmarks (task_id, updated_at, id);
create index bookmarks_updated on bookmarks (updated_at, id);
create index bookmarks_project_updated on bookmarks (project, updated_at, id);

-- Usage: the cost of the answers of models, in tokens and, where the runtime reports it, in money.

-- One row for each answer of a model.
create table usage (
    task_id text collate "C" not null references tasks (id) on delete cascade,
    -- The id that the maker of the model gives the answer.
    answer_id text collate "C" not null
        constraint answer_id_is_1_to_256_characters check (length(answer_id) between 1 and 256),
    model text collate "C"
        constraint model_is_at_most_128_characters check (length(model) <= 128),
    -- The bound keeps the sums of these columns whole numbers.
    input_tokens bigint not null default 0
        constraint input_tokens_are_0_to_a_trillion check (input_tokens between 0 and 1000000000000),
    output_tokens bigint not null default 0
        constraint output_tokens_are_0_to_a_trillion check (output_tokens between 0 and 1000000000000),
    cache_read_tokens bigint not null default 0
        constraint cache_read_tokens_are_0_to_a_trillion check (cache_read_tokens between 0 and 1000000000000),
    cache_write_tokens bigint not null default 0
        constraint cache_write_tokens_are_0_to_a_trillion check (cache_write_tokens between 0 and 1000000000000),
    -- In millionths of a dollar, where the runtime reports it. Never computed from a list of prices.
    cost_usd_micros bigint
        constraint cost_usd_micros_are_0_to_a_trillion check (cost_usd_micros between 0 and 1000000000000),
    at bigint not null default now_ms()
        constraint at_is_in_the_years_1970_to_9999 check (is_time(at)),
    -- The project of the task, kept by the triggers: they find the counters with it even after the task was deleted.
    project text collate "C",
    primary key (task_id, answer_id)
);
create index usage_answer on usage (answer_id);

-- The coding agents: one row for each runtime, machine and project. A stream of one project learns of the rows of that
-- project. The project of an agent that was registered and not heard yet is empty.
create table agents (
    source text collate "C" not null
        constraint source_is_1_to_64_characters check (length(source) between 1 and 64),
    -- Empty: the machine is not known.
    host text collate "C" not null default ''
        constraint host_is_at_most_256_bytes check (octet_length(host) <= 256),
    project text collate "C" not null default ''
        constraint project_is_at_most_512_bytes check (octet_length(project) <= 512),
    version text collate "C"
        constraint version_is_at_most_256_bytes check (octet_length(version) <= 256),
    -- How many hooks are installed. Null: not known.
    hooks bigint
        constraint hooks_are_no_negative_number check (hooks >= 0),
    -- The minute of the last hook.
    heard_at bigint
        constraint heard_at_is_in_the_years_1970_to_9999 check (is_time(heard_at)),
    primary key (source, host, project)
);

-- The number of the events ever logged on each task, and the time of its last change: what the row contains, what waits
-- for the row, and the part of the log that is not folded.
create view task_counts (id, event_count, changed_at) as
    select tasks.id,
        tasks.event_count + coalesce(pending.events, 0) + unfolded.events,
        greatest(tasks.changed_at, pending.changed_at, unfolded.changed_at)
    from tasks
    cross join lateral (
        select sum(counts_pending.events)::bigint as events, max(counts_pending.changed_at) as changed_at
        from counts_pending where counts_pending.task_id = tasks.id
    ) pending
    -- Each half of the log is a range of an index. With one condition for both, all events of the task would be read.
    cross join lateral (
        select count(*) as events, max(log.at) as changed_at
        from (
            select least(happened_at, at) as at from changes
            where task_id = tasks.id and kind = 'event.logged'
                and xid >= (select pg_snapshot_xmax(next::pg_snapshot) from folded) and xid < '9223372036854775807'::xid8
            union all
            select least(happened_at, at) from changes
            where task_id = tasks.id and kind = 'event.logged'
                and xid >= (select pg_snapshot_xmin(next::pg_snapshot) from folded)
                and xid < (select pg_snapshot_xmax(next::pg_snapshot) from folded)
                and xid = any (array(select pg_snapshot_xip(next::pg_snapshot) from folded))
        ) log
    ) unfolded;

-- Search.

-- The server fills these tables from the change log, and no trigger does: a writer does not wait for the index, cannot
-- fail because of it, and need not know how to tokenize. All of it can be made again from the other tables.

-- The tasks that have documents. `project` is the project under which the documents of the task are indexed.
create table search_tasks (
    number bigint generated by default as identity primary key,
    task_id text collate "C" not null unique,
    project text collate "C" not null
);

-- The documents. `id` is the id in the index, and a higher id is newer. The document of an event has its position, the
-- document of a bookmark has its id, and the document of the task itself has neither.
create table search_documents (
    id bigint primary key,
    task bigint not null,
    position bigint,
    bookmark_id text collate "C",
    -- The fingerprint of the indexed words. A row with the same fingerprint is not indexed again.
    fingerprint bigint not null
);
create unique index search_documents_task on search_documents (task, position, bookmark_id);
create unique index search_documents_bookmark on search_documents (bookmark_id) where bookmark_id is not null;

-- The words of tasks, events and bookmarks, folded by the server, with their places in the title and the text. The
-- words that begin with a slash are the project (`/p…`), the task (`/t…`) and the sections of the id (`/0:…` to
-- `/4:…`), so that a search in a rare project, and one for the newest documents, need not collect all documents with a
-- frequent word.
create table search_index (
    id bigint primary key,
    words tsvector not null
);
-- A search looks through the whole list of pending words, so that list stays short.
create index search_index_words on search_index using gin (words) with (gin_pending_list_limit = 512);
-- The queries of the server use the index whatever the frequencies are, and to count them costs a lot.
alter table search_index alter column words set statistics 0;

create table searched (
    -- The snapshot up to which the log is in the index. Empty: the index was never built.
    next text collate "C" not null,
    -- The id that the next new document gets.
    document bigint not null,
    -- While all rows are walked, to build or mend the index: the table, the row behind which the walk goes on, and the
    -- id that the next document gets, downwards.
    stage text collate "C"
        constraint stage_is_known check (stage in ('tasks', 'bookmarks', 'events', 'gone')),
    stage_at text collate "C",
    stage_document bigint,
    -- The version of the rules about words by which the index was made.
    words bigint not null default 1,
    -- Grows with each step, so that of two servers one takes the step.
    step bigint not null default 0,
    -- The place in the log of the last change of a transaction that was followed in part, as `<xid>:<id>`. The position
    -- `next` does not contain that transaction.
    partly text collate "C" constraint partly_is_a_place check (partly ~ '^[0-9]+:[0-9]+$')
);
insert into searched (next, document) values ('', 1);
