//! Pages of projects for Postgres.
//!
//! A task has its place in the lists at all times. The place lacks the events of the task that its row lacks, so the
//! tasks with such events are looked up apart.

use super::super::postgres::{bounded_sum, folded, log_after};

/// The number of tasks with a status.
macro_rules! count {
    ($status:literal) => {
        concat!(bounded_sum!(concat!("case when status = '", $status, "' then value else 0 end")), " as ", $status)
    };
}

macro_rules! page {
    ($beyond:literal, $order:literal) => {
        concat!(
            "with recursive names (project) as (
                (select min(project) from tasks where project >= coalesce($1::text, ''))
                union all
                select (select min(project) from tasks where tasks.project > names.project)
                from names where names.project is not null and $1::text is null
            ),
            moved (id, changed_at) as materialized (
                select task_id, max(changed_at) from (
                    select task_id, changed_at from counts_pending union all ",
            log_after!("task_id, least(happened_at, at)", folded!(), "and kind = 'event.logged'"),
            "
                ) as times group by task_id
            ),
            late (project, changed_at) as materialized (
                select tasks.project, max(moved.changed_at) from moved join tasks on tasks.id = moved.id group by 1
            ),
            found (project, changed_at) as materialized (
                select project, greatest(
                    (select max(listed_at) from tasks where tasks.project = names.project),
                    (select changed_at from late where late.project = names.project), 0)
                from names where project is not null and ($1::text is null or project = $1::text)
            ),
            page as materialized (
                select project, changed_at from found
                where $3::bigint is null or (changed_at, project) ",
            $beyond,
            " ($3::bigint, $4::text)
                order by changed_at ",
            $order,
            ", project ",
            $order,
            " limit $2::bigint
            ),
            counts (project, status, value) as materialized (
                select project, substr(figure, 7), value from figures
                where project in (select project from page)
                    and figure in ('tasks.running', 'tasks.waiting', 'tasks.completed', 'tasks.errored')
                union all
                select project, status, tasks from figure_deltas where status is not null
            )
            select page.project, encode(convert_to(page.project, 'UTF8'), 'hex') as digits, page.changed_at,
                ",
            count!("running"),
            ",
                ",
            count!("waiting"),
            ",
                ",
            count!("completed"),
            ",
                ",
            count!("errored"),
            "
            from page left join counts on counts.project = page.project
            group by page.project, page.changed_at
            order by page.changed_at ",
            $order,
            ", page.project ",
            $order
        )
    };
}

pub(super) const OLDER: &str = page!("<", "desc");

pub(super) const NEWER: &str = page!(">", "asc");
