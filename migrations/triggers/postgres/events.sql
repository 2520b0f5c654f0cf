-- The triggers of `events`: each change is logged. An insert touches no row of another table but the log: the server
-- counts the events into the rows of their tasks later, and readers add them until then.

-- Refuses an event that breaks a rule. All rules together stand in `IS_EVENT` of `src/postgres/files.rs`, which is put into
-- the statements below: a trigger compiles its statement once.
create function refuse_event(id text, kind text, family text, lane text, state text, title text, body text,
    metadata text, created_at bigint, updated_at bigint) returns text language plpgsql as $$
declare
    broken record;
begin
    select * into broken from (values
        (1, 'id', 'id_is_a_uuid', 'it is a UUID in lower-case hyphenated text', is_uuid(id)),
        (2, 'kind', 'kind_is_1_to_64_lower_case_letters_digits_dots_and_underscores',
            'it has 1 to 64 lower-case letters, digits, dots and underscores', kind ~ '^[a-z0-9._]{1,64}$'),
        (3, 'family', 'family_is_known', 'it is terminal, file, explore, agent, mcp, todo or question',
            family in ('terminal', 'file', 'explore', 'agent', 'mcp', 'todo', 'question')),
        (4, 'lane', 'lane_is_known', 'it is user, assistant, exploration, implementation, terminal, planning, '
            'questions, todos, git, background, coordination or system',
            lane in ('user', 'assistant', 'exploration', 'implementation', 'terminal', 'planning', 'questions',
                'todos', 'git', 'background', 'coordination', 'system')),
        (5, 'state', 'state_is_known', 'it is running, ok, failed, denied or abandoned',
            state in ('running', 'ok', 'failed', 'denied', 'abandoned')),
        (6, 'title', 'title_is_at_most_500_characters', 'it has at most 500 characters', length(title) <= 500),
        (7, 'body', 'body_is_at_most_64_kib', 'it has at most 65536 bytes', octet_length(body) <= 65536),
        (8, 'metadata', 'metadata_is_a_json_object', 'it is a JSON object', is_json_object(metadata)),
        (9, 'created_at', 'created_at_is_in_the_years_1970_to_9999', 'it has milliseconds of the years 1970 to 9999',
            is_time(created_at)),
        (10, 'updated_at', 'updated_at_is_in_the_years_1970_to_9999', 'it has milliseconds of the years 1970 to 9999',
            is_time(updated_at))
    ) rule (number, column_name, name, message, holds) where not holds order by number limit 1;
    raise exception using errcode = '23514', message = format('%s: %s (%s)', broken.column_name, broken.message, broken.name),
        column = broken.column_name, constraint = broken.name, table = 'events', schema = '{schema}';
end
$$;

-- Takes a place that the writer chose, or that came from another server. The next event gets the place after the greatest one,
-- so a writer must not use up the places. Returns a text, so that it can stand where a value is missing.
--
-- The sequence must not go back, and nothing keeps other writers from taking places meanwhile. So a near place is reached
-- by taking each place up to it. Only a far one sets the sequence, and two such writers wait for each other. Two risks
-- remain. While the sequence is set, others take more places than lie between: then the next inserts fail until the
-- sequence is past the taken places. And another writer gets the chosen place itself: then one of the two fails.
create function take_place(place bigint) returns text language plpgsql as $$
declare
    far constant bigint := 10000;
    ahead bigint;
begin
    if place not between 1 and 1000000000000 then
        perform refuse('position: it is 1 to 1000000000000', 'position');
    end if;
    ahead := place - coalesce(pg_sequence_last_value('{schema}.events_position_seq'), 0);
    if ahead > far then
        perform pg_advisory_xact_lock(hashtextextended('requery places of {schema}', 0));
        ahead := place - coalesce(pg_sequence_last_value('{schema}.events_position_seq'), 0);
    end if;
    if ahead > far then
        perform setval('{schema}.events_position_seq', place);
    else
        perform nextval('{schema}.events_position_seq') from generate_series(1, ahead);
    end if;
    return null;
end
$$;

create function log_new_events() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, object_id, happened_at, event_class)
        select case when n.position between 1 and pg_sequence_last_value('{schema}.events_position_seq')
                then 'event.logged' else coalesce(take_place(n.position), 'event.logged') end,
            coalesce((select project from tasks where id = n.task_id for key share),
                refuse('task_id: there is no such task', 'task_id')),
            n.task_id, n.id, n.created_at,
            case when {is_event:n} then n.kind || '/' || coalesce(n.family, '') || '/' || coalesce(n.lane, '')
                else refuse_event(n.id, n.kind, n.family, n.lane, n.state, n.title, n.body, n.metadata, n.created_at,
                    n.updated_at) end
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
    if ({is_event:new}) is not true then
        perform refuse_event(new.id, new.kind, new.family, new.lane, new.state, new.title, new.body, new.metadata,
            new.created_at, new.updated_at);
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
