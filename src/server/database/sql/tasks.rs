//! Trees of tasks.

use super::Sql;

/// The number of tasks from the task `?1` up to the root of its tree, counted up to `?2`, and whether the task `?3` is
/// the parent of one of them.
pub const ABOVE: Sql = Sql::new(
    "with recursive up (parent, level) as (
        select parent_task_id, 1 from tasks where id = ?1
        union all
        select tasks.parent_task_id, level + 1 from up join tasks on tasks.id = up.parent where level < ?2
    )
    select max(level) as levels, coalesce(max(parent = ?3), false) as has_id from up",
);

/// Whether a task of the tree at `?1` has the source and external id of a task of the project `?2`.
pub const MEETS_ITSELF: Sql = Sql::new(
    "with recursive tree (id) as (
        select ?1 union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select exists (
        select 1 from tree join tasks on tasks.id = tree.id
            join tasks other on other.source = tasks.source and other.external_id = tasks.external_id
        where other.project = ?2 and other.id <> tasks.id
    )",
);

/// Sets the time of the last change of the task `?1` to `?2`. The step of `trigger_writes` tells the triggers that keep
/// this time to leave it.
pub const SET_CHANGED_AT: Sql =
    Sql::new("update tasks set changed_at = ?2, trigger_writes = (trigger_writes + 1) & 2147483647 where id = ?1");

/// The number of events in the tree at `?1`, counted up to `?2`.
pub const EVENTS_OF_TREE: Sql = Sql::new(
    "with recursive tree (id) as (
        select ?1 union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select count(*) from (select 1 from tree join events on events.task_id = tree.id limit ?2)",
);

/// Leaves the events of the tree at `?1` to later steps, when its tasks are deleted.
pub const LEAVE_EVENTS_OF_TREE: Sql = Sql::new(
    "insert into leaving (task_id)
    with recursive tree (id) as (
        select ?1 union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select id from tree where exists (select 1 from events where task_id = tree.id) on conflict do nothing",
);

/// The first deleted task whose events are not deleted yet.
pub const LEAVING: Sql = Sql::new("select task_id from leaving limit 1");

/// Deletes events of the deleted task `?1`, at most `?2`.
pub const DELETE_LEFT_EVENTS: Sql = Sql::new(
    "delete from events where position in (select position from events where task_id = ?1 limit ?2)
        and not exists (select 1 from tasks where id = ?1)",
);

/// Notes that the deleted task `?1` has no events any more.
pub const FORGET_LEAVING: Sql = Sql::new("delete from leaving where task_id = ?1");

/// Deletes the events with ids in the JSON array `?1` that belong to deleted tasks.
pub const DELETE_LEFT_EVENTS_BY_ID: Sql = Sql::new(
    "delete from events where id in (select value from json_each(?1))
        and not exists (select 1 from tasks where tasks.id = events.task_id)",
);

/// The finished tasks at the top of a tree with the status `?1`, in the project `?2` and in the scope of the project
/// `?5`, with an id above `?3`: at most `?4`. A null value sets no condition.
pub const PURGEABLE_ROOTS: Sql = Sql::new(
    "select id from tasks
    where id > ?3 and status in ('completed', 'errored') and (?1 is null or status = ?1)
        and (?2 is null or project = ?2) and (?5 is null or project = ?5)
        and (parent_task_id is null or not exists (select 1 from tasks above where above.id = tasks.parent_task_id))
    order by id limit ?4",
);

/// Marks the trees at the tasks in the JSON array `?4` that are finished, whose top has the status `?1`, the project `?2`
/// and the project `?5` of the scope, and in which every task ended before `?3`. A null value sets no condition.
pub const MARK_FOR_PURGE: Sql = Sql::new(
    "insert into purging (task_id)
    with recursive tree (root, id) as (
        select id, id from tasks
        where id in (select value from json_each(?4)) and status in ('completed', 'errored')
            and (?1 is null or status = ?1) and (?2 is null or project = ?2) and (?5 is null or project = ?5)
            and (parent_task_id is null
                or not exists (select 1 from tasks above where above.id = tasks.parent_task_id))
        union all
        select tree.root, tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select id from tree where root not in (
        select tree.root from tree join tasks on tasks.id = tree.id
        where tasks.status not in ('completed', 'errored') or (?3 is not null and tasks.status_since >= ?3)
    )",
);

/// Logs for each project the number of tasks that it loses, at the time `?1`.
pub const LOG_PURGES: Sql = Sql::new(
    "insert into purges (project, count, at)
    select project, count(*), ?1 from tasks where id in (select task_id from purging)
    group by project order by project",
);

/// The number of events of the marked tasks, counted up to `?1`.
pub const EVENTS_OF_MARKED: Sql =
    Sql::new("select count(*) from (select 1 from purging join events on events.task_id = purging.task_id limit ?1)");

/// Leaves the events of the marked tasks to later steps.
pub const LEAVE_EVENTS_OF_MARKED: Sql = Sql::new(
    "insert into leaving (task_id) select task_id from purging
    where exists (select 1 from events where task_id = purging.task_id) on conflict do nothing",
);

/// Deletes the marked tasks.
pub const DELETE_MARKED: Sql = Sql::new("delete from tasks where id in (select task_id from purging)");

/// Removes all marks.
pub const UNMARK: Sql = Sql::new("delete from purging");
