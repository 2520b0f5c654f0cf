-- The triggers of `sessions`: each change is logged for the task of the session.

create trigger sessions_fit before insert on sessions
when exists (select 1 from sessions where (id = new.id or rowid = new.rowid)
    and (id is not new.id or task_id is not new.task_id)) begin
    select raise(abort, 'a session keeps its id, its rowid and its task');
end;

create trigger sessions_started after insert on sessions begin
    insert into changes (kind, project, task_id, object_id) values ('session.started',
        coalesce((select project from tasks where id = new.task_id), raise(abort, 'task_id: there is no such task')),
        new.task_id, new.id);
end;

create trigger sessions_stay before update of id, task_id, rowid, _rowid_, oid on sessions
when new.id is not old.id or new.task_id is not old.task_id or new.rowid is not old.rowid begin
    select raise(abort, 'a session keeps its id, its rowid and its task');
end;

create trigger sessions_updated after update on sessions
when (new.source is not old.source or new.runtime_session_id is not old.runtime_session_id
    or new.status is not old.status or new.summary is not old.summary
    or new.started_at is not old.started_at or new.ended_at is not old.ended_at
    or new.model is not old.model or new.host is not old.host)
    and not exists (select 1 from settling where id = new.id) begin
    insert into changes (kind, project, task_id, object_id)
        select 'session.ended', project, id, new.id from tasks
        where id = new.task_id and old.status = 'running' and new.status <> 'running';
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', project, id, parent_task_id, new.id, 0 from tasks
        where id = new.task_id and not (old.status = 'running' and new.status <> 'running');
    insert into settling (id) select new.id
        where new.ended_at is null and new.status <> 'running' and old.status = 'running';
    update sessions set ended_at = cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)
        where id in (select id from settling where id = new.id);
    delete from settling where id = new.id;
end;

create trigger sessions_deleted after delete on sessions begin
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', project, id, parent_task_id, old.id, 0 from tasks where id = old.task_id;
end;
