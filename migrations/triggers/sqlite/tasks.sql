-- The triggers of `tasks`: each change is logged, and each change of a figure is inserted. Deletions do the work of the
-- foreign keys too, which are off in the `sqlite3` program.

-- REPLACE puts the default of a column in the place of NULL after these two triggers ran.

create trigger tasks_replacing before insert on tasks
when exists (select 1 from tasks where id = new.id or (source = coalesce(new.source, 'sql')
    and external_id = new.external_id and project = coalesce(new.project, ''))) begin
    delete from replaced where task_id in (select id from tasks where id = new.id
        or (source = coalesce(new.source, 'sql') and external_id = new.external_id
            and project = coalesce(new.project, '')));
    insert into replaced (task_id, project, parent_task_id, status, source, external_id, event_count)
        select id, project, parent_task_id, status, source, external_id,
            (select event_count from task_counts where id = tasks.id) from tasks
        where id = new.id or (source = coalesce(new.source, 'sql') and external_id = new.external_id
            and project = coalesce(new.project, ''));
end;

create trigger tasks_taking before update of source, external_id, project on tasks
when exists (select 1 from tasks where source = coalesce(new.source, 'sql') and external_id = new.external_id
    and project = coalesce(new.project, '') and id <> new.id) begin
    delete from replaced where task_id in (select id from tasks where source = coalesce(new.source, 'sql')
        and external_id = new.external_id and project = coalesce(new.project, '') and id <> new.id);
    insert into replaced (task_id, project, parent_task_id, status, source, external_id, event_count)
        select id, project, parent_task_id, status, source, external_id,
            (select event_count from task_counts where id = tasks.id) from tasks
        where source = coalesce(new.source, 'sql') and external_id = new.external_id
            and project = coalesce(new.project, '') and id <> new.id;
end;

create trigger tasks_started after insert on tasks begin
    insert into changes (kind, project, task_id, parent_task_id) values ('task.started',
        iif(new.parent_task_id is null, new.project, (select project from tasks where id = new.id)),
        new.id, new.parent_task_id);
    insert into figure_deltas (project, status, source, tasks, events)
        values (iif(new.parent_task_id is null, new.project, (select project from tasks where id = new.id)),
            new.status, new.source, 1, (select count(*) from events where task_id = new.id));
end;

-- A count that the writer brings is ignored. There can be events already: of a row that this task replaced.
create trigger tasks_count_their_events after insert on tasks
when new.event_count <> 0 or new.counted_to <> 0 or exists (select 1 from events where task_id = new.id) begin
    insert into settling (id) values (new.id);
    update tasks set event_count = (select count(*) from events where task_id = new.id),
        counted_to = coalesce((select max(position) from events where task_id = new.id), 0)
        where id = new.id;
    delete from settling where id = new.id;
end;

-- A statement that sets `counted_to`, also to its own value, counts the events of the task into its row. The row then
-- says exactly what `task_counts` said before.
create trigger tasks_are_counted after update of counted_to on tasks
when not exists (select 1 from settling where id = new.id) begin
    insert into settling (id) values (new.id);
    update tasks set
        event_count = event_count + (select count(*) from events where task_id = new.id and position > counted_to),
        changed_at = max(changed_at, coalesce(
            (select max(created_at) from events where task_id = new.id and position > counted_to), 0)),
        counted_to = max(counted_to, coalesce((select max(position) from events where task_id = new.id), 0))
        where id = new.id;
    delete from settling where id = new.id;
end;

create trigger tasks_replaced after insert on tasks
when exists (select 1 from replaced where task_id = new.id) begin
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.deleted', project, task_id, parent_task_id from replaced where task_id = new.id;
    insert into figure_deltas (project, status, source, tasks, events)
        select project, status, source, -1, -event_count from replaced where task_id = new.id;
    delete from replaced where task_id = new.id;
end;

-- REPLACE for the same project, source and external_id would delete another task with all its rows. A writer that means
-- to change that task uses ON CONFLICT.
create trigger tasks_replaced_another after insert on tasks
when exists (select 1 from replaced where source = new.source and external_id = new.external_id
    and project = new.project and task_id <> new.id
    and not exists (select 1 from tasks where id = replaced.task_id)) begin
    select raise(abort, 'another task of this project has this source and external_id');
end;

create trigger tasks_took_another after update of source, external_id, project on tasks
when exists (select 1 from replaced where source = new.source and external_id = new.external_id
    and project = new.project and task_id <> new.id
    and not exists (select 1 from tasks where id = replaced.task_id)) begin
    select raise(abort, 'another task of this project has this source and external_id');
end;

create trigger tasks_keep_their_id before update of id, rowid, _rowid_, oid on tasks
when new.id is not old.id or new.rowid is not old.rowid begin
    select raise(abort, 'a task keeps its id and its rowid');
end;

-- Not for event_count, changed_at and process: no screen shows a change of these alone. An errored task that has a memory
-- of an agent and was never heard is imported history, which needs no person, so ingest_state and heard_at count where
-- they move it. A change of the status clears the stale flag.
create trigger tasks_updated after update of
    title, project, status, mode, parent_task_id, parent_session_id, workspace, source, external_id, status_reason,
    status_detail, status_since, status_certain, summary, stale_since, stale_reason, created_at, todos, model, branch,
    last_commit, pull_request, heard_at, ingest_state on tasks
when (new.title is not old.title or new.project is not old.project or new.status is not old.status
    or new.mode is not old.mode or new.parent_task_id is not old.parent_task_id
    or new.parent_session_id is not old.parent_session_id or new.workspace is not old.workspace
    or new.source is not old.source or new.external_id is not old.external_id
    or new.status_reason is not old.status_reason or new.status_detail is not old.status_detail
    or new.status_since is not old.status_since or new.status_certain is not old.status_certain
    or new.summary is not old.summary or new.stale_since is not old.stale_since
    or new.stale_reason is not old.stale_reason or new.created_at is not old.created_at
    or new.todos is not old.todos or new.model is not old.model or new.branch is not old.branch
    or new.last_commit is not old.last_commit or new.pull_request is not old.pull_request
    or new.status = 'errored' and (new.heard_at is null and new.ingest_state is not null)
        is not (old.heard_at is null and old.ingest_state is not null))
    and not exists (select 1 from settling where id = new.id) begin
    -- For the screens that show the task in its old project or below its old parent. A screen that shows only the status
    -- has to notice that the task left or came, so a move without a change of the status says "not known".
    -- In `object_id` a `task.updated` names what changed: `task`, `usage`, or the id of a session. Not the id of the task,
    -- because a session can have the same id.
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', old.project, new.id, old.parent_task_id, 'task', nullif(new.status is not old.status, 0)
        where new.project is not old.project or new.parent_task_id is not old.parent_task_id;
    insert into changes (kind, project, task_id, parent_task_id, object_id, status, status_changed)
        select iif(done, 'task.completed', 'task.updated'), new.project, new.id, new.parent_task_id, 'task',
            iif(done, new.status, null), iif(done or moved and new.status is old.status, null, new.status is not old.status)
        from (select new.status is not old.status and new.status in ('completed', 'errored') as done,
            new.project is not old.project or new.parent_task_id is not old.parent_task_id as moved);
    -- A move to another project changes the bookmarks of both projects.
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', side.project, new.id, bookmarks.id
        from bookmarks, (select old.project as project union all select new.project) as side
        where bookmarks.task_id = new.id and new.project is not old.project;
    insert into settling (id) values (new.id);
    update tasks set
        changed_at = max(cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer),
            min((select changed_at from task_counts where id = new.id) + 1, 253402300799999)),
        status_since = iif(new.status is not old.status and new.status_since is old.status_since,
            cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer), status_since),
        status_reason = iif(new.status is not old.status and new.status_reason is old.status_reason
            and not exists (select 1 from settling where id = 'reason ' || new.id), null, status_reason),
        status_detail = iif((new.status is not old.status or new.status_reason is not old.status_reason)
            and new.status_detail is old.status_detail
            and not exists (select 1 from settling where id = 'detail ' || new.id), null, status_detail),
        status_certain = iif((new.status is not old.status or new.status_reason is not old.status_reason)
            and new.status_certain is old.status_certain
            and not exists (select 1 from settling where id = 'certain ' || new.id), 1, status_certain),
        stale_since = iif(new.status is not old.status and new.stale_since is old.stale_since, null, stale_since),
        stale_reason = iif(new.status is not old.status and new.stale_since is old.stale_since, null, stale_reason)
        where id = new.id;
    delete from settling where id in (new.id, 'reason ' || new.id, 'detail ' || new.id, 'certain ' || new.id);
end;

-- A reason that stays the same under another status was given, if the statement names its column. Runs before
-- `tasks_updated`, which removes the note, and only for a row that was written.
create trigger tasks_given_a_reason after update of status_reason on tasks
when new.status is not old.status and new.status_reason is old.status_reason and new.status_reason is not null begin
    insert into settling (id) select 'reason ' || new.id
        where not exists (select 1 from settling where id = 'reason ' || new.id);
end;

-- As `tasks_given_a_reason`, for a detail that stays the same under another status or reason.
create trigger tasks_given_a_detail after update of status_detail on tasks
when (new.status is not old.status or new.status_reason is not old.status_reason)
    and new.status_detail is old.status_detail and new.status_detail is not null begin
    insert into settling (id) select 'detail ' || new.id
        where not exists (select 1 from settling where id = 'detail ' || new.id);
end;

-- As `tasks_given_a_reason`, for a doubt that stays under another status or reason.
create trigger tasks_given_a_doubt after update of status_certain on tasks
when (new.status is not old.status or new.status_reason is not old.status_reason)
    and new.status_certain is old.status_certain and new.status_certain = 0 begin
    insert into settling (id) select 'certain ' || new.id
        where not exists (select 1 from settling where id = 'certain ' || new.id);
end;

create trigger tasks_counted after update of project, status, source on tasks
when (new.project is not old.project or new.status is not old.status or new.source is not old.source)
    and not exists (select 1 from settling where id = new.id) begin
    insert into figure_deltas (project, status, source, tasks, events) values
        (old.project, old.status, old.source, -1, -(select event_count from task_counts where id = new.id)),
        (new.project, new.status, new.source, 1, (select event_count from task_counts where id = new.id));
end;

-- Before, because a foreign key takes the events along.
create trigger tasks_delete_uncounted_events before delete on tasks
when exists (select 1 from events where task_id = old.id and position > old.counted_to) begin
    insert into figure_deltas (project, status, source, tasks, events)
        select old.project, old.status, old.source, 0, -count(*) from events
        where task_id = old.id and position > old.counted_to;
end;

create trigger tasks_deleted after delete on tasks begin
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.deleted', old.project, old.id, old.parent_task_id
        where not exists (select 1 from purging where task_id = old.id);
    insert into figure_deltas (project, status, source, tasks, events)
        values (old.project, old.status, old.source, -1, -old.event_count);
    delete from replaced where task_id = old.id;
end;

-- The task is gone already, so the delete triggers of these rows find no task and log no change. The rows of a task in
-- `leaving` are deleted later.
create trigger tasks_rows_deleted after delete on tasks
when not exists (select 1 from leaving where task_id = old.id) begin
    delete from bookmarks where task_id = old.id;
    delete from events where task_id = old.id;
    delete from sessions where task_id = old.id;
    delete from usage where task_id = old.id;
end;

-- A trigger of its own, because tasks_deleted has to fire for each task below.
create trigger tasks_tree_deleted after delete on tasks
when not exists (select 1 from tree_roots) and exists (select 1 from tasks where parent_task_id = old.id) begin
    insert into tree_roots (id) values (old.id);
    delete from tasks where id in (select id from task_tree);
    delete from tree_roots;
end;
