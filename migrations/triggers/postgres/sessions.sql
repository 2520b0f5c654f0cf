-- The triggers of `sessions`: each change is logged for the task of the session, and for the agents that run.

create function begin_session() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if exists (select 1 from sessions where id = new.id and task_id <> new.task_id) then
        perform refuse('a session keeps its id, its rowid and its task', 'id');
    end if;
    if (select id from tasks where id = new.task_id for key share) is null then
        perform refuse('task_id: there is no such task', 'task_id');
    end if;
    return new;
end
$$;
create trigger sessions_begin before insert on sessions for each row execute function begin_session();

create function log_new_sessions() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, object_id)
        select 'session.started', tasks.project, n.task_id, n.id from new_rows n join tasks on tasks.id = n.task_id;
    return null;
end
$$;
create trigger sessions_started after insert on sessions referencing new table as new_rows
    for each statement execute function log_new_sessions();

create function keep_session() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if (new.id, new.task_id) is distinct from (old.id, old.task_id) then
        perform refuse('a session keeps its id, its rowid and its task', 'id');
    end if;
    if new.ended_at is null and new.status <> 'running' and old.status = 'running' then
        new.ended_at := now_ms();
    end if;
    return new;
end
$$;
create trigger sessions_keep before update on sessions for each row execute function keep_session();

create function log_changed_sessions() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    -- A full join is never a loop in a loop, see `log_changed_tasks`.
    with it as materialized (
        select n.id, n.task_id, o.status = 'running' and n.status <> 'running' as is_end
        from old_rows o full join new_rows n on n.id = o.id
        where (n.source, n.runtime_session_id, n.status, n.summary, n.started_at, n.ended_at, n.model, n.host)
            is distinct from (o.source, o.runtime_session_id, o.status, o.summary, o.started_at, o.ended_at, o.model,
                o.host)
    )
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select case when it.is_end then 'session.ended' else 'task.updated' end, tasks.project, tasks.id,
            case when not it.is_end then tasks.parent_task_id end, it.id, case when not it.is_end then 0 end
        from it join tasks on tasks.id = it.task_id for key share of tasks;
    if not found then
        return null;
    end if;
    -- The number of running sessions. `session.started` and `session.ended` tell of most changes; this tells of the
    -- others. A session of another source than that of an agent is not counted.
    with it as materialized (
        select n.task_id, n.source, o.source as old_source from old_rows o full join new_rows n on n.id = o.id
        where n.status = 'running' and o.status <> 'running' or (n.status = 'running' or o.status = 'running')
            and (n.source, n.host) is distinct from (o.source, o.host)
    )
    insert into changes (kind, project, object_id)
        select 'agent.changed', tasks.project, side.source
        from it join tasks on tasks.id = it.task_id
        cross join lateral (select it.old_source union select it.source) side (source)
        where exists (select 1 from agents where agents.source = side.source);
    return null;
end
$$;
create trigger sessions_updated after update on sessions referencing old table as old_rows new table as new_rows
    for each statement execute function log_changed_sessions();

-- Of a session that goes with its task no change is logged.
create function log_deleted_sessions() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', tasks.project, tasks.id, tasks.parent_task_id, o.id, 0
        from old_rows o join tasks on tasks.id = o.task_id for key share of tasks;
    if found then
        insert into changes (kind, project, object_id)
            select 'agent.changed', tasks.project, o.source from old_rows o join tasks on tasks.id = o.task_id
            where o.status = 'running' and exists (select 1 from agents where agents.source = o.source);
    end if;
    return null;
end
$$;
create trigger sessions_deleted after delete on sessions referencing old table as old_rows
    for each statement execute function log_deleted_sessions();
