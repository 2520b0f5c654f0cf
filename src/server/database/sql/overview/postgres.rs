//! The figures of the overview for Postgres.

use super::super::postgres::{bounded_sum, folded, is_among, log_after};

/// The common tables `hours (project, hour, events)`, the logged events of the log that is not folded, and `deltas
/// (figure, value)`. The argument is a condition on the project.
macro_rules! unfolded {
    ($only:literal) => {
        concat!(
            "with hours as materialized (
                select project, least(happened_at, at) / 3600000 as hour, count(*) as events from (",
            log_after!(
                "project, happened_at, at",
                folded!(),
                concat!("and kind = 'event.logged' and ", $only)
            ),
            ") as log group by 1, 2
            ),
            found as materialized (select * from figure_deltas where ",
            $only,
            "),
            deltas (figure, value) as (
                select 'tasks.' || status, tasks from found where status is not null
                union all select 'source.' || source, tasks from found where source is not null
                union all select 'events', events from found where events <> 0
                union all select 'events', events from hours
                union all select 'usage.answers', answers from found where answers <> 0
                union all select 'usage.answers_with_cost', answers_with_cost from found where answers_with_cost <> 0
                union all select 'usage.cost_usd_micros', cost_usd_micros from found where cost_usd_micros <> 0
                union all select 'usage.input_tokens', input_tokens from found where input_tokens <> 0
                union all select 'usage.output_tokens', output_tokens from found where output_tokens <> 0
                union all select 'usage.cache_read_tokens', cache_read_tokens from found where cache_read_tokens <> 0
                union all select 'usage.cache_write_tokens', cache_write_tokens from found where cache_write_tokens <> 0
            ) "
        )
    };
}

macro_rules! overview {
    ($only:literal) => {
        concat!(
            unfolded!($only),
            "select figure, null::bigint as hour, ",
            bounded_sum!("value"),
            " as value from (
                select figure, value from figures where ",
            $only,
            " union all select figure, value from deltas
            ) as figures_of_now group by figure
            union all
            select null, hour, value from (
                select hour, ",
            bounded_sum!("events"),
            " as value from (
                    select hour, events from activity where ",
            $only,
            " union all select hour, events from hours
                ) as hours_of_now group by hour having sum(events) > 0 order by hour desc limit 24
            ) as newest"
        )
    };
}

pub(super) const OF_ALL: &str = overview!("true");

pub(super) const OF_PROJECT: &str = overview!("project = $1::text");

pub(super) const GONE_PROJECTS: &str = "with last (hour) as (select max(hour) - 24 from activity),
    gone as materialized (
        select distinct project from activity, last where activity.hour <= last.hour
        and not exists (select 1 from tasks where tasks.project = activity.project) limit $1::bigint
    )
    select last.hour, (select coalesce(jsonb_agg(project), '[]')::text from gone) as projects,
        (select count(*) from gone) as count
    from last where last.hour is not null";

/// The row of `folded` is locked first, because the fold writes the same rows in another order.
pub(super) const DELETE_HOURS_OF_GONE_PROJECTS: &str = concat!(
    "with fold as materialized (select 1 from folded for update)
    delete from activity where exists (select 1 from fold) and hour <= $1::bigint and project ",
    is_among!("$2"),
    " and not exists (select 1 from tasks where tasks.project = activity.project)"
);
