-- Version 2: checks of times and places, one project for each tree of tasks, and deletions in steps.
--
-- `{now}` stands for the milliseconds since 1970, `{is_time:column}` for the condition that a column holds milliseconds
-- of the years 1970 to 9999, `{as_time:column}` for the column, or the nearest of 1970 and now if it holds none.

-- First the rows that break the new checks are put right. `repairs` tells the log how many. The triggers of the version
-- before run meanwhile: they log the changes of the columns that they watch.
create temp table repairs (what text not null, rows integer not null);

-- The triggers of the version before compute with `changed_at`, so it comes before the other times. A time after now
-- would keep a task at the top of the list until then.
update tasks set changed_at = max(0, min(changed_at, {now})) where changed_at < 0 or changed_at > {now};
insert into temp.repairs select 'a time of the last change of a task was not between 1970 and now', changes();
update bookmarks set updated_at = max(0, min(updated_at, {now})) where updated_at < 0 or updated_at > {now};
insert into temp.repairs select 'a time of the last change of a bookmark was not between 1970 and now', changes();

update tasks set created_at = {as_time:created_at}, status_since = {as_time:status_since},
    stale_since = {as_time:stale_since}, heard_at = {as_time:heard_at}
    where not ({is_time:created_at}) or not ({is_time:status_since}) or not ({is_time:stale_since})
        or not ({is_time:heard_at});
insert into temp.repairs select 'a time of a task was not between 1970 and 9999', changes();
update sessions set started_at = {as_time:started_at}, ended_at = {as_time:ended_at}
    where not ({is_time:started_at}) or not ({is_time:ended_at});
insert into temp.repairs select 'a time of a session was not between 1970 and 9999', changes();
update events set created_at = {as_time:created_at}, updated_at = {as_time:updated_at}
    where not ({is_time:created_at}) or not ({is_time:updated_at});
insert into temp.repairs select 'a time of an event was not between 1970 and 9999', changes();
update bookmarks set created_at = {as_time:created_at} where not ({is_time:created_at});
insert into temp.repairs select 'the time of a bookmark was not between 1970 and 9999', changes();
update usage set at = {as_time:at} where not ({is_time:at});
insert into temp.repairs select 'the time of an answer was not between 1970 and 9999', changes();

-- An event that stands before the first place, or so far behind that no place follows, gets the next place. The trigger
-- that keeps the places is removed with its record, so that it does not count as dropped by another program.
drop trigger if exists events_stay;
delete from requery_triggers where name = 'events_stay';
create temp table misplaced as
    select position as old_position, row_number() over (order by position)
        + (select coalesce(max(position), 0) from main.events where position between 1 and 1000000000000) as place
    from main.events where position < 1 or position > 1000000000000;
update events set position = place from temp.misplaced where position = old_position;
insert into temp.repairs select 'the place of an event was not between 1 and 1000000000000', changes();
update sqlite_sequence set seq = (select coalesce(max(position), 0) from events)
    where name = 'events' and seq > 1000000000000;
-- The search index knows events by their place.
update searched set next = 0 where exists (select 1 from temp.misplaced);
drop table temp.misplaced;

-- A tree of tasks has one project: that of the task at its top.
create temp table moved as
    with recursive tree (id, project) as (
        select id, project from tasks
        where parent_task_id is null or not exists (select 1 from tasks above where above.id = tasks.parent_task_id)
        union all
        select tasks.id, tree.project from tree join tasks on tasks.parent_task_id = tree.id
    )
    select tree.id, tree.project from tree join tasks on tasks.id = tree.id where tasks.project <> tree.project;
update tasks set project = moved.project from temp.moved as moved where tasks.id = moved.id;
insert into temp.repairs select 'the project of a task was not that of the task above it', changes();
drop table temp.moved;

delete from temp.repairs where rows = 0;
-- No change was logged for some of these columns, so no cursor of an earlier run continues.
delete from runs where exists (select 1 from temp.repairs);

-- How many times the triggers themselves changed the counters and times that they keep in the row. A change of these
-- columns without a step of this one comes from a writer and is taken back.
alter table tasks add column trigger_writes integer not null default 0;

-- SQLite adds no check to a table, and a copy of a large table would take minutes. So the statements of the tables are
-- edited where SQLite keeps them, and the rows stay as they are. The statement of a table that another program made
-- again has other words: its checks stay missing, and the log says so.
pragma writable_schema = on;
update sqlite_schema set sql = replace(replace(replace(replace(replace(replace(sql,
    'status_since integer', 'status_since integer
        constraint status_since_is_in_the_years_1970_to_9999 check ({is_time:status_since})'),
    'changed_at integer', 'changed_at integer
        constraint changed_at_is_in_the_years_1970_to_9999 check ({is_time:changed_at})'),
    'created_at integer', 'created_at integer
        constraint created_at_is_in_the_years_1970_to_9999 check ({is_time:created_at})'),
    'heard_at integer', 'heard_at integer
        constraint heard_at_is_in_the_years_1970_to_9999 check ({is_time:heard_at})'),
    'stale_since integer', 'stale_since integer
        constraint stale_since_is_in_the_years_1970_to_9999 check ({is_time:stale_since})'),
    -- SQLite follows such a reference at most a thousand levels deep. The triggers delete the tree.
    'parent_task_id text references tasks (id) on delete cascade', 'parent_task_id text')
    where type = 'table' and name = 'tasks';
update sqlite_schema set sql = replace(replace(sql,
    'started_at integer', 'started_at integer
        constraint started_at_is_in_the_years_1970_to_9999 check ({is_time:started_at})'),
    'ended_at integer', 'ended_at integer
        constraint ended_at_is_in_the_years_1970_to_9999 check ({is_time:ended_at})')
    where type = 'table' and name = 'sessions';
update sqlite_schema set sql = replace(replace(replace(replace(sql,
    'position integer primary key autoincrement', 'position integer primary key autoincrement
        constraint position_is_1_to_9007199254740991 check (position between 1 and 9007199254740991)'),
    'created_at integer', 'created_at integer
        constraint created_at_is_in_the_years_1970_to_9999 check ({is_time:created_at})'),
    'updated_at integer', 'updated_at integer
        constraint updated_at_is_in_the_years_1970_to_9999 check ({is_time:updated_at})'),
    -- A program that trusts no schema cannot even read a database with this function in a check. A trigger checks it.
    ' constraint metadata_is_a_json_object check (json_type(metadata) = ''object'')', '')
    where type = 'table' and name = 'events';
update sqlite_schema set sql = replace(replace(sql,
    'created_at integer', 'created_at integer
        constraint created_at_is_in_the_years_1970_to_9999 check ({is_time:created_at})'),
    'updated_at integer', 'updated_at integer
        constraint updated_at_is_in_the_years_1970_to_9999 check ({is_time:updated_at})')
    where type = 'table' and name = 'bookmarks';
update sqlite_schema set sql = replace(sql,
    '    at integer', '    at integer constraint at_is_in_the_years_1970_to_9999 check ({is_time:at})')
    where type = 'table' and name = 'usage';
pragma writable_schema = reset;

-- A source has one task for each of its ids in a project. The source and the id come first: hooks look for a task by
-- these two.
drop index if exists tasks_external;
create unique index tasks_external on tasks (source, external_id, project) where external_id is not null;

-- The task that the view `task_tree` starts from, while a trigger moves or deletes the tasks below it. A view that
-- starts from all tasks would cost the size of the table.
create table tree_roots (id text primary key not null) strict, without rowid;

-- The task in `tree_roots` and each task below it, at any depth.
drop view if exists task_tree;
create view task_tree (id) as
    with recursive tree (id) as (
        select id from tree_roots
        union
        select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select id from tree;

-- Deleted tasks whose events the server deletes later, in steps. No reader shows these events.
create table leaving (task_id text primary key not null) strict, without rowid;
