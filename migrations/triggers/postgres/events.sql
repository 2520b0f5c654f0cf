-- The triggers of `events`: each change is logged. An insert touches no row of another table but the log: the server
-- counts the events into the rows of their tasks later, and readers add them until then.

-- Whether the database gave the place. Runs as the writer, so its operators and functions are named with their schema.
create function is_given_place(bigint) returns boolean language plpgsql volatile as $$
begin
    return $1 operator(pg_catalog.>=) 1
        and $1 operator(pg_catalog.<=) pg_catalog.pg_sequence_last_value('{schema}.events_position_seq'::pg_catalog.regclass);
end
$$;

-- A place that the writer chose. The next event gets the place after the greatest one, so a writer must not use up the
-- places. The trigger also fires for applied rows, because their places come from another server.
--
-- The sequence must not go back, and nothing keeps other writers from taking places meanwhile. So a near place is reached
-- by taking each place up to it. Only a far one sets the sequence, and two such writers wait for each other. Two risks
-- remain. While the sequence is set, others take more places than lie between: then the next inserts fail until the
-- sequence is past the taken places. And another writer gets the chosen place itself: then one of the two fails.
create function take_place() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
declare
    far constant bigint := 10000;
    ahead bigint;
begin
    if new.position not between 1 and 1000000000000 then
        perform refuse('position: it is 1 to 1000000000000', 'position');
    end if;
    ahead := new.position - coalesce(pg_sequence_last_value('{schema}.events_position_seq'), 0);
    if ahead > far then
        perform pg_advisory_xact_lock(hashtextextended('requery places of {schema}', 0));
        ahead := new.position - coalesce(pg_sequence_last_value('{schema}.events_position_seq'), 0);
    end if;
    if ahead > far then
        perform setval('{schema}.events_position_seq', new.position);
    else
        perform nextval('{schema}.events_position_seq') from generate_series(1, ahead);
    end if;
    return new;
end
$$;
create trigger events_take_place before insert on events for each row
when (is_given_place(new.position) is not true) execute function take_place();
alter table events enable always trigger events_take_place;

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
