-- Puts right the values that the triggers keep, after writes that fired no trigger. Runs while there are no triggers,
-- in the transaction that makes them again.

-- The rows that one trigger of a statement leaves for a later trigger of the same statement.
delete from settling;
delete from purging;
delete from tree_roots;
delete from replaced;
delete from usage_replaced;

-- A bookmark of an event goes with the event.
delete from bookmarks where event_id is not null and not exists (select 1 from events where id = bookmarks.event_id);

-- Events that the log should have and does not have. Events before the first one in the log may have been pruned from
-- it, so they are not missed; nor is an event that is older than a log that was pruned.
create temp table missed as
    with
        logged (event_id) as materialized
            (select object_id from main.changes where kind = 'event.logged' and object_id is not null),
        first (position) as (select min(position) from main.events where id in (select event_id from logged)),
        oldest (id, at) as (select id, at from main.changes order by id limit 1)
    select events.id, events.task_id, tasks.project, events.created_at, events.position
    from main.events join main.tasks on tasks.id = events.task_id
    where events.id not in (select event_id from logged)
        and events.position > coalesce((select position from first), 0)
        and case
            when not exists (select 1 from oldest)
                then not exists (select 1 from main.sqlite_sequence where name = 'changes' and seq > 0)
            when (select id from oldest) = 1 then true
            else events.created_at >= (select at from oldest)
        end;

-- The count is of events ever logged, so it never falls.
update tasks set event_count = event_count + added.events
    from (select missed.task_id, count(*) as events from missed join main.tasks on tasks.id = missed.task_id
        where missed.position <= tasks.counted_to group by 1) as added
    where tasks.id = added.task_id
        -- Other triggers count an event than log it, so an event that the log lacks can be counted. In the versions before
        -- `events_counted` one trigger did both.
        and not exists (select 1 from requery_triggers where name = 'events_counted');
update tasks set
    event_count = event_count + (select count(*) from events where task_id = tasks.id and position > counted_to),
    counted_to = max(counted_to, coalesce((select max(position) from events where task_id = tasks.id), 0))
    where exists (select 1 from events where task_id = tasks.id and position > counted_to);
update tasks set event_count = max(event_count, found.events), changed_at = max(changed_at,
        min(found.newest, cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)))
    from (select task_id, count(*) as events, max(created_at) as newest from events group by task_id) as found
    where tasks.id = found.task_id and (event_count < found.events or changed_at < found.newest);
update tasks set listed_at = null where listed_at <> changed_at;

insert into changes (kind, project, task_id, object_id, at)
    select 'event.logged', project, task_id, id, created_at from missed order by position;
drop table missed;

update bookmarks set project = (select project from tasks where id = bookmarks.task_id)
    where project is not (select project from tasks where id = bookmarks.task_id);
update usage set project = (select project from tasks where id = usage.task_id)
    where project is not (select project from tasks where id = usage.task_id);

-- The hours come from the log alone, so they are folded to its end. All figures are counted from the rows.
insert into activity (project, hour, events)
    select project, min(coalesce(happened_at, at), at) / 3600000, count(*) from changes
    where id >= (select next from folded) and kind = 'event.logged' group by 1, 2
    on conflict (project, hour) do update set events = events + excluded.events;
-- Any program can write `sqlite_sequence`, so its value is taken as SQLite takes it.
update folded set deltas = 1, next = 1 + max(0, coalesce((select max(id) from changes), 0),
    coalesce((select cast(seq as integer) from sqlite_sequence where name = 'changes'), 0));
delete from figure_deltas;
delete from figures;
insert into figures (project, figure, value)
    select project, 'tasks.' || status, count(*) from tasks group by project, status
    union all
    select project, 'source.' || source, count(*) from tasks group by project, source
    union all
    select project, 'events', sum(event_count) from tasks group by project
    union all
    select project, 'usage.' || figure, sum(value) from (
        select project, 'answers' as figure, 1 as value from usage
        union all
        select project, 'answers_with_cost', cost_usd_micros is not null from usage
        union all
        select project, 'cost_usd_micros', coalesce(cost_usd_micros, 0) from usage
        union all
        select project, 'input_tokens', input_tokens from usage
        union all
        select project, 'output_tokens', output_tokens from usage
        union all
        select project, 'cache_read_tokens', cache_read_tokens from usage
        union all
        select project, 'cache_write_tokens', cache_write_tokens from usage
    ) where project is not null group by project, figure;

-- A cursor of an earlier run may lack changes that the log does not have, so none continues.
delete from runs;
