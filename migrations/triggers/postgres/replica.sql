-- The triggers for rows that a subscription applies, or that a session with `session_replication_role = replica` writes.
-- The other triggers do not fire then. These ones log each change, also one that a screen does not show: they know the row
-- and not the statement. The kept columns come with the rows, except the counts of events, which this log gives.

create function keep_applied_task() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        new.event_count := 0;
    else
        new.event_count := old.event_count;
        new.changed_at := greatest(new.changed_at, old.changed_at);
    end if;
    new.listed_at := new.changed_at;
    return new;
end
$$;
create trigger tasks_keep_applied before insert or update on tasks for each row execute function keep_applied_task();
alter table tasks enable replica trigger tasks_keep_applied;

create function log_applied_task() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        insert into changes (kind, project, task_id, parent_task_id)
            values ('task.started', new.project, new.id, new.parent_task_id);
    elsif tg_op = 'DELETE' then
        insert into changes (kind, project, task_id, parent_task_id)
            values ('task.deleted', old.project, old.id, old.parent_task_id);
    else
        insert into changes (kind, project, task_id, parent_task_id, object_id)
            select distinct 'task.updated', side.project, new.id, side.parent_task_id, 'task'
            from (values (old.project, old.parent_task_id), (new.project, new.parent_task_id))
                side (project, parent_task_id);
    end if;
    if tg_op <> 'INSERT' then
        insert into figure_deltas (project, status, source, tasks, events)
            values (old.project, old.status, old.source, -1, -(old.event_count + case when tg_op = 'DELETE'
                or new.project <> old.project then uncounted_events(old.id) else 0 end));
    end if;
    if tg_op <> 'DELETE' then
        insert into figure_deltas (project, status, source, tasks, events)
            values (new.project, new.status, new.source, 1, new.event_count + case when tg_op = 'UPDATE'
                and new.project <> old.project then uncounted_events(new.id) else 0 end);
    else
        insert into counts_pending (task_id, events, changed_at)
            select old.id, -uncounted, 0 from uncounted_events(old.id) uncounted where uncounted <> 0;
    end if;
    return null;
end
$$;
create trigger tasks_applied after insert or update or delete on tasks for each row execute function log_applied_task();
alter table tasks enable replica trigger tasks_applied;

create function log_applied_row() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
declare
    it record := case when tg_op = 'DELETE' then old else new end;
    task tasks;
begin
    -- A task that another transaction moves is waited for, so that the log names its new project.
    select * into task from tasks where id = it.task_id for key share;
    if not found then
        -- A new row whose task is not there yet would never be logged or counted. After a refusal the worker of the
        -- subscription tries again, until the task is there. Other rows without a task went with it: its deletion is
        -- logged.
        if tg_op = 'INSERT' then
            perform refuse('task_id: there is no such task', 'task_id');
        end if;
        return null;
    end if;
    insert into changes (kind, project, task_id, parent_task_id, object_id, happened_at, event_class)
        select case tg_table_name
                when 'events' then case tg_op when 'INSERT' then 'event.logged' else 'event.updated' end
                when 'bookmarks' then case tg_op when 'DELETE' then 'bookmark.deleted' else 'bookmark.saved' end
                when 'sessions' then case tg_op when 'INSERT' then 'session.started' else 'task.updated' end
                else 'task.updated' end,
            task.project, task.id,
            case when tg_table_name = 'usage' or tg_table_name = 'sessions' and tg_op <> 'INSERT'
                then task.parent_task_id end,
            coalesce(to_jsonb(it) ->> 'id', 'usage'),
            case when tg_table_name = 'events' and tg_op = 'INSERT' then (to_jsonb(it) ->> 'created_at')::bigint end,
            case when tg_table_name = 'events' then (
                select string_agg(distinct concat(side.fields ->> 'kind', '/', side.fields ->> 'family', '/',
                    side.fields ->> 'lane'), ' ')
                from (values (to_jsonb(it)), (case when tg_op = 'UPDATE' then to_jsonb(old) end)) side (fields)
                where side.fields is not null) end;
    if tg_table_name = 'sessions' and tg_op <> 'INSERT' then
        insert into changes (kind, project, task_id, object_id)
            select 'session.ended', task.project, task.id, to_jsonb(it) ->> 'id' where tg_op = 'UPDATE';
        insert into changes (kind, project, object_id)
            values ('agent.changed', task.project, to_jsonb(it) ->> 'source');
    end if;
    return null;
end
$$;
create trigger sessions_applied after insert or update or delete on sessions
    for each row execute function log_applied_row();
alter table sessions enable replica trigger sessions_applied;
create trigger events_applied after insert or update or delete on events
    for each row execute function log_applied_row();
alter table events enable replica trigger events_applied;
create function check_applied_event() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if ({is_event:new}) is not true then
        perform refuse_event(new.id, new.kind, new.family, new.lane, new.state, new.title, new.body, new.metadata,
            new.created_at, new.updated_at);
    end if;
    if tg_op = 'INSERT'
        and (new.position between 1 and pg_sequence_last_value('{schema}.events_position_seq')) is not true
    then
        perform take_place(new.position);
    end if;
    return new;
end
$$;
create trigger events_check_applied before insert or update on events
    for each row execute function check_applied_event();
alter table events enable replica trigger events_check_applied;
create trigger bookmarks_applied after insert or update or delete on bookmarks
    for each row execute function log_applied_row();
alter table bookmarks enable replica trigger bookmarks_applied;
create trigger usage_applied after insert or update or delete on usage
    for each row execute function log_applied_row();
alter table usage enable replica trigger usage_applied;

create function log_applied_usage() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if tg_op <> 'INSERT' then
        insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
                cache_read_tokens, cache_write_tokens)
            select old.project, -1, -(old.cost_usd_micros is not null)::int, -old.cost_usd_micros, -old.input_tokens,
                -old.output_tokens, -old.cache_read_tokens, -old.cache_write_tokens
            where old.project is not null;
    end if;
    if tg_op <> 'DELETE' then
        insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
                cache_read_tokens, cache_write_tokens)
            select new.project, 1, (new.cost_usd_micros is not null)::int, new.cost_usd_micros, new.input_tokens,
                new.output_tokens, new.cache_read_tokens, new.cache_write_tokens
            where new.project is not null;
    end if;
    return null;
end
$$;
create trigger usage_counted_applied after insert or update or delete on usage
    for each row execute function log_applied_usage();
alter table usage enable replica trigger usage_counted_applied;

create function log_applied_agent() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
declare
    it agents := case when tg_op = 'DELETE' then old else new end;
begin
    insert into changes (kind, project, object_id)
        values (case tg_op when 'INSERT' then 'agent.registered' else 'agent.changed' end, it.project, it.source);
    return null;
end
$$;
create trigger agents_applied after insert or update or delete on agents
    for each row execute function log_applied_agent();
alter table agents enable replica trigger agents_applied;

-- A publication of the whole schema also sends the log of another server. Its numbers of transactions say nothing here: a
-- greater one would be new in each look, forever, and a deletion could hit a row of this log. So this log takes no applied
-- row, except those that the triggers above insert.

create function drop_foreign_change() returns trigger language plpgsql as $$
begin
    return null;
end
$$;
create trigger changes_foreign before insert on changes for each row when (new.xid <> pg_current_xact_id())
    execute function drop_foreign_change();
alter table changes enable replica trigger changes_foreign;
create trigger changes_stay before update or delete on changes for each row execute function drop_foreign_change();
alter table changes enable replica trigger changes_stay;
