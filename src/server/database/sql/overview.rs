//! The figures of the overview: the folded ones, and the part of the log and of the deltas that is not folded yet.
//!
//! On Postgres the deltas that the fold has added are gone in the same snapshot, and the log knows how far it is folded.
//! So a statement needs no values for the part that is not folded.

use super::Sql;

mod postgres;

/// The sum of a column. SQLite fails where a sum leaves 64 bits, and any program can write a figure, so each value
/// counts as at most 2^50.
macro_rules! sum {
    ($column:literal) => {
        concat!("sum(max(min(", $column, ", 1 << 50), -(1 << 50)))")
    };
}

/// The sums of these columns, each under the name of its column.
macro_rules! sums {
    ($($column:literal),*) => {
        concat!($(", ", sum!($column), " as ", $column),*)
    };
}

/// Two common tables: `unfolded (project, figure, value)`, the changes of figures that the deltas from `?1` up to, but
/// without, `?2` and the log from `?3` up to, but without, `?4` tell of, and `hours (project, hour, events)`, the
/// logged events of that part of the log. The argument is a condition on the project.
///
/// An event counts in the hour in which it happened, at the latest in the hour in which it was logged: a time of the
/// far future would hide all hours before it.
macro_rules! unfolded {
    ($only:literal) => {
        concat!(
            "with deltas as materialized (
                select project, status, source",
            sums!(
                "tasks",
                "events",
                "answers",
                "answers_with_cost",
                "cost_usd_micros",
                "input_tokens",
                "output_tokens",
                "cache_read_tokens",
                "cache_write_tokens"
            ),
            " from figure_deltas where id >= ?1 and id < ?2 and ",
            $only,
            " group by project, status, source
            ),
            hours as materialized (
                select project, min(coalesce(happened_at, at), at) / 3600000 as hour, count(*) as events
                from changes where id >= ?3 and id < ?4 and kind = 'event.logged' and ",
            $only,
            " group by 1, 2
            ),
            unfolded (project, figure, value) as (
                select project, 'tasks.' || status, tasks from deltas where status is not null
                union all select project, 'source.' || source, tasks from deltas where source is not null
                union all select project, 'events', events from deltas where events <> 0
                union all select project, 'events', sum(events) from hours group by project
                union all select project, 'usage.answers', answers from deltas where answers <> 0
                union all select project, 'usage.answers_with_cost', answers_with_cost from deltas where answers_with_cost <> 0
                union all select project, 'usage.cost_usd_micros', cost_usd_micros from deltas where cost_usd_micros <> 0
                union all select project, 'usage.input_tokens', input_tokens from deltas where input_tokens <> 0
                union all select project, 'usage.output_tokens', output_tokens from deltas where output_tokens <> 0
                union all select project, 'usage.cache_read_tokens', cache_read_tokens from deltas where cache_read_tokens <> 0
                union all select project, 'usage.cache_write_tokens', cache_write_tokens from deltas where cache_write_tokens <> 0
            ) "
        )
    };
}

/// All figures and hours: rows of `figure` or `hour`, and `value`. At most 24 hours are read, up to the newest.
macro_rules! overview {
    ($only:literal) => {
        concat!(
            unfolded!($only),
            "select figure, null as hour, ",
            sum!("value"),
            " as value from (
                select figure, value from figures where ",
            $only,
            " union all select figure, value from unfolded
            ) group by figure
            union all
            select null, hour, value from (
                select hour, ",
            sum!("events"),
            " as value from (
                    select hour, events from activity where ",
            $only,
            " union all select hour, events from hours
                ) group by hour having value > 0 order by hour desc limit 24
            )"
        )
    };
}

/// The figures and the hours of all projects.
pub const OF_ALL: Sql = Sql::both(overview!("true"), postgres::OF_ALL);

/// The figures and the hours of the project `?5`, which is `$1` on Postgres.
pub const OF_PROJECT: Sql = Sql::both(overview!("project = ?5"), postgres::OF_PROJECT);

/// The sums of the part that is not folded: `figures` and `hours`, each as a JSON array of arrays for [`FOLD_FIGURES`]
/// and [`FOLD_HOURS`], and the number of `rows` in both. Texts are hexadecimal, so that they stay as they are even if
/// they are not UTF-8. Of a project, only its newest 24 hours are in the sums, counted from the newest hour that is
/// folded or not. And the number of `changes` that the log has in that part.
pub const SUMS: Sql = Sql::new(concat!(
    unfolded!("true"),
    ", sums as materialized (
        select project, figure, ",
    sum!("value"),
    " as value from unfolded group by project, figure having ",
    // Not the name of the result: `having` would take it for the column of some row of the group.
    sum!("value"),
    " <> 0
    ),
    newest as materialized (
        select project, hour, events from (select *, max(hour) over (partition by project) as last from hours) as found
        where hour > last - 24
            and hour > coalesce((select max(hour) - 24 from activity where activity.project = found.project), hour - 1)
    )
    select
        (select json_group_array(json_array(hex(project), hex(figure), value)) from sums) as figures,
        (select json_group_array(json_array(hex(project), hour, events)) from newest) as hours,
        (select count(*) from sums) + (select count(*) from newest) as sums,
        (select count(*) from changes where id >= ?3 and id < ?4) as changes"
));

/// Adds sums to the figures.
pub const FOLD_FIGURES: Sql = Sql::new(
    "insert into figures (project, figure, value)
    select cast(unhex(value ->> 0) as text), cast(unhex(value ->> 1) as text), value ->> 2 from json_each(?) where true
    on conflict (project, figure) do update set value = max(min(value, 1 << 50), -(1 << 50)) + excluded.value",
);

/// Deletes the figures that fell to zero.
pub const DELETE_ZEROS: Sql = Sql::same("delete from figures where value = 0");

/// Adds sums to the hours.
pub const FOLD_HOURS: Sql = Sql::new(
    "insert into activity (project, hour, events)
    select cast(unhex(value ->> 0) as text), value ->> 1, value ->> 2 from json_each(?) where true
    on conflict (project, hour) do update set events = max(min(events, 1 << 50), -(1 << 50)) + excluded.events",
);

/// Deletes the hours of the projects in the sums that are more than 24 hours before the newest hour of their project.
pub const DELETE_OLD_HOURS: Sql = Sql::new(
    "delete from activity where project in (select cast(unhex(value ->> 0) as text) from json_each(?))
    and hour <= (select max(hour) from activity newest where newest.project = activity.project) - 24",
);

/// The projects without tasks whose hours no reader shows, as a JSON array of texts, which are hexadecimal on SQLite, at
/// most `?` of them, and the newest of these hours: it is 24 hours before the newest hour of all projects. No row if
/// there is no hour.
pub const GONE_PROJECTS: Sql = Sql::both(
    "with last (hour) as (select max(hour) - 24 from activity),
    gone as (
        select distinct project from activity, last where activity.hour <= last.hour
        and not exists (select 1 from tasks where tasks.project = activity.project) limit ?
    )
    select last.hour, (select json_group_array(hex(project)) from gone) as projects,
        (select count(*) from gone) as count
    from last where last.hour is not null",
    postgres::GONE_PROJECTS,
);

/// Deletes the hours up to the hour `?1` of the projects `?2`, unless a project has tasks again.
pub const DELETE_HOURS_OF_GONE_PROJECTS: Sql = Sql::both(
    "delete from activity where hour <= ?1 and project in (select cast(unhex(value) as text) from json_each(?2))
    and not exists (select 1 from tasks where tasks.project = activity.project)",
    postgres::DELETE_HOURS_OF_GONE_PROJECTS,
);

/// How far the log and the deltas are folded, which deltas there are, and how many `changes` the log has after that.
pub const FOLDED: Sql = Sql::new(
    "select coalesce((select min(id) from figure_deltas), deltas) as oldest_delta, deltas,
        coalesce((select max(id) from figure_deltas), 0) + 1 as deltas_end, next,
        (select count(*) from changes where id >= next) as changes
    from folded",
);

/// Moves the folded part on: `?1` and `?2` are the first delta and the first change that are not folded now, `?3` and
/// `?4` were it before. No row changes if the folded part moved meanwhile.
pub const SET_FOLDED: Sql = Sql::new("update folded set deltas = ?1, next = ?2 where deltas = ?3 and next = ?4");

/// Deletes folded deltas, at most `?` rows. The newest delta stays, so that no id is given twice.
pub const DELETE_FOLDED_DELTAS: Sql = Sql::new(
    "delete from figure_deltas where id in (select id from figure_deltas
        where id < (select deltas from folded) and id < (select max(id) from figure_deltas) order by id limit ?)",
);
