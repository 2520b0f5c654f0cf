//! Tasks whose agent is not heard of any more.

crate::migration!(
    "m0008_silence",
    "
drop trigger tasks_updated;

-- Why a task stands as it does: why it waits, or why it errored.
alter table tasks rename column waiting_reason to status_reason;
-- When its agent's hooks were last heard of, and which process it is, where that is known. Kept by the server for tasks
-- that it learns of by hooks; no screen shows them, so they are not logged.
alter table tasks add column heard_at integer;
alter table tasks add column process text;
-- Since when an agent that should be at work is missed: the flag, and why it was set.
alter table tasks add column stale_since integer;
alter table tasks add column stale_reason text
    constraint stale_reason_is_known check (stale_reason in ('silent', 'gone'));
create index tasks_stale on tasks (stale_since) where stale_since is not null;
create index tasks_heard on tasks (source, heard_at) where heard_at is not null;
-- Those that were heard of before this was kept.
update tasks set heard_at = changed_at where ingest_state is not null;

-- Not for event_count, changed_at, ingest_state, heard_at and process: those are no news of their own. The flag goes when
-- the status changes.
create trigger tasks_updated after update of
    title, project, status, mode, parent_task_id, parent_session_id, workspace, source, external_id, status_reason,
    status_since, summary, stale_since, stale_reason, created_at on tasks
when (new.title is not old.title or new.project is not old.project or new.status is not old.status
    or new.mode is not old.mode or new.parent_task_id is not old.parent_task_id
    or new.parent_session_id is not old.parent_session_id or new.workspace is not old.workspace
    or new.source is not old.source or new.external_id is not old.external_id
    or new.status_reason is not old.status_reason or new.status_since is not old.status_since
    or new.summary is not old.summary or new.stale_since is not old.stale_since
    or new.stale_reason is not old.stale_reason or new.created_at is not old.created_at)
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
        status_reason = iif(new.status is not old.status and new.status_reason is old.status_reason,
            null, status_reason),
        stale_since = iif(new.status is not old.status and new.stale_since is old.stale_since, null, stale_since),
        stale_reason = iif(new.status is not old.status and new.stale_since is old.stale_since, null, stale_reason)
        where id = new.id;
    delete from settling where id = new.id;
end;
"
);
