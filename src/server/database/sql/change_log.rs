//! The change log: the changes between two positions, and the pruning on SQLite.
//!
//! On Postgres the two values of a part of the log are texts of snapshots.

use super::Sql;

mod postgres;

/// What decides whether the log continues a cursor: whether its run is known, the first change after that run, if a
/// later run began, how many changes the log has from a change on, and the floor of the log, which SQLite does not have.
macro_rules! run_and_rows {
    ($from:literal, $token:literal) => {
        concat!(
            "exists (select 1 from runs where token = ",
            $token,
            ") as is_known,
            (select later.begins from runs run join runs later on later.id > run.id where run.token = ",
            $token,
            " order by later.id limit 1) as ends,
            (select count(*) from changes where id >= ",
            $from,
            ") as rows, null as floor"
        )
    };
}

/// What decides whether the log continues a cursor of the run `?2` from the position `?1` on.
pub const RUN_AND_ROWS: Sql = Sql::both(concat!("select ", run_and_rows!("?1", "?2")), postgres::RUN_AND_ROWS);

/// Deletes folded changes from the old end of the log, at most `?1` rows. The newest change stays.
///
/// The end of the deleted part is a position, because a clock can step and any program can write `at`: a log with a
/// hole would tell a returning client less than has changed. The first change from the time `?2` until the time `?3`
/// ends the part. A change after `?3` was logged while a clock was far ahead. It ends the part only if no later change
/// has a time that can be right: the changes before the last one that is older than `?2` are deleted then.
pub const PRUNE_CHANGES: Sql = Sql::new(
    "with front as materialized (select id, at from changes
        where id < (select next from folded) and id < (select max(id) from changes) order by id limit ?1)
    delete from changes where id <= (select max(id) from front) and id < coalesce(
        (select min(id) from front where at between ?2 and ?3),
        case when exists (select 1 from front where at > ?3) then
            (select id from changes where at between ?2 and ?3 order by id limit 1) end,
        (select max(id) + 1 from front where at < ?2), 0)",
);

/// Deletes deliveries older than the time `?1`, at most `?2` rows.
pub const PRUNE_DELIVERIES: Sql = Sql::both(
    "delete from deliveries where id in (select id from deliveries where at < ? order by at limit ?)",
    "delete from deliveries where id in (
        select id from deliveries where at < $1::bigint order by at limit $2::bigint for update skip locked
    )",
);

/// The different changes from `?1` up to, but without, `?2`, in the project `?3` or in all, at most `?4` of them.
/// SQLite looks each row up among the different ones, so the cost is that of reading the rows, without sorting them,
/// and the statement ends at the limit.
pub const MISSED: Sql = Sql::both(
    "select distinct kind, project, task_id, parent_task_id from changes
    where id >= ?1 and id < ?2 and (?3 is null or project = ?3) limit ?4",
    postgres::MISSED,
);

/// Whether a change has a kind that this version does not know: a newer version wrote it.
macro_rules! is_unknown {
    () => {
        "kind not in ('task.started', 'task.updated', 'task.completed', 'task.deleted', 'tasks.purged',
            'session.started', 'session.ended', 'event.logged', 'event.updated', 'bookmark.saved', 'bookmark.deleted',
            'agent.registered', 'agent.changed')"
    };
}
use is_unknown;

/// The ids in a column of the changes that a condition names, as a JSON array.
macro_rules! ids {
    ($column:literal, $which:literal) => {
        concat!("json_group_array(distinct ", $column, ") filter (where ", $column, " is not null and ", $which, ")")
    };
}

/// The tasks that changed from `?1` up to, but without, `?2` in the project `?4`, or in all, and whether the log does
/// not name all of them: a purge names none.
pub const CHANGED_TASKS: Sql = Sql::both(
    concat!(
        "with part as materialized (
        select distinct kind, task_id from changes where id >= ?1 and id < ?2 and (?4 is null or project = ?4 or ",
        is_unknown!(),
        ")) select coalesce(max(kind = 'tasks.purged' or ",
        is_unknown!(),
        "), 0) as is_vague, ",
        ids!("task_id", "kind in ('task.started', 'task.updated', 'task.completed', 'task.deleted', 'event.logged')"),
        " as ids, ",
        run_and_rows!("?1", "?3"),
        " from part"
    ),
    postgres::CHANGED_TASKS,
);

/// The bookmarks that changed from `?1` up to, but without, `?2` in the project `?4` and of the task `?5`, or of all,
/// and whether the log does not name all of them: a deleted task takes its bookmarks along.
pub const CHANGED_BOOKMARKS: Sql = Sql::both(
    concat!(
        "with part as materialized (
        select kind, task_id, object_id from changes where id >= ?1 and id < ?2 and (",
        is_unknown!(),
        " or (?4 is null or project = ?4)
            and kind in ('tasks.purged', 'task.deleted', 'bookmark.saved', 'bookmark.deleted'))
    ) select coalesce(max(kind in ('tasks.purged', 'task.deleted') or ",
        is_unknown!(),
        "), 0) as is_vague, ",
        ids!("object_id", "kind in ('bookmark.saved', 'bookmark.deleted') and (?5 is null or task_id = ?5)"),
        " as ids, ",
        run_and_rows!("?1", "?3"),
        " from part"
    ),
    postgres::CHANGED_BOOKMARKS,
);

/// The changes from `?1` up to, but without, `?2` that concern the task `?4` or a task below it.
macro_rules! part_of_task {
    () => {
        concat!(
            "with part as materialized (
                select kind, task_id, parent_task_id, object_id, event_class from changes
                where id >= ?1 and id < ?2
                    and (task_id = ?4 or parent_task_id = ?4 or kind = 'tasks.purged' or ",
            is_unknown!(),
            ")) "
        )
    };
}

/// The events of the task `?4` that changed from `?1` up to, but without, `?2`, and whether the log does not name all
/// of them: a task that is replaced or comes back loses its events.
pub const CHANGED_EVENTS: Sql = Sql::both(
    concat!(
        part_of_task!(),
        "select coalesce(max(task_id = ?4 and kind in ('task.started', 'task.deleted') or ",
        is_unknown!(),
        "), 0) as is_vague, ",
        ids!("object_id", "kind in ('event.logged', 'event.updated') and task_id = ?4"),
        " as ids, ",
        run_and_rows!("?1", "?3"),
        " from part"
    ),
    postgres::CHANGED_EVENTS,
);

/// The changes from `?1` up to, but without, `?2` in the detail of the task `?4`: the ids of the rows, and whether the
/// other parts changed. The log does not name all of them where a purge can have taken children, and where an earlier
/// version did not note which row of the task changed.
pub const CHANGED_DETAIL: Sql = Sql::both(
    concat!(
    part_of_task!(),
    "select coalesce(max(kind = 'tasks.purged' or task_id = ?4 and (kind in ('task.started', 'task.deleted')
            or kind = 'task.updated' and object_id is null) or ",
    is_unknown!(),
    "), 0) as is_vague,
        coalesce(max(task_id = ?4 and (kind = 'task.completed' or kind = 'task.updated' and object_id = 'task')), 0) as task,
        coalesce(max(task_id = ?4 and kind = 'task.updated' and object_id = 'usage'), 0) as usage,
        coalesce(max(task_id = ?4 and kind in ('event.logged', 'event.updated')
            and (event_class is null or event_class like '%/file/%')), 0) as files, ",
    ids!("object_id", "kind in ('event.logged', 'event.updated') and task_id = ?4"),
    " as events, ",
    ids!(
        "object_id",
        "task_id = ?4 and (kind in ('session.started', 'session.ended')
            or kind = 'task.updated' and object_id not in ('task', 'usage'))"
    ),
    " as sessions, ",
    ids!(
        "task_id",
        "parent_task_id = ?4 and kind in ('task.started', 'task.updated', 'task.completed', 'task.deleted')"
    ),
    " as children, ",
    run_and_rows!("?1", "?3"),
    " from part"
), postgres::CHANGED_DETAIL);

#[cfg(test)]
mod tests {
    use crate::protocol::NoticeKind;

    #[test]
    fn each_kind_is_known() {
        for kind in NoticeKind::ALL {
            assert!(is_unknown!().contains(&format!("'{}'", kind.as_str())), "{}", kind.as_str());
        }
        assert_eq!(is_unknown!().matches('\'').count(), 2 * NoticeKind::ALL.len());
    }
}
