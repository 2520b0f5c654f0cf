-- The count of the events of a task, at no cost for an event. Each event changed the row of its task, which was a third of
-- the cost of the triggers in a transaction of one event.

-- The position of the last event that `event_count` and `changed_at` contain. A reader adds the events behind it, see
-- `task_counts`. The triggers count them into the row when one of them goes or gets another time, and with every 32nd
-- event or so. A task that has a place in the lists has none.
alter table tasks add column counted_to integer not null default 0;
update tasks set counted_to = coalesce((select max(position) from events where task_id = tasks.id), 0);

-- With the time, so that a reader takes both from the index.
drop index if exists events_task;
create index events_task on events (task_id, position, created_at);

-- The number of the events ever logged on each task, and the time of its last change.
create view task_counts (id, event_count, changed_at) as
    select id,
        event_count + (select count(*) from events where task_id = tasks.id and position > counted_to),
        max(changed_at, coalesce(
            (select max(created_at) from events where task_id = tasks.id and position > counted_to), 0))
    from tasks;

-- `trigger_writes` has no use any more. SQLite drops no column that a trigger names, and the triggers of the version
-- before name it.
