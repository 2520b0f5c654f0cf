-- The triggers of `tasks`: each change is logged, and each change of a figure is inserted. One call does so for all rows
-- of a statement.

create function log_new_tasks() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.started', project, id, parent_task_id from new_rows;
    if not found then
        return null;
    end if;
    insert into figure_deltas (project, status, source, tasks, events)
        select project, status, source, 1, 0 from new_rows;
    if exists (select 1 from new_rows where parent_task_id is not null) then
        perform refuse('parent_task_id: there is no such task', 'parent_task_id') from new_rows n
            where parent_task_id is not null
                and (select id from tasks where id = n.parent_task_id for key share) is null;
        -- A new task is below itself only if the statement inserts the whole circle: no task outside leads to it.
        if exists (select 1 from new_rows where parent_task_id in (select id from new_rows)) then
            perform refuse('parent_task_id: a task cannot be below itself', 'parent_task_id') where exists (
                with recursive tree (id) as (
                    select id from new_rows
                    where parent_task_id is null or parent_task_id not in (select id from new_rows)
                    union all
                    select next.id from tree cross join lateral
                        (select tasks.id from tasks where tasks.parent_task_id = tree.id offset 0) next
                )
                select 1 from tree having count(*) < (select count(*) from new_rows)
            );
        end if;
        perform refuse('project: a task below another task has the project of that task', 'project')
            from new_rows n join tasks above on above.id = n.parent_task_id where above.project <> n.project;
    end if;
    return null;
end
$$;
create trigger tasks_started after insert on tasks referencing new table as new_rows
    for each statement execute function log_new_tasks();

-- Not for event_count, changed_at and process: no screen shows a change of these alone. An errored task that has a memory
-- of an agent and was never heard is imported history, which needs no person, so ingest_state and heard_at count where
-- they move it. `tasks_keep` has the same list.
create function log_changed_tasks() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
declare
    has_counts boolean;
    has_places boolean;
    ids text[];
    projects text[];
    parents text[];
    old_projects text[];
    old_parents text[];
begin
    -- The side `is_old` is for the screens that show the task in its old project or below its old parent. A screen that
    -- shows only the status has to notice that the task left or came, so a move without a change of the status says "not
    -- known". In `object_id` a `task.updated` names what changed: `task`, `usage`, or the id of a session. Not the id of
    -- the task, because a session can have the same id.
    --
    -- The plans are kept for the next statement, which may have a thousand times as many rows. A full join is never a loop
    -- in a loop.
    insert into changes (kind, project, task_id, parent_task_id, object_id, status, status_changed)
        select case when it.is_done and not side.is_old then 'task.completed' else 'task.updated' end,
            case when side.is_old then it.old_project else it.project end, it.id,
            case when side.is_old then it.old_parent else it.parent_task_id end, 'task',
            case when it.is_done and not side.is_old then it.status end,
            case when it.has_status then case when side.is_old or not it.is_done then 1 end
                when it.is_moved then null else 0 end
        from (
            select n.id, n.project, n.parent_task_id, n.status, o.project as old_project, o.parent_task_id as old_parent,
                n.status is distinct from o.status as has_status,
                n.status is distinct from o.status and n.status in ('completed', 'errored') as is_done,
                (n.project, n.parent_task_id) is distinct from (o.project, o.parent_task_id) as is_moved
            from old_rows o full join new_rows n on n.id = o.id
            where (n.title, n.project, n.status, n.mode, n.parent_task_id, n.parent_session_id, n.workspace, n.source,
                    n.external_id, n.status_reason, n.status_detail, n.status_since, n.status_certain, n.summary,
                    n.stale_since, n.stale_reason, n.created_at, n.todos, n.model, n.branch, n.last_commit,
                    n.pull_request)
                is distinct from (o.title, o.project, o.status, o.mode, o.parent_task_id, o.parent_session_id,
                    o.workspace, o.source, o.external_id, o.status_reason, o.status_detail, o.status_since,
                    o.status_certain, o.summary, o.stale_since, o.stale_reason, o.created_at, o.todos, o.model,
                    o.branch, o.last_commit, o.pull_request)
                or n.status = 'errored' and (n.heard_at is null and n.ingest_state is not null)
                    is distinct from (o.heard_at is null and o.ingest_state is not null)
        ) it cross join (values (true), (false)) side (is_old)
        where not side.is_old or it.is_moved;
    if not found then
        return null;
    end if;
    select bool_or((n.project, n.status, n.source) is distinct from (o.project, o.status, o.source)),
            bool_or((n.project, n.parent_task_id) is distinct from (o.project, o.parent_task_id))
        into has_counts, has_places from old_rows o full join new_rows n on n.id = o.id;
    -- The events change their figure only with the project, and a status changes often.
    if has_counts then
        with pairs as materialized (
            select o.project as old_project, o.status as old_status, o.source as old_source, n.project, n.status,
                n.source, case when n.project is distinct from o.project
                    then n.event_count + uncounted_events(n.id) else 0 end as events
            from old_rows o full join new_rows n on n.id = o.id
            where (n.project, n.status, n.source) is distinct from (o.project, o.status, o.source)
        )
        insert into figure_deltas (project, status, source, tasks, events)
            select old_project, old_status, old_source, -1, -events from pairs
            union all
            select project, status, source, 1, events from pairs;
    end if;
    if has_places then
        select array_agg(n.id), array_agg(n.project), array_agg(n.parent_task_id), array_agg(o.project),
                array_agg(o.parent_task_id)
            into ids, projects, parents, old_projects, old_parents
            from old_rows o full join new_rows n on n.id = o.id
            where (n.project, n.parent_task_id) is distinct from (o.project, o.parent_task_id);
        perform place_tasks(ids, projects, parents, old_projects, old_parents);
    end if;
    return null;
end
$$;
create trigger tasks_updated after update on tasks referencing old table as old_rows new table as new_rows
    for each statement execute function log_changed_tasks();

-- The rows of the deleted tasks go with them, and their triggers find no task and log no change. A transaction that inserts
-- an event has locked the row of the task, so each event is there before its task is deleted.
create function log_deleted_tasks() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    -- As in `place_tasks`: an old snapshot does not show the tasks and events that others put below meanwhile.
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        perform refuse('id: delete a task in a transaction with the isolation read committed', 'id') from old_rows;
    end if;
    delete from events where task_id in (select id from old_rows);
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.deleted', o.project, o.id, o.parent_task_id from old_rows o
        where not exists (select 1 from purging where task_id = o.id);
    -- The fold still adds the events that the row does not contain. What it adds to a later task with this id is taken
    -- off again.
    with gone as materialized (
        select id, project, status, source, event_count, uncounted_events(id) as uncounted from old_rows
    ), pending as (
        insert into counts_pending (task_id, events, changed_at)
            select id, -uncounted, 0 from gone where uncounted <> 0
    )
    insert into figure_deltas (project, status, source, tasks, events)
        select project, status, source, -1, -(event_count + uncounted) from gone;
    -- One statement for all tasks below, at any depth. It fires this trigger again, once.
    if exists (select 1 from old_rows o join tasks on tasks.parent_task_id = o.id) then
        with recursive below (id) as (
            select tasks.id from old_rows o join tasks on tasks.parent_task_id = o.id
            union
            select next.id from below cross join lateral
                (select tasks.id from tasks where tasks.parent_task_id = below.id offset 0) next
        )
        delete from tasks where id in (select id from below);
    end if;
    return null;
end
$$;
create trigger tasks_deleted after delete on tasks referencing old table as old_rows
    for each statement execute function log_deleted_tasks();
