//! The statements about the change log for Postgres.
//!
//! The number of the changes between two snapshots is not known before they are counted. So a statement that names
//! changed rows looks at some 500 changes, and says where there are more that it does not name all of them.

use super::super::postgres::{log_after, log_between};
use super::is_unknown;

/// What decides whether the log continues a cursor: whether the epoch is that of a token, how many changes the log has
/// after the cursor, and the floor of the log. The end of a run is a matter of SQLite.
macro_rules! epoch_and_rows {
    ($token:literal, $rows:expr) => {
        concat!(
            "exists (select 1 from epoch where token = ",
            $token,
            "::text) as is_known, null::bigint as ends, (select count(*) from (",
            $rows,
            ") as counted) as rows, (select snapshot from floor) as floor"
        )
    };
}

/// The rows are counted up to one more than `limits::RESUME_CHANGES`.
pub(super) const RUN_AND_ROWS: &str = concat!(
    "select ",
    epoch_and_rows!(
        "$2",
        concat!("select 1 from (", log_after!("1", "$1::text::pg_snapshot", ""), ") as log limit 100001")
    )
);

pub(super) const MISSED: &str = concat!(
    "select distinct kind, project, task_id, parent_task_id from (",
    log_between!("kind, project, task_id, parent_task_id"),
    ") as part where $3::text is null or project = $3::text limit $4::bigint"
);

/// The common tables `log`, with one row more than `limits::SINCE_CHANGES` of the changes between `$1` and `$2`, and
/// `part`, the rows of it that a condition names. Then the beginning of the query, up to a condition for the rows that
/// make the answer vague.
macro_rules! part {
    ($which:expr) => {
        concat!(
            "with log as materialized (select * from (",
            log_between!("kind, project, task_id, parent_task_id, object_id, event_class"),
            ") as log limit 501), part as materialized (select * from log where ",
            $which,
            ") select (select count(*) from log) > 500 or coalesce(bool_or(",
            is_unknown!(),
            " or "
        )
    };
}

/// The end of that query. The rows are those of `log`: `$2` is the snapshot of the transaction.
macro_rules! of_part {
    () => {
        concat!(epoch_and_rows!("$3", "select 1 from log"), " from part")
    };
}

/// The ids in a column of the changes that a condition names, as a JSON array.
macro_rules! ids {
    ($column:literal, $which:literal) => {
        concat!(
            "coalesce(jsonb_agg(distinct ",
            $column,
            ") filter (where ",
            $column,
            " is not null and ",
            $which,
            "), '[]')::text"
        )
    };
}

pub(super) const CHANGED_TASKS: &str = concat!(
    part!(concat!("$4::text is null or project = $4::text or ", is_unknown!())),
    "kind = 'tasks.purged'), false) as is_vague, ",
    ids!("task_id", "kind in ('task.started', 'task.updated', 'task.completed', 'task.deleted', 'event.logged')"),
    " as ids, ",
    of_part!()
);

pub(super) const CHANGED_BOOKMARKS: &str = concat!(
    part!(concat!(
        is_unknown!(),
        " or ($4::text is null or project = $4::text)
            and kind in ('tasks.purged', 'task.deleted', 'bookmark.saved', 'bookmark.deleted')"
    )),
    "kind in ('tasks.purged', 'task.deleted')), false) as is_vague, ",
    ids!("object_id", "kind in ('bookmark.saved', 'bookmark.deleted') and ($5::text is null or task_id = $5::text)"),
    " as ids, ",
    of_part!()
);

/// The condition that a change concerns the task `$4` or a task below it.
macro_rules! concerns_task {
    () => {
        concat!("task_id = $4::text or parent_task_id = $4::text or kind = 'tasks.purged' or ", is_unknown!())
    };
}

pub(super) const CHANGED_EVENTS: &str = concat!(
    part!(concerns_task!()),
    "task_id = $4::text and kind in ('task.started', 'task.deleted')), false) as is_vague, ",
    ids!("object_id", "kind in ('event.logged', 'event.updated') and task_id = $4::text"),
    " as ids, ",
    of_part!()
);

pub(super) const CHANGED_DETAIL: &str = concat!(
    part!(concerns_task!()),
    "kind = 'tasks.purged' or task_id = $4::text and (kind in ('task.started', 'task.deleted')
            or kind = 'task.updated' and object_id is null)), false) as is_vague,
        coalesce(bool_or(task_id = $4::text
            and (kind = 'task.completed' or kind = 'task.updated' and object_id = 'task')), false) as task,
        coalesce(bool_or(task_id = $4::text and kind = 'task.updated' and object_id = 'usage'), false) as usage,
        coalesce(bool_or(task_id = $4::text and kind in ('event.logged', 'event.updated')
            and (event_class is null or event_class like '%/file/%')), false) as files, ",
    ids!("object_id", "kind in ('event.logged', 'event.updated') and task_id = $4::text"),
    " as events, ",
    ids!(
        "object_id",
        "task_id = $4::text and (kind in ('session.started', 'session.ended')
            or kind = 'task.updated' and object_id not in ('task', 'usage'))"
    ),
    " as sessions, ",
    ids!(
        "task_id",
        "parent_task_id = $4::text and kind in ('task.started', 'task.updated', 'task.completed', 'task.deleted')"
    ),
    " as children, ",
    of_part!()
);

#[cfg(test)]
mod tests {
    use crate::protocol::limits;

    #[test]
    fn the_literals_are_the_limits() {
        assert!(super::RUN_AND_ROWS.contains(&format!("limit {})", limits::RESUME_CHANGES + 1)));
        let part = super::CHANGED_TASKS;
        assert!(part.contains(&format!("limit {})", limits::SINCE_CHANGES + 1)));
        assert!(part.contains(&format!("> {} ", limits::SINCE_CHANGES)));
    }
}
