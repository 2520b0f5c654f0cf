//! Pages of projects.

use super::Sql;
use super::tasks::{time_of_change, uncounted};

mod postgres;

/// A page of projects: the project, the digits of its bytes, the latest `changed_at` of its tasks, and its tasks by
/// status.
///
/// `?1` and `?2` are the first delta that is not folded and the end of the deltas, `?3` is the project of the scope,
/// `?4` is the number of rows, and `?5` and `?6` are the `changed_at` and the bytes of the project of the row behind
/// which the page begins. A null value sets no condition. The last four are `$1` to `$4` on Postgres, with the text of
/// the project in place of its bytes.
///
/// The names are found by one step of an index for each project, and so is the latest change. No row of a task is
/// counted: the counts are figures.
macro_rules! page {
    ($beyond:literal, $order:literal) => {
        concat!(
            "with recursive names (project) as (
                select min(project) from tasks where project >= coalesce(?3, '')
                union all
                select (select min(project) from tasks where tasks.project > names.project)
                from names where names.project is not null and ?3 is null
            ),
            found (project, changed_at) as materialized (
                select project, max(
                    coalesce((select max(listed_at) from tasks
                        where tasks.project = names.project and listed_at is not null), 0),
                    coalesce((select max(",
            time_of_change!(),
            ") from tasks
                        where tasks.project = names.project and listed_at is null), 0))
                from names where project is not null and (?3 is null or project = ?3)
            ),
            page as materialized (
                select project, changed_at from found
                where ?5 is null or (changed_at, project) ",
            $beyond,
            " (?5, cast(?6 as text))
                order by changed_at ",
            $order,
            ", project ",
            $order,
            " limit ?4
            ),
            counts (project, status, value) as materialized (
                select project, substr(figure, 7), value from figures
                where project in (select project from page)
                    and figure in ('tasks.running', 'tasks.waiting', 'tasks.completed', 'tasks.errored')
                union all
                select project, status, tasks from figure_deltas where id >= ?1 and id < ?2 and status is not null
            )
            select page.project, lower(hex(page.project)) as digits, page.changed_at,
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
            group by page.project
            order by page.changed_at ",
            $order,
            ", page.project ",
            $order
        )
    };
}

/// The number of tasks with a status. Each value counts as at most 2^50, as in the figures of the overview.
macro_rules! count {
    ($status:literal) => {
        concat!("coalesce(sum(max(min(iif(status = '", $status, "', value, 0), 1 << 50), -(1 << 50))), 0) as ", $status)
    };
}

/// The projects behind a row, the last changed first.
pub const OLDER: Sql = Sql::both(page!("<", "desc"), postgres::OLDER);

/// The projects before a row, the nearest first.
pub const NEWER: Sql = Sql::both(page!(">", "asc"), postgres::NEWER);

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, Statement};

    use super::{NEWER, OLDER};
    use crate::server::access::scope::Scope;
    use crate::server::database::Database;

    /// The work grows with the projects, not with their tasks: each step is a search of an index, and none scans a
    /// table.
    #[tokio::test]
    async fn a_page_searches_indexes_and_scans_no_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(folder.path().join("requery.db").into()).await.expect("a database");
        let read = database.snapshot(Scope::All).await.expect("a snapshot");
        for query in [OLDER, NEWER] {
            let plan = Statement::from_string(
                read.get_database_backend(),
                format!("explain query plan {}", query.text(read.get_database_backend())),
            );
            let rows = read.query_all_raw(plan).await.expect("a plan");
            let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("a step")).collect();
            let of_table = |table: &str| {
                let (search, scan) = (format!("SEARCH {table} "), format!("SCAN {table}"));
                assert!(!steps.iter().any(|step| step.starts_with(&scan)), "{steps:?}");
                steps.iter().filter(|step| step.starts_with(&search)).cloned().collect::<Vec<_>>()
            };
            let tasks = of_table("tasks");
            let uses_index = |step: &String| {
                step.contains("USING COVERING INDEX tasks_project_")
                    || step.contains("USING INDEX tasks_project_listed (project=? AND listed_at=?)")
            };
            assert!(tasks.len() == 4 && tasks.iter().all(uses_index), "{tasks:?}");
            assert!(of_table("figures")[0].contains("USING PRIMARY KEY (project=? AND figure=?)"), "{steps:?}");
            assert!(of_table("figure_deltas")[0].contains("USING INTEGER PRIMARY KEY"), "{steps:?}");
        }
    }
}
