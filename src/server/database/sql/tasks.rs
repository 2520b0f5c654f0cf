//! Trees of tasks.

use super::Sql;

/// The number of tasks from the task `?1` up to the root of its tree, counted up to `?2`.
pub const DEPTH: Sql = Sql::new(
    "with recursive up (parent, depth) as (
        select parent_task_id, 1 from tasks where id = ?1
        union all
        select tasks.parent_task_id, depth + 1 from up join tasks on tasks.id = up.parent where depth < ?2
    )
    select max(depth) as depth from up",
);

/// Marks the finished trees whose root has the status `?1` and the project `?2`, and in which every task ended before
/// `?3`. A null value sets no condition.
pub const MARK_FOR_PURGE: Sql = Sql::new(
    "insert into purging (task_id)
    with recursive tree (root, id) as (
        select id, id from tasks
        where status in ('completed', 'errored') and (?1 is null or status = ?1) and (?2 is null or project = ?2)
            and (parent_task_id is null or parent_task_id not in (select id from tasks))
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

/// Deletes the marked tasks that have no tasks below them.
///
/// The leaves go first. Deleting a task with tasks below it runs a trigger that deletes these too, and SQLite stops
/// triggers that nest a thousand levels deep.
pub const DELETE_MARKED_LEAVES: Sql = Sql::new(
    "delete from tasks where id in (select task_id from purging)
        and not exists (select 1 from tasks below where below.parent_task_id = tasks.id)",
);

/// Removes the marks of deleted tasks.
pub const UNMARK_DELETED: Sql = Sql::new("delete from purging where task_id not in (select id from tasks)");
