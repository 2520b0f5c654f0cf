//! Trees of tasks, and the counts and times of tasks, for Postgres.
//!
//! The row of a task lacks some of its events: those of the log that is not folded, and those in `counts_pending`, which
//! the fold put there because the row was locked.

use sea_orm::sea_query::{Alias, Expr, Query, SelectStatement, UnionType};

use super::super::postgres::{folded, is_among, log_after};

/// The logged events of the task of the table `tasks` that are not folded: an expression for each.
macro_rules! unfolded_events {
    ($columns:literal) => {
        log_after!($columns, folded!(), "and task_id = tasks.id and kind = 'event.logged'")
    };
}

/// The time of the last change of a task, from the table `tasks`, as in the view `task_counts`.
pub(super) const TIME_OF_CHANGE: &str = concat!(
    "greatest(tasks.changed_at, (select max(changed_at) from counts_pending where task_id = tasks.id),
        (select max(moment) from (",
    unfolded_events!("least(happened_at, at) as moment"),
    ") as unfolded))"
);

/// The number of the events ever logged on a task, from the table `tasks`.
pub(super) const EVENT_COUNT: &str = concat!(
    "tasks.event_count + coalesce((select sum(events)::bigint from counts_pending where task_id = tasks.id), 0)
        + (select count(*) from (",
    unfolded_events!("1"),
    ") as unfolded)"
);

/// The tasks whose rows lack events, each with the time of the newest of these events: the columns `task_id` and `at`. A
/// task can be deleted already.
pub fn moved() -> SelectStatement {
    let of_log = |which: &'static str| {
        let mut rows = Query::select();
        rows.expr(Expr::cust("task_id")).expr(Expr::cust("least(happened_at, at)")).from(Alias::new("changes"));
        rows.and_where(Expr::cust("kind = 'event.logged'")).and_where(Expr::cust(which)).take()
    };
    let mut times = Query::select();
    times.expr(Expr::cust("task_id")).expr(Expr::cust("changed_at as moment")).from(Alias::new("counts_pending"));
    times.union(UnionType::All, of_log(concat!("xid >= pg_snapshot_xmax(", folded!(), ")")));
    times.union(UnionType::All, of_log(concat!("xid = any (array(select pg_snapshot_xip(", folded!(), ")))")));
    let mut moved = Query::select();
    moved.expr(Expr::cust("task_id")).expr(Expr::cust("max(moment) as at")).from_subquery(times, Alias::new("times"));
    moved.and_where(Expr::cust("task_id is not null")).add_group_by([Expr::cust("task_id")]).take()
}

pub(super) const ABOVE: &str = "with recursive up (parent, level) as (
        select parent_task_id, 1::bigint from tasks where id = $1::text
        union all
        select tasks.parent_task_id, level + 1 from up join tasks on tasks.id = up.parent where level < $2::bigint
    )
    select coalesce(max(level), 0) as levels, coalesce(bool_or(parent = $3::text), false) as has_id from up";

pub(super) const OF_OTHER_PROJECTS: &str =
    concat!("select id from tasks where id ", is_among!("$1"), " and project <> $2::text");

pub(super) const MEETS_ITSELF: &str = r#"with recursive tree (id) as (
        select $1::text collate "C" union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select (exists (
        select 1 from tree join tasks on tasks.id = tree.id
            join tasks other on other.source = tasks.source and other.external_id = tasks.external_id
        where other.project = $2::text and other.id <> tasks.id
    ))::int::bigint"#;

/// The transaction may set the time until [`SETTLED`].
pub(super) const SETTLE: &str = "insert into folding select pg_current_xact_id() where $1::text is not null";

pub(super) const SET_CHANGED_AT: &str = "update tasks set changed_at = $2::bigint where id = $1::text";

pub(super) const SETTLED: &str = "delete from folding where xid = pg_current_xact_id() and $1::text is not null";

pub(super) const TREE: &str = "with recursive tree (id) as (
        select id from tasks where id = $1::text and ($2::text is null or project = $2::text)
        union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select id from tree limit $3::bigint";

pub(super) const DELETE_TREES: &str =
    concat!("delete from tasks where id ", is_among!("$1"), " and ($2::text is null or project = $2::text)");

/// The metadata of an event as JSON. The check of the column lets two escapes in that a function on JSON refuses: that of
/// NUL, and that of half a surrogate pair. Each becomes U+FFFD.
macro_rules! readable_metadata {
    () => {
        r"case when metadata ~ '\\u(0000|[dD][89a-fA-F])' then
            regexp_replace(regexp_replace(replace(metadata, '\u0000', '\ufffd'),
                '\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})', '\\ufffd', 'g'),
                '(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}', '\\ufffd', 'g')
            else metadata end::json"
    };
}

pub(super) const TOUCHED_FILES: &str = concat!(
    "with change (position, at, metadata) as materialized (
        select position, updated_at, ",
    readable_metadata!(),
    " from events where task_id = $1::text and family = 'file' and state = 'ok'
        order by position desc limit $2::bigint
    )
    select path.value #>> '{}' as path, count(*) as changes, max(change.at) as changed_at
    from change cross join lateral json_array_elements(
        case when json_typeof(metadata -> 'file_paths') = 'array' then metadata -> 'file_paths'
            else json_build_array(metadata -> 'file_path') end
    ) as path (value) where json_typeof(path.value) = 'string'
    group by 1 order by max(change.position) desc, 1 limit $3::bigint"
);

pub(super) const PURGEABLE_ROOTS: &str = "select id from tasks
    where id > $3::text and status in ('completed', 'errored') and ($1::text is null or status = $1::text)
        and ($2::text is null or project = $2::text) and ($5::text is null or project = $5::text)
        and (parent_task_id is null or not exists (select 1 from tasks above where above.id = tasks.parent_task_id))
    order by id limit $4::bigint";

macro_rules! purgeable_trees {
    ($columns:literal) => {
        concat!(
            "with recursive tree (root, id) as (
                select id, id from tasks
                where id ",
            is_among!("$4"),
            " and status in ('completed', 'errored') and ($1::text is null or status = $1::text)
                    and ($2::text is null or project = $2::text) and ($5::text is null or project = $5::text)
                    and (parent_task_id is null
                        or not exists (select 1 from tasks above where above.id = tasks.parent_task_id))
                union all
                select tree.root, tasks.id from tree join tasks on tasks.parent_task_id = tree.id
            )
            select ",
            $columns,
            " from tree where root not in (
                select tree.root from tree join tasks on tasks.id = tree.id
                where tasks.status not in ('completed', 'errored')
                    or ($3::bigint is not null and tasks.status_since >= $3::bigint)
            )"
        )
    };
}

pub(super) const PURGEABLE: &str = purgeable_trees!("root, id");

pub(super) const MARK_FOR_PURGE: &str = concat!("insert into purging (task_id) ", purgeable_trees!("id"));

/// Locks the tasks of the trees at the tasks in the JSON array `$1`. No task below one of them can be added meanwhile.
pub(super) const LOCK_TREES: &str = concat!(
    "with recursive tree (id) as (
        select id from tasks where id ",
    is_among!("$1"),
    " union select tasks.id from tree join tasks on tasks.parent_task_id = tree.id
    )
    select 1 from tasks where id in (select id from tree) order by id for update"
);

pub(super) const MARK_PART_FOR_PURGE: &str = r#"insert into purging (task_id)
    with part (id) as materialized (select value collate "C" from jsonb_array_elements_text($2::text::jsonb) as value)
    select tasks.id from part join tasks on tasks.id = part.id
    where tasks.status in ('completed', 'errored') and ($1::bigint is null or tasks.status_since < $1::bigint)
        and ($3::text is null or tasks.project = $3::text)
        and not exists (
            select 1 from tasks below where below.parent_task_id = tasks.id and below.id not in (select id from part)
        )"#;

pub(super) const LOG_PURGES: &str = "insert into purges (project, count, at)
    select project, count(*), $1::bigint from tasks where id in (select task_id from purging)
    group by project order by project";

pub(super) const POSITIONS: &str = "select coalesce(jsonb_agg(position order by position desc), '[]')::text
    from (select position from events
        where task_id = $1::text and position < coalesce($2::bigint, 9223372036854775807)
        order by position desc limit $3::bigint) as found";

pub(super) const COUNTS: &str = "select (select count(*) from sessions where task_id = $1::text) as sessions,
        (select count(*) from tasks where parent_task_id = $1::text) as children";
