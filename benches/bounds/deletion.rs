//! The cost of a deletion by project for a writer that bypasses the server: it grows with the number of deleted tasks,
//! and not with the number of tasks in the database times that of the deleted ones.

use std::time::Instant;

use requery::server::access::scope::Scope;
use requery::server::database::{BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction};
use requery::server::ingest::task::{delete_left_rows, delete_part, is_leaving, parts_of_tree};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tempfile::TempDir;

use crate::rows;
use crate::server::runtime;
use crate::table::{Limit, Row, quantile};

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
        let steps = steps_of_left_rows().await;
        let held = |share: f64| vec![quantile(&steps, share)];
        let parts = parts_of_a_tree().await;
        vec![
            Row::new("deletion of a tenth of 2,000 tasks by project", few, " ms", Limit::Open),
            Row::new("deletion of a tenth of 20,000 tasks by project", many, " ms", Limit::Open),
            Row::new("ratio of the two", ratios, "", Limit::AtMost(12.0)),
            Row::new(
                "a step that deletes rows of deleted tasks, write lock held, median",
                held(0.5),
                " ms",
                Limit::Open,
            ),
            Row::new("the same, the 99th percentile", held(0.99), " ms", Limit::Open),
            Row::new("a hundred tasks of a large tree, write lock held", parts, " ms", Limit::Open),
        ]
    })
}

/// The milliseconds that it takes to delete one of ten projects. Half of the tasks are below another task, and each
/// task has an event and a bookmark.
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

/// The milliseconds for which the steps hold the write lock that delete the rows of a large task and of many small
/// ones.
async fn steps_of_left_rows() -> Vec<f64> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    let database = Database::open(path.clone().into()).await.unwrap();
    let db = rows::connect(&path).await;
    let rows = "begin;
        create temp table n as with recursive n (i) as (select 1 union all select i + 1 from n where i < 20000)
            select i from n;
        insert into tasks (title) values ('large');
        insert into events (task_id, kind, title, body) select id, 'tool', 'a call', printf('%0500d', i) from tasks, n;
        insert into usage (task_id, answer_id, input_tokens) select id, i, 5 from tasks, n;
        insert into bookmarks (task_id, event_id) select task_id, id from events where position % 4 = 0;
        insert into sessions (task_id) select id from tasks, n where i <= 1000;
        insert into tasks (title) select 'small' from n where i <= 2000;
        insert into events (task_id, kind) select id, 'log' from tasks;
        insert into usage (task_id, answer_id) select id, 'one' from tasks;
        insert into leaving (task_id) select id from tasks;
        delete from tasks;
        commit";
    run(&db, rows).await;
    let (mut size, mut steps) = (StepSize::new(20, 250, 2_000), Vec::new());
    while is_leaving(&database.snapshot(Scope::All).await.unwrap()).await.unwrap() {
        let most = size.size();
        let delete = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(delete_left_rows(tx, most).await?);
        let step = database.write_in_background(BackgroundWork::Upkeep, delete).await.unwrap();
        size.note(step.held, step.value);
        steps.push(step.held.as_secs_f64() * 1e3);
    }
    db.close().await.unwrap();
    database.close("measured").await;
    steps
}

/// The milliseconds of the transactions that delete a tree of 5,000 tasks with five events each.
async fn parts_of_a_tree() -> Vec<f64> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    let database = Database::open(path.clone().into()).await.unwrap();
    let db = rows::connect(&path).await;
    let root = rows::tasks(&db, 1).await.remove(0);
    let tree = "begin;
        create temp table n as with recursive n (i) as (select 1 union all select i + 1 from n where i < 4999)
            select i from n;
        insert into tasks (title, parent_task_id) select 'below', tasks.id from tasks, n;
        insert into events (task_id, kind) select id, 'log' from tasks, n where i <= 5;
        commit";
    run(&db, tree).await;
    let root = root.parse().unwrap();
    let parts = parts_of_tree(&database.snapshot(Scope::All).await.unwrap(), &root).await.unwrap();
    let mut held = Vec::new();
    for part in parts {
        let began = Instant::now();
        let delete = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(delete_part(tx, &part).await?);
        database.write(Scope::All, delete).await.unwrap();
        held.push(began.elapsed().as_secs_f64() * 1e3);
    }
    db.close().await.unwrap();
    database.close("measured").await;
    held
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap();
}
