//! Events: the entries of timelines.

crate::migration!(
    "m0004_events",
    "
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
    -- What the runtime calls it: a tool call, a subagent, a todo. One row for each within a task.
    external_id text,
    created_at integer not null default ({now}),
    updated_at integer not null default ({now})
) strict;
create index events_task on events (task_id, position);
create unique index events_external on events (task_id, external_id) where external_id is not null;

create trigger events_fit before insert on events
when exists (select 1 from events where (id = new.id or position = new.position)
    and (id <> new.id or task_id <> new.task_id)) begin
    select raise(abort, 'an event keeps its id, its task and its position');
end;

create trigger events_logged after insert on events begin
    insert into changes (kind, project, task_id, object_id)
        select 'event.logged', project, id, new.id from tasks where id = new.task_id;
    -- One of the two: the indexes on changed_at are left alone by all but the first event of a millisecond, and the row
    -- is written once.
    update tasks set event_count = event_count + 1 where id = new.task_id and changed_at >= new.created_at;
    update tasks set event_count = event_count + 1, changed_at = new.created_at
        where id = new.task_id and changed_at < new.created_at;
    -- The figures follow from the log, a while later: doing it here would cost every writer more than the event does.
end;

-- The one that REPLACE removed for its external id is gone without its trigger.
create trigger events_replaced after insert on events when new.external_id is not null begin
    delete from bookmarks where task_id = new.task_id and event_id is not null
        and not exists (select 1 from events where id = bookmarks.event_id);
end;

create trigger events_stay before update of id, task_id, position on events
when new.id is not old.id or new.task_id is not old.task_id or new.position is not old.position begin
    select raise(abort, 'an event keeps its id, its task and its position');
end;

create trigger events_updated after update of
    session_id, kind, family, lane, state, title, body, metadata, truncated, external_id, created_at on events
when new.session_id is not old.session_id or new.kind is not old.kind or new.family is not old.family
    or new.lane is not old.lane or new.state is not old.state or new.title is not old.title
    or new.body is not old.body or new.metadata is not old.metadata or new.truncated is not old.truncated
    or new.external_id is not old.external_id or new.created_at is not old.created_at begin
    insert into changes (kind, project, task_id, object_id)
        select 'event.updated', project, id, new.id from tasks where id = new.task_id;
    update events set updated_at = {now} where position = new.position;
end;

create trigger events_deleted after delete on events begin
    delete from bookmarks where event_id = old.id;
    insert into changes (kind, project, task_id, object_id)
        select 'event.updated', project, id, old.id from tasks where id = old.task_id;
end;
"
);
