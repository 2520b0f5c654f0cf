//! The fold on Postgres: the statements of one step, in their order.
//!
//! The step is one transaction. It locks the row of `folded` first, so that one server folds at a time, and the next
//! statement takes its snapshot after that: it sees every earlier step.

use super::Sql;
use super::postgres::{folded, is_among, log_after};

/// The bound of a figure and of an hour.
macro_rules! bounded {
    ($value:literal) => {
        concat!("least(greatest(", $value, ", -4611686018427387904), 4611686018427387904)::bigint")
    };
}

/// The sums of these columns of `deltas` as rows of `(project, figure, value)`, each named `usage.` and its column.
macro_rules! usage_figures {
    ($($column:literal),*) => {
        concat!($("union all select project, 'usage.", $column, "', ", $column, " from deltas "),*)
    };
}

/// Whether there is anything to fold: 1 or 0.
pub const IS_BEHIND: Sql = Sql::postgres(concat!(
    "select (exists (select 1 from figure_deltas)
        or exists (select 1 from counts_pending join tasks on tasks.id = counts_pending.task_id) or exists (",
    log_after!("1", folded!(), ""),
    "))::int::bigint"
));

/// Locks the row of `folded`. No row: another server folds.
pub const LOCK: Sql = Sql::postgres("select next from folded for update skip locked");

/// Allows this transaction to change the counts of tasks, until [`END`].
pub const BEGIN: Sql = Sql::postgres("insert into folding default values");

/// Ends what [`BEGIN`] allows.
pub const END: Sql = Sql::postgres("delete from folding where xid = pg_current_xact_id()");

/// How far the log is folded, the snapshot up to which it can be folded now, and the transaction of the change after the
/// first `?1` changes, if there are more.
pub const PART: Sql = Sql::postgres(concat!(
    "select next, pg_current_snapshot()::text as now, (select xid::text from (",
    log_after!("xid, id", folded!(), ""),
    ") as log order by xid, id offset $1::bigint limit 1) as last from folded"
));

/// Adds the part of the log between the snapshots `?1` and `?2`, and at most `?3` deltas, to the figures and to the
/// hours, and the events of that part to the rows of their tasks. Returns whether there can be more deltas, and the
/// projects with new hours as a JSON array.
///
/// The row of a task that another transaction has locked is not waited for. Its events go to `counts_pending` and from
/// there into the row in a later step, at most those of `?4` rows of that table. The same table takes the events of
/// deleted tasks: their deletion has put the negative number there. What adds up to zero is deleted.
pub const ADD: Sql = Sql::postgres(concat!(
    "with part as materialized (",
    log_after!(
        "project, task_id, least(happened_at, at) as moment",
        "$1::text::pg_snapshot",
        "and kind = 'event.logged' and pg_visible_in_snapshot(xid, $2::text::pg_snapshot)"
    ),
    "),
    deltas as materialized (
        delete from figure_deltas
        where id in (select id from figure_deltas order by id limit $3::bigint) returning *
    ),
    sums as (
        select project, figure, sum(value) as value from (
            select project, 'tasks.' || status as figure, tasks as value from deltas where status is not null
            union all select project, 'source.' || source, tasks from deltas where source is not null
            union all select project, 'events', events from deltas
            union all select project, 'events', count(*) from part group by project ",
    usage_figures!(
        "answers",
        "answers_with_cost",
        "cost_usd_micros",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens"
    ),
    ") as figures_of_part group by project, figure having sum(value) <> 0
    ),
    figures_added as (
        insert into figures (project, figure, value)
        select project, figure, ",
    bounded!("value"),
    " from sums order by project, figure
        on conflict (project, figure) do update set value = ",
    bounded!("figures.value::numeric + excluded.value"),
    "
    ),
    hours_added as (
        insert into activity (project, hour, events)
        select project, moment / 3600000, count(*) from part group by 1, 2 order by 1, 2
        on conflict (project, hour) do update set events = ",
    bounded!("activity.events::numeric + excluded.events"),
    "
        returning project
    ),
    logged as materialized (
        select task_id, count(*) as events, max(moment) as changed_at from part
        where task_id is not null group by task_id
    ),
    waiting as materialized (
        select distinct task_id from (select task_id from counts_pending limit $4::bigint) as chosen
        union select task_id from logged
    ),
    locked as materialized (
        select id from tasks where id in (select task_id from waiting) for no key update skip locked
    ),
    earlier as materialized (
        select pending.ctid as place, pending.task_id, pending.events, pending.changed_at,
            pending.task_id in (select id from locked) as is_locked
        from counts_pending as pending where pending.task_id in (select task_id from waiting)
    ),
    zeros as materialized (
        select task_id from (
            select task_id, events from earlier where not is_locked union all select task_id, events from logged
        ) as counts
        where not exists (select 1 from tasks where tasks.id = counts.task_id)
        group by task_id having sum(events) = 0
    ),
    taken as (
        delete from counts_pending
        where ctid = any (array(select place from earlier
            where is_locked or task_id in (select task_id from zeros)))
    ),
    rows_changed as (
        update tasks set event_count = event_count + added.events,
            changed_at = greatest(tasks.changed_at, added.changed_at)
        from (
            select task_id, sum(events)::bigint as events, max(changed_at) as changed_at from (
                select task_id, events, changed_at from earlier where is_locked
                union all select task_id, events, changed_at from logged where task_id in (select id from locked)
            ) as counts group by task_id
        ) as added
        where tasks.id = added.task_id
    ),
    postponed as (
        insert into counts_pending (task_id, events, changed_at)
        select task_id, events, changed_at from logged
        where task_id not in (select id from locked) and task_id not in (select task_id from zeros)
    )
    select (select count(*) from deltas) >= $3::bigint as is_full,
        (select coalesce(jsonb_agg(distinct project), '[]')::text from hours_added) as projects"
));

/// Sets the snapshot up to which the log is folded to `?1`.
pub const SET: Sql = Sql::postgres("update folded set next = $1::text where next <> $1::text");

/// Deletes the hours of the projects in the JSON array `?1` that are more than 24 hours before the newest hour of their
/// project.
pub const DELETE_OLD_HOURS: Sql = Sql::postgres(concat!(
    "delete from activity where project ",
    is_among!("$1"),
    " and hour <= (select max(hour) from activity newest where newest.project = activity.project) - 24"
));
