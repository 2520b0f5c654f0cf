-- The triggers of `events`: each change is logged. An insert touches no row of another table but the log: the server
-- counts the events into the rows of their tasks later, and readers add them until then.

-- A place that the writer chose. The next event gets the place after the greatest one, so a writer must not use up the
-- places. The condition is false for a place that the database gave.
create function take_place() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if new.position not between 1 and 1000000000000 then
        perform refuse('position: it is 1 to 1000000000000', 'position');
    end if;
    perform pg_advisory_xact_lock(hashtextextended('requery places of {schema}', 0));
    if (new.position <= pg_sequence_last_value('{schema}.events_position_seq')) is not true then
        perform setval('{schema}.events_position_seq', new.position);
    end if;
    return new;
end
$$;
create trigger events_take_place before insert on events for each row
when ((new.position between 1 and pg_sequence_last_value('{schema}.events_position_seq'::regclass)) is not true)
execute function take_place();

create function log_new_events() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, object_id, happened_at, event_class)
        select 'event.logged',
            coalesce((select project from tasks where id = n.task_id for key share),
                refuse('task_id: there is no such task', 'task_id')),
            n.task_id, n.id, n.created_at,
            n.kind || '/' || coalesce(n.family, '') || '/' || coalesce(n.lane, '')
        from new_rows n;
    return null;
end
$$;
create trigger events_logged after insert on events referencing new table as new_rows
    for each statement execute function log_new_events();

create function keep_event() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if (new.id, new.task_id, new.position) is distinct from (old.id, old.task_id, old.position) then
        perform refuse('an event keeps its id, its task and its position', 'id');
    end if;
    -- The columns of the trigger `events_updated`.
    if (new.session_id, new.kind, new.family, new.lane, new.state, new.title, new.body, new.metadata, new.truncated,
            new.external_id, new.created_at)
        is distinct from (old.session_id, old.kind, old.family, old.lane, old.state, old.title, old.body, old.metadata,
            old.truncated, old.external_id, old.created_at)
    then
        new.updated_at := now_ms();
    else
        new.updated_at := old.updated_at;
    end if;
    return new;
end
$$;
create trigger events_keep before update on events for each row execute function keep_event();

create function log_changed_events() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    -- A full join is never a loop in a loop, see `log_changed_tasks`.
    with it as materialized (
        select n.id, n.task_id, n.kind || '/' || coalesce(n.family, '') || '/' || coalesce(n.lane, '') as class,
            o.kind || '/' || coalesce(o.family, '') || '/' || coalesce(o.lane, '') as old_class
        from old_rows o full join new_rows n on n.id = o.id
        where (n.session_id, n.kind, n.family, n.lane, n.state, n.title, n.body, n.metadata, n.truncated,
                n.external_id, n.created_at)
            is distinct from (o.session_id, o.kind, o.family, o.lane, o.state, o.title, o.body, o.metadata,
                o.truncated, o.external_id, o.created_at)
    )
    insert into changes (kind, project, task_id, object_id, event_class)
        select 'event.updated', tasks.project, tasks.id, it.id,
            it.class || case when it.class = it.old_class then '' else ' ' || it.old_class end
        from it join tasks on tasks.id = it.task_id for key share of tasks;
    return null;
end
$$;
create trigger events_updated after update on events referencing old table as old_rows new table as new_rows
    for each statement execute function log_changed_events();

-- Of an event that goes with its task no change is logged.
create function log_deleted_events() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, object_id, event_class)
        select 'event.updated', tasks.project, tasks.id, o.id,
            o.kind || '/' || coalesce(o.family, '') || '/' || coalesce(o.lane, '')
        from old_rows o join tasks on tasks.id = o.task_id for key share of tasks;
    return null;
end
$$;
create trigger events_deleted after delete on events referencing old table as old_rows
    for each statement execute function log_deleted_events();
