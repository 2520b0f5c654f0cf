//! Tasks.

crate::migration!(
    "m0002_tasks",
    "
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
    -- What the runtime calls the work: one task for each.
    external_id text,
    waiting_reason text,
    -- Since when the status is what it is. Kept by the trigger unless a writer sets it together with the status.
    status_since integer not null default ({now}),
    summary text,
    -- What the ingest of hooks remembers about its agent, as JSON. No screen shows it, so it is not logged.
    ingest_state text,
    -- The three that the triggers keep: events ever logged, own row or newest event, and when the row was made.
    event_count integer not null default 0,
    changed_at integer not null default ({now}),
    created_at integer not null default ({now})
) strict;
create index tasks_parent on tasks (parent_task_id, created_at) where parent_task_id is not null;
create index tasks_changed on tasks (changed_at, id);
create index tasks_project_changed on tasks (project, changed_at, id);
create index tasks_status_since on tasks (status, status_since);
create unique index tasks_external on tasks (source, external_id) where external_id is not null;

-- Who is below whom, for deletions without foreign keys.
create view task_tree (root, id) as
    with recursive tree (root, id) as (
        select parent_task_id, id from tasks where parent_task_id is not null
        union
        select tree.root, tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select root, id from tree;

-- What INSERT OR REPLACE is about to remove: it fires no delete trigger. The note stays where the insert is then
-- ignored or becomes an update; the next one overwrites it, and a deletion clears it, so a note found after an insert
-- of a row that is gone, or has its id, is always of the one that this very insert replaced.
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

create trigger tasks_replacing before insert on tasks
when exists (select 1 from tasks where id = new.id or (source = new.source and external_id = new.external_id)) begin
    delete from replaced where task_id in
        (select id from tasks where id = new.id or (source = new.source and external_id = new.external_id));
    insert into replaced (task_id, project, parent_task_id, status, source, external_id, event_count)
        select id, project, parent_task_id, status, source, external_id, event_count from tasks
        where id = new.id or (source = new.source and external_id = new.external_id);
end;

create trigger tasks_taking before update of source, external_id on tasks
when exists (select 1 from tasks where source = new.source and external_id = new.external_id and id <> new.id) begin
    delete from replaced where task_id in
        (select id from tasks where source = new.source and external_id = new.external_id and id <> new.id);
    insert into replaced (task_id, project, parent_task_id, status, source, external_id, event_count)
        select id, project, parent_task_id, status, source, external_id, event_count from tasks
        where source = new.source and external_id = new.external_id and id <> new.id;
end;

create trigger tasks_started after insert on tasks begin
    insert into changes (kind, project, task_id, parent_task_id)
        values ('task.started', new.project, new.id, new.parent_task_id);
    insert into figures (project, figure, value) select new.project, 'tasks.' || new.status, 0
        where not exists (select 1 from figures where project = new.project and figure = 'tasks.' || new.status);
    update figures set value = value + 1 where project = new.project and figure = 'tasks.' || new.status;
    insert into figures (project, figure, value) select new.project, 'source.' || new.source, 0
        where not exists (select 1 from figures where project = new.project and figure = 'source.' || new.source);
    update figures set value = value + 1 where project = new.project and figure = 'source.' || new.source;
    -- No writer brings its own count. There can be events already: of a row that this one replaced, or that came
    -- before their task where foreign keys are off.
    update tasks set event_count = (select count(*) from events where task_id = new.id)
        where id = new.id and event_count <> (select count(*) from events where task_id = new.id);
    insert into figures (project, figure, value) select new.project, 'events', 0
        where not exists (select 1 from figures where project = new.project and figure = 'events');
    update figures set value = value + (select event_count from tasks where id = new.id)
        where project = new.project and figure = 'events';
end;

create trigger tasks_replaced after insert on tasks
when exists (select 1 from replaced where task_id = new.id) begin
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.deleted', project, task_id, parent_task_id from replaced where task_id = new.id;
    update figures set value = value - 1 where (project, figure) in
        (select project, 'tasks.' || status from replaced where task_id = new.id);
    update figures set value = value - 1 where (project, figure) in
        (select project, 'source.' || source from replaced where task_id = new.id);
    update figures set value = value - (select event_count from replaced where task_id = new.id)
        where figure = 'events' and project = (select project from replaced where task_id = new.id);
    delete from replaced where task_id = new.id;
end;

-- REPLACE by what a runtime calls the task would take another one away, with all it has. Whoever means to write that
-- one says so with ON CONFLICT.
create trigger tasks_replaced_another after insert on tasks
when exists (select 1 from replaced where source = new.source and external_id = new.external_id
    and task_id <> new.id and not exists (select 1 from tasks where id = replaced.task_id)) begin
    select raise(abort, 'another task has this source and external_id');
end;

create trigger tasks_took_another after update of source, external_id on tasks
when exists (select 1 from replaced where source = new.source and external_id = new.external_id
    and task_id <> new.id and not exists (select 1 from tasks where id = replaced.task_id)) begin
    select raise(abort, 'another task has this source and external_id');
end;

create trigger tasks_keep_their_id before update of id on tasks when new.id is not old.id begin
    select raise(abort, 'the id of a task never changes');
end;

-- Not for event_count, changed_at and ingest_state: those are no news of their own.
create trigger tasks_updated after update of
    title, project, status, mode, parent_task_id, parent_session_id, workspace, source, external_id, waiting_reason,
    status_since, summary, created_at on tasks
when (new.title is not old.title or new.project is not old.project or new.status is not old.status
    or new.mode is not old.mode or new.parent_task_id is not old.parent_task_id
    or new.parent_session_id is not old.parent_session_id or new.workspace is not old.workspace
    or new.source is not old.source or new.external_id is not old.external_id
    or new.waiting_reason is not old.waiting_reason or new.status_since is not old.status_since
    or new.summary is not old.summary or new.created_at is not old.created_at)
    and not exists (select 1 from settling where id = new.id) begin
    -- Whoever shows it where it was.
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.updated', old.project, new.id, old.parent_task_id
        where new.project is not old.project or new.parent_task_id is not old.parent_task_id;
    insert into changes (kind, project, task_id, parent_task_id, status)
        select iif(done, 'task.completed', 'task.updated'), new.project, new.id, new.parent_task_id,
            iif(done, new.status, null)
        from (select new.status is not old.status and new.status in ('completed', 'errored') as done);
    -- Its bookmarks are listed by project.
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', side.project, new.id, bookmarks.id
        from bookmarks, (select old.project as project union all select new.project) as side
        where bookmarks.task_id = new.id and new.project is not old.project;
    insert into settling (id) select new.id where new.status is not old.status;
    update tasks set
        changed_at = max({now}, changed_at + 1),
        status_since = iif(new.status is not old.status and new.status_since is old.status_since, {now}, status_since),
        waiting_reason = iif(new.status is not old.status and new.waiting_reason is old.waiting_reason,
            null, waiting_reason)
        where id = new.id;
    delete from settling where id = new.id;
end;

create trigger tasks_counted after update of project, status, source on tasks
when new.project is not old.project or new.status is not old.status or new.source is not old.source begin
    update figures set value = value - 1 where project = old.project and figure = 'tasks.' || old.status;
    insert into figures (project, figure, value) select new.project, 'tasks.' || new.status, 0
        where not exists (select 1 from figures where project = new.project and figure = 'tasks.' || new.status);
    update figures set value = value + 1 where project = new.project and figure = 'tasks.' || new.status;
    update figures set value = value - 1 where project = old.project and figure = 'source.' || old.source;
    insert into figures (project, figure, value) select new.project, 'source.' || new.source, 0
        where not exists (select 1 from figures where project = new.project and figure = 'source.' || new.source);
    update figures set value = value + 1 where project = new.project and figure = 'source.' || new.source;
    update figures set value = value - new.event_count where project = old.project and figure = 'events';
    insert into figures (project, figure, value) select new.project, 'events', 0
        where not exists (select 1 from figures where project = new.project and figure = 'events');
    update figures set value = value + new.event_count where project = new.project and figure = 'events';
end;

create trigger tasks_deleted after delete on tasks begin
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.deleted', old.project, old.id, old.parent_task_id
        where not exists (select 1 from purging where task_id = old.id);
    update figures set value = value - 1 where project = old.project and figure = 'tasks.' || old.status;
    update figures set value = value - 1 where project = old.project and figure = 'source.' || old.source;
    update figures set value = value - old.event_count where project = old.project and figure = 'events';
    delete from replaced where task_id = old.id;
    -- The task is gone, so the triggers of these say nothing.
    delete from bookmarks where task_id = old.id;
    delete from events where task_id = old.id;
    delete from sessions where task_id = old.id;
end;

-- Apart from tasks_deleted, which has to fire for each of these.
create trigger tasks_tree_deleted after delete on tasks
when exists (select 1 from tasks where parent_task_id = old.id) begin
    delete from tasks where id in (select id from task_tree where root = old.id);
end;
"
);
