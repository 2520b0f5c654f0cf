-- Puts right the values that the triggers keep, after writes that fired no trigger. Runs while there are no triggers and
-- no other writer, in the transaction that makes the triggers again. Notes the rows that broke a rule in `repairs`.

create temp table if not exists repairs (what text not null, rows bigint not null) on commit drop;
delete from purging;
delete from folding;

-- Where the foreign keys did not fire, their work.
delete from bookmarks where not exists (select 1 from tasks where id = task_id)
    or event_id is not null and not exists (select 1 from events where id = event_id);
delete from usage where not exists (select 1 from tasks where id = task_id);
delete from sessions where not exists (select 1 from tasks where id = task_id);
delete from events where not exists (select 1 from tasks where id = task_id);

-- The circles (a walk through a tree has `offset 0`, see `trees.sql`): no task at the top leads to their tasks. The oldest task of a circle, which has the smallest id, gets to the
-- top of its tree.
do $$
declare
    start text;
    top text;
    cut bigint := 0;
begin
    loop
        with recursive tree (id) as (
            select id from tasks where parent_task_id is null
                or not exists (select 1 from tasks above where above.id = tasks.parent_task_id)
            union all
            select next.id from tree cross join lateral
                (select tasks.id from tasks where tasks.parent_task_id = tree.id offset 0) next
        )
        select min(id) into start from tasks where id not in (select id from tree);
        exit when start is null;
        -- The walk up from any task ends in its circle: the tasks of the circle are those that lead to themselves.
        with recursive above (start, id) as (
            select start collate "C", start collate "C"
            union
            select above.start, next.parent_task_id from above cross join lateral
                (select tasks.parent_task_id from tasks where tasks.id = above.id offset 0) next
        ), circle (id) as (
            select parent_task_id from tasks where id = (select id from above offset (select count(*) - 1 from above))
            union
            select next.parent_task_id from circle cross join lateral
                (select tasks.parent_task_id from tasks where tasks.id = circle.id offset 0) next
        )
        select min(id) into top from circle;
        update tasks set parent_task_id = null where id = top;
        cut := cut + 1;
    end loop;
    if cut > 0 then
        insert into repairs values ('a task was below itself, and is at the top of its tree now', cut);
    end if;
end
$$;

-- A tree has the project of the task at its top. A task that meets another one of the same source and external id there
-- loses its external id: hooks go on with the other task.
create temp table moved on commit drop as
    with recursive tree (id, project) as (
        select id, project from tasks where parent_task_id is null
            or not exists (select 1 from tasks above where above.id = tasks.parent_task_id)
        union all
        select next.id, tree.project from tree cross join lateral
            (select tasks.id from tasks where tasks.parent_task_id = tree.id offset 0) next
    )
    select tree.id, tree.project, tasks.source, tasks.external_id
    from tree join tasks on tasks.id = tree.id where tasks.project <> tree.project;
update tasks set project = moved.project, external_id = null from moved where tasks.id = moved.id;
update tasks set external_id = moved.external_id from moved
    where tasks.id = moved.id and moved.external_id is not null
        and not exists (select 1 from tasks other where other.source = moved.source
            and other.external_id = moved.external_id and other.project = moved.project)
        and not exists (select 1 from moved other where other.source = moved.source
            and other.external_id = moved.external_id and other.project = moved.project and other.id < moved.id);
insert into repairs select 'the project of a task was not that of the task above it', count(*) from moved having count(*) > 0;

-- Events that the log should have and does not have. An event that is older than a log that was pruned is not missed.
create temp table missed on commit drop as
    select events.id, events.task_id, tasks.project, events.created_at, events.position,
        events.kind || '/' || coalesce(events.family, '') || '/' || coalesce(events.lane, '') as class
    from events join tasks on tasks.id = events.task_id
    where not exists (select 1 from changes where kind = 'event.logged' and object_id = events.id)
        and events.position > coalesce((select min(position) from events logged
            where id in (select object_id from changes where kind = 'event.logged')), 0)
        and ((select snapshot from floor limit 1) = '1:1:' or events.created_at >= (select min(at) from changes));

-- The log is folded to its end: no other transaction is in the middle of a write to it. The rows of the missed events come
-- after this, so they are folded later.
create temp table counted on commit drop as
    select counts.id, counts.event_count, counts.changed_at, coalesce(found.events, 0) - coalesce(lost.events, 0) as events
    from task_counts counts
    left join (select task_id, count(*) as events from events group by task_id) found on found.task_id = counts.id
    left join (select task_id, count(*) as events from missed group by task_id) lost on lost.task_id = counts.id;
insert into activity (project, hour, events)
    select project, least(happened_at, at) / 3600000, count(*) from changes, folded
    where kind = 'event.logged' and (xid >= pg_snapshot_xmax(next::pg_snapshot)
        or xid = any (array(select pg_snapshot_xip(next::pg_snapshot) from folded))) group by 1, 2
    on conflict (project, hour) do update set events = activity.events + excluded.events;
delete from folded;
-- The snapshot of a transaction can contain its own number, and the changes of this one are folded later.
insert into folded (next)
    select least(pg_snapshot_xmin(now), own)::text || ':' || pg_snapshot_xmax(now)::text || ':' || coalesce(
        (select string_agg(running::text, ',' order by running)
            from (select pg_snapshot_xip(now) as running union select own) it where running < pg_snapshot_xmax(now)), '')
    from (select pg_current_snapshot() as now, pg_current_xact_id() as own) it;
delete from counts_pending;
update tasks set event_count = greatest(counted.event_count, counted.events),
        changed_at = least(counted.changed_at, now_ms()), listed_at = least(counted.changed_at, now_ms()), given = 0
    from counted where tasks.id = counted.id and (tasks.event_count, tasks.changed_at, tasks.listed_at, tasks.given)
        is distinct from (greatest(counted.event_count, counted.events), least(counted.changed_at, now_ms()),
            least(counted.changed_at, now_ms()), 0);
insert into changes (kind, project, task_id, object_id, at, happened_at, event_class)
    select 'event.logged', project, task_id, id, least(created_at, now_ms()), created_at, class from missed
    order by position;

update bookmarks set project = tasks.project from tasks
    where tasks.id = task_id and bookmarks.project is distinct from tasks.project;
update usage set project = tasks.project from tasks
    where tasks.id = task_id and usage.project is distinct from tasks.project;

-- The next event gets the place after those that no trigger took. A greater place than a writer may choose would leave no
-- place for the next event, so it does not count.
select setval('events_position_seq', max(position)) from events where position <= 1000000000000
    having max(position) > coalesce(pg_sequence_last_value('events_position_seq'), 0);

-- All figures are counted from the rows.
delete from figure_deltas;
delete from figures;
insert into figures (project, figure, value)
    select project, 'tasks.' || status, count(*) from tasks group by project, status
    union all
    select project, 'source.' || source, count(*) from tasks group by project, source
    union all
    select project, 'events', sum(event_count) from tasks group by project
    union all
    select usage.project, 'usage.' || each.figure, sum(each.value) from usage cross join lateral (values
        ('answers', 1), ('answers_with_cost', (cost_usd_micros is not null)::int),
        ('cost_usd_micros', coalesce(cost_usd_micros, 0)), ('input_tokens', input_tokens),
        ('output_tokens', output_tokens), ('cache_read_tokens', cache_read_tokens),
        ('cache_write_tokens', cache_write_tokens)) each (figure, value)
    group by usage.project, each.figure;

-- A cursor may lack changes that the log does not have, so none continues. The search index walks all rows again.
delete from epoch;
insert into epoch (token) values (fresh_id());
update searched set next = '', partly = null, step = step + 1;
drop table moved, missed, counted;
