//! Trees of tasks.

use sea_orm::DbBackend;
use sea_orm::sea_query::{Alias, Expr, Func};

use super::Sql;

mod postgres;
pub use postgres::moved;

/// The number of tasks from the task `?1` up to the root of its tree, counted up to `?2`, and whether the task `?3` is
/// the parent of one of them.
pub const ABOVE: Sql = Sql::both(
    "with recursive up (parent, level) as (
        select parent_task_id, 1 from tasks where id = ?1
        union all
        select tasks.parent_task_id, level + 1 from up join tasks on tasks.id = up.parent where level < ?2
    )
    select max(level) as levels, coalesce(max(parent = ?3), false) as has_id from up",
    postgres::ABOVE,
);

/// 1 if the project `?1` has a task, otherwise 0.
pub const PROJECT_HAS_TASKS: Sql = Sql::both(
    "select exists (select 1 from tasks where project = ?1)",
    "select (exists (select 1 from tasks where project = $1::text))::int::bigint",
);

/// The tasks in the JSON array `?1` that are in another project than `?2`.
pub const OF_OTHER_PROJECTS: Sql = Sql::both(
    "select id from tasks where id in (select value from json_each(?1)) and project <> ?2",
    postgres::OF_OTHER_PROJECTS,
);

/// Whether a task of the tree at `?1` has the source and external id of a task of the project `?2`.
pub const MEETS_ITSELF: Sql = Sql::both(
    "with recursive tree (id) as (
        select ?1 union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select exists (
        select 1 from tree join tasks on tasks.id = tree.id
            join tasks other on other.source = tasks.source and other.external_id = tasks.external_id
        where other.project = ?2 and other.id <> tasks.id
    )",
    postgres::MEETS_ITSELF,
);

/// The events of a task that its row does not contain yet, from the table `tasks`. They are some 32.
macro_rules! uncounted {
    ($value:literal) => {
        concat!("(select ", $value, " from events where task_id = tasks.id and position > tasks.counted_to)")
    };
}

/// The time of the last change of a task, from the table `tasks`, as in the view `task_counts`. The view would look up
/// the row of the task again.
macro_rules! time_of_change {
    () => {
        concat!("max(tasks.changed_at, coalesce(", uncounted!("max(created_at)"), ", 0))")
    };
}
pub(super) use {time_of_change, uncounted};

/// The time of the last change of a task.
pub fn changed_at(backend: DbBackend) -> Expr {
    Expr::cust(match backend {
        DbBackend::Postgres => postgres::TIME_OF_CHANGE,
        _ => time_of_change!(),
    })
}

/// The number of the events ever logged on a task.
pub fn event_count(backend: DbBackend) -> Expr {
    Expr::cust(match backend {
        DbBackend::Postgres => postgres::EVENT_COUNT,
        _ => concat!("tasks.event_count + ", uncounted!("count(*)")),
    })
}

/// The columns `id` and `at` of the rows of a query as a JSON array of pairs.
pub fn pairs(backend: DbBackend) -> Expr {
    match backend {
        DbBackend::Postgres => Expr::cust("coalesce(jsonb_agg(jsonb_build_array(id, at)), '[]')::text"),
        _ => {
            let pair = Func::cust("json_array").args([Expr::col(Alias::new("id")), Expr::col(Alias::new("at"))]);
            Func::cust("json_group_array").arg(pair).into()
        }
    }
}

/// The condition that a task has no place in the indexes of the lists and last changed before the time `?2`.
macro_rules! is_quiet {
    () => {
        concat!("tasks.listed_at is null and ", time_of_change!(), " < ?2")
    };
}

/// The number of the quiet tasks without a place in the indexes of the lists, counted up to `?1`.
pub const UNLISTED: Sql =
    Sql::new(concat!("select count(*) from (select 1 from tasks where ", is_quiet!(), " limit ?1)"));

/// The number of the events of these tasks that their rows do not contain yet, counted up to `?1`.
pub const UNCOUNTED: Sql = Sql::new(concat!(
    "select count(*) from (
        select 1 from tasks cross join events on events.task_id = tasks.id and events.position > tasks.counted_to
        where ",
    is_quiet!(),
    " limit ?1)"
));

/// Statements for `?1` of these tasks. In no order: to sort them, each step would read all of them while it holds the
/// write lock.
macro_rules! update_quiet {
    ($set:literal, $which:literal) => {
        Sql::new(concat!(
            "update tasks set ",
            $set,
            " where id in (select id from tasks where ",
            is_quiet!(),
            " and ",
            $which,
            uncounted!("1"),
            " limit ?1)"
        ))
    };
}

/// Counts the events of quiet tasks into their rows.
pub const COUNT: Sql = update_quiet!("counted_to = counted_to", "exists ");

/// Gives quiet tasks whose events are counted their place in the indexes of the lists.
pub const LIST: Sql = update_quiet!("listed_at = changed_at", "not exists ");

/// Sets the time of the last change of the task `?1` to `?2`, between [`SETTLE`] and [`SETTLED`].
pub const SET_CHANGED_AT: Sql = Sql::both("update tasks set changed_at = ?2 where id = ?1", postgres::SET_CHANGED_AT);

/// Notes the row `?1`, so that the triggers leave the columns that they keep in it.
pub const SETTLE: Sql = Sql::both("insert into settling (id) values (?1)", postgres::SETTLE);

/// Removes the note of the row `?1`.
pub const SETTLED: Sql = Sql::both("delete from settling where id = ?1", postgres::SETTLED);

/// The common table `tree (id)`: the tasks in the JSON array `?1`, in the scope of the project `?2`, and each task
/// below them. A null value sets no scope.
macro_rules! with_trees {
    () => {
        "with recursive tree (id) as (
            select id from tasks where id in (select value from json_each(?1)) and (?2 is null or project = ?2)
            union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
        ) "
    };
}

/// The number of events, answers, sessions and bookmarks of the tasks in a table, counted up to a limit.
macro_rules! count_rows {
    ($tasks:literal, $id:literal, $limit:literal) => {
        concat!(
            "select count(*) from (
                select 1 from ",
            $tasks,
            " join events on events.task_id = ",
            $id,
            " union all select 1 from ",
            $tasks,
            " join usage on usage.task_id = ",
            $id,
            " union all select 1 from ",
            $tasks,
            " join sessions on sessions.task_id = ",
            $id,
            " union all select 1 from ",
            $tasks,
            " join bookmarks on bookmarks.task_id = ",
            $id,
            " limit ",
            $limit,
            ")"
        )
    };
}

/// The tasks of the tree at `?1`, in the scope of the project `?2`, at most `?3`. A task comes before the tasks below
/// it.
pub const TREE: Sql = Sql::both(
    "with recursive tree (id) as (
        select id from tasks where id = ?1 and (?2 is null or project = ?2)
        union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select id from tree limit ?3",
    postgres::TREE,
);

/// The number of rows that belong to the trees at the tasks in the JSON array `?1`, in the scope of the project `?2`,
/// counted up to `?3`.
pub const ROWS_OF_TREES: Sql = Sql::new(concat!(with_trees!(), count_rows!("tree", "tree.id", "?3")));

/// Leaves the rows of the trees at the tasks in the JSON array `?1`, in the scope of the project `?2`, to later steps,
/// when the tasks are deleted.
pub const LEAVE_ROWS_OF_TREES: Sql = Sql::new(concat!(
    "insert into leaving (task_id) ",
    with_trees!(),
    "select id from tree where true on conflict do nothing"
));

/// Deletes the tasks in the JSON array `?1`, in the scope of the project `?2`, with the tasks below them.
pub const DELETE_TREES: Sql = Sql::both(
    "delete from tasks where id in (select value from json_each(?1)) and (?2 is null or project = ?2)",
    postgres::DELETE_TREES,
);

/// The files that the newest `?2` changes of files of the task `?1` name, the last changed first, at most `?3`. An
/// event names one file in `file_path`, or several in `file_paths`. Metadata that is no JSON names none: a table that
/// another program made anew has no check.
pub const TOUCHED_FILES: Sql = Sql::both(
    "with change (position, at, paths) as (
        select position, updated_at, case when not json_valid(metadata) then '[]'
            when json_type(metadata, '$.file_paths') = 'array' then json_extract(metadata, '$.file_paths')
            else json_array(json_extract(metadata, '$.file_path')) end
        from events where task_id = ?1 and family = 'file' and state = 'ok'
        order by position desc limit ?2
    )
    select path.value as path, count(*) as changes, max(change.at) as changed_at
    from change, json_each(change.paths) as path where path.type = 'text'
    group by path.value order by max(change.position) desc, path.value limit ?3",
    postgres::TOUCHED_FILES,
);

/// Whether the rows of a deleted task are left.
pub const IS_LEAVING: Sql = Sql::new("select exists (select 1 from leaving)");

/// Deletes rows of a table that belong to the first `?1` tasks in `leaving`, at most `?2` rows.
macro_rules! delete_left {
    ($table:literal, $key:literal, $columns:literal) => {
        Sql::new(concat!(
            "delete from ",
            $table,
            " where ",
            $key,
            " in (select ",
            $columns,
            " from (select task_id from leaving order by task_id limit ?1) gone
                cross join ",
            $table,
            " of_task on of_task.task_id = gone.task_id
            where not exists (select 1 from tasks where tasks.id = gone.task_id) limit ?2)"
        ))
    };
}

/// Delete the rows of the first `?1` tasks in `leaving`, each at most `?2` rows of one table.
pub const DELETE_LEFT_ROWS: [Sql; 4] = [
    delete_left!("events", "position", "of_task.position"),
    delete_left!("usage", "(task_id, answer_id)", "of_task.task_id, of_task.answer_id"),
    delete_left!("sessions", "rowid", "of_task.rowid"),
    delete_left!("bookmarks", "rowid", "of_task.rowid"),
];

/// Removes the first `?1` tasks from `leaving`: they have no rows any more.
pub const FORGET_LEAVING: Sql =
    Sql::new("delete from leaving where task_id in (select task_id from leaving order by task_id limit ?1)");

/// Deletes the events with ids in the JSON array `?1` that belong to deleted tasks.
pub const DELETE_LEFT_EVENTS_BY_ID: Sql = Sql::new(
    "delete from events where id in (select value from json_each(?1))
        and not exists (select 1 from tasks where tasks.id = events.task_id)",
);

/// Deletes the bookmarks of deleted tasks that have one of the ids in the JSON array `?1`, or that mark an event with
/// one.
pub const DELETE_LEFT_BOOKMARKS_BY_ID: Sql = Sql::new(
    "delete from bookmarks
    where (id in (select value from json_each(?1)) or event_id in (select value from json_each(?1)))
        and not exists (select 1 from tasks where tasks.id = bookmarks.task_id)",
);

/// Deletes the sessions with ids in the JSON array `?1` that belong to deleted tasks.
pub const DELETE_LEFT_SESSIONS_BY_ID: Sql = Sql::new(
    "delete from sessions where id in (select value from json_each(?1))
        and not exists (select 1 from tasks where tasks.id = sessions.task_id)",
);

/// The finished tasks at the top of a tree with the status `?1`, in the project `?2` and in the scope of the project
/// `?5`, with an id above `?3`: at most `?4`. A null value sets no condition.
pub const PURGEABLE_ROOTS: Sql = Sql::both(
    "select id from tasks
    where id > ?3 and status in ('completed', 'errored') and (?1 is null or status = ?1)
        and (?2 is null or project = ?2) and (?5 is null or project = ?5)
        and (parent_task_id is null or not exists (select 1 from tasks above where above.id = tasks.parent_task_id))
    order by id limit ?4",
    postgres::PURGEABLE_ROOTS,
);

/// The `root` and the `id` of each task in the trees at the tasks in the JSON array `?4` that are finished, whose top
/// has the status `?1`, the project `?2` and the project `?5` of the scope, and in which every task ended before `?3`.
/// A null value sets no condition.
macro_rules! purgeable_trees {
    ($columns:literal) => {
        concat!(
            "with recursive tree (root, id) as (
                select id, id from tasks
                where id in (select value from json_each(?4)) and status in ('completed', 'errored')
                    and (?1 is null or status = ?1) and (?2 is null or project = ?2) and (?5 is null or project = ?5)
                    and (parent_task_id is null
                        or not exists (select 1 from tasks above where above.id = tasks.parent_task_id))
                union all
                select tree.root, tasks.id from tree join tasks on tasks.parent_task_id = tree.id
            )
            select ",
            $columns,
            " from tree where root not in (
                select tree.root from tree join tasks on tasks.id = tree.id
                where tasks.status not in ('completed', 'errored') or (?3 is not null and tasks.status_since >= ?3)
            )"
        )
    };
}

/// The tasks that a purge deletes: see [`MARK_FOR_PURGE`]. A task comes before the tasks below it.
pub const PURGEABLE: Sql = Sql::both(purgeable_trees!("root, id"), postgres::PURGEABLE);

/// Locks the tasks of the trees at the tasks in the JSON array `?1`, on an engine with several writers.
pub const LOCK_TREES: Sql = Sql::postgres(postgres::LOCK_TREES);

/// Marks the tasks of the trees at the tasks in the JSON array `?4` that are finished, whose top has the status `?1`,
/// the project `?2` and the project `?5` of the scope, and in which every task ended before `?3`. A null value sets no
/// condition.
pub const MARK_FOR_PURGE: Sql =
    Sql::both(concat!("insert into purging (task_id) ", purgeable_trees!("id")), postgres::MARK_FOR_PURGE);

/// Marks the tasks in the JSON array `?2` that are finished, in the scope of the project `?3`, ended before `?1`, and
/// have no task below them that is not in the array. A null value sets no condition.
pub const MARK_PART_FOR_PURGE: Sql = Sql::both(
    "insert into purging (task_id)
    with part (id) as materialized (select value from json_each(?2))
    select tasks.id from part join tasks on tasks.id = part.id
    where tasks.status in ('completed', 'errored') and (?1 is null or tasks.status_since < ?1)
        and (?3 is null or tasks.project = ?3)
        and not exists (
            select 1 from tasks below where below.parent_task_id = tasks.id and below.id not in (select id from part)
        )",
    postgres::MARK_PART_FOR_PURGE,
);

/// Logs for each project the number of tasks that it loses, at the time `?1`.
pub const LOG_PURGES: Sql = Sql::both(
    "insert into purges (project, count, at)
    select project, count(*), ?1 from tasks where id in (select task_id from purging)
    group by project order by project",
    postgres::LOG_PURGES,
);

/// The number of rows that belong to the marked tasks, counted up to `?1`.
pub const ROWS_OF_MARKED: Sql = Sql::new(count_rows!("purging", "purging.task_id", "?1"));

/// Leaves the rows of the marked tasks to later steps.
pub const LEAVE_ROWS_OF_MARKED: Sql =
    Sql::new("insert into leaving (task_id) select task_id from purging where true on conflict do nothing");

/// Deletes the marked tasks.
pub const DELETE_MARKED: Sql = Sql::same("delete from tasks where id in (select task_id from purging)");

/// Removes all marks.
pub const UNMARK: Sql = Sql::same("delete from purging");

/// The positions of the newest events of the task `?1` before the position `?2`, at most `?3`, as a JSON array. Only
/// the index is read.
pub const POSITIONS: Sql = Sql::both(
    "select json_group_array(position) from (select position from events
        where task_id = ?1 and position < coalesce(?2, 9223372036854775807) order by position desc limit ?3)",
    postgres::POSITIONS,
);

/// The number of sessions and of children of the task `?1`.
pub const COUNTS: Sql = Sql::both(
    "select (select count(*) from sessions where task_id = ?1) as sessions,
        (select count(*) from tasks where parent_task_id = ?1) as children",
    postgres::COUNTS,
);
