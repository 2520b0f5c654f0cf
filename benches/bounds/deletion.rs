//! The cost of a deletion by project for a writer that bypasses the server: it grows with the number of deleted tasks,
//! and not with the number of tasks in the database times that of the deleted ones.

use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseConnection};
use tempfile::TempDir;

use crate::rows;
use crate::server::runtime;
use crate::table::{Limit, Row};

const ROUNDS: usize = 5;
const FEW: usize = 2_000;
const MANY: usize = 20_000;

pub fn measure() -> Vec<Row> {
    runtime().block_on(async {
        let (mut few, mut many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (small, large) = (deletion(FEW).await, deletion(MANY).await);
            // The first round warms up the caches.
            if round > 0 {
                few.push(small);
                many.push(large);
                ratios.push(large / small);
            }
        }
        vec![
            Row::new("deletion of a tenth of 2,000 tasks by project", few, " ms", Limit::Open),
            Row::new("deletion of a tenth of 20,000 tasks by project", many, " ms", Limit::Open),
            Row::new("ratio of the two", ratios, "", Limit::AtMost(12.0)),
        ]
    })
}

/// The milliseconds that it takes to delete one of ten projects. Half of the tasks are below another task, and each task
/// has an event and a bookmark.
async fn deletion(tasks: usize) -> f64 {
    let folder = TempDir::new().unwrap();
    let db = rows::connect(&folder.path().join("requery.db")).await;
    requery_migrations::migrate(&db).await.unwrap();
    run(
        &db,
        &format!(
            "begin;
        with recursive n (i) as (select 0 union all select i + 1 from n where i < {half} - 1)
        insert into tasks (title, project) select 'a task', 'project ' || (i % 10) from n;
        insert into tasks (title, parent_task_id) select 'below', id from tasks;
        insert into events (task_id, kind) select id, 'log' from tasks;
        insert into bookmarks (task_id) select id from tasks;
        commit",
            half = tasks / 2
        ),
    )
    .await;
    let began = Instant::now();
    run(&db, "delete from tasks where project = 'project 3'").await;
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    db.close().await.unwrap();
    milliseconds
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap();
}
