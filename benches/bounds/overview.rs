//! The time of an overview after three years, against the overview of the same projects after a day.

use std::time::Instant;

use requery::server::access::scope::Scope;
use requery::server::change_log::fold;
use requery::server::database::Database;
use requery::server::read;
use sea_orm::ConnectionTrait;
use tempfile::TempDir;

use crate::rows;
use crate::server::runtime;
use crate::table::{Limit, Row, median};

const PROJECTS: usize = 50;
/// The hours of three years. Each project has an event in every fourth of them.
const HOURS: usize = 3 * 365 * 24;
const ROUNDS: usize = 9;
/// The turns of one round, in which both databases are read.
const TURNS: usize = 40;

pub fn measure() -> Vec<Row> {
    runtime().block_on(async {
        let folder = TempDir::new().unwrap();
        let mut databases = Vec::new();
        for (name, hours) in [("day.db", 24), ("years.db", HOURS)] {
            let path = folder.path().join(name);
            let database = Database::open(path.clone().into()).await.unwrap();
            let writer = rows::connect(&path).await;
            fill(&writer, hours).await;
            fold::fold_all(&database).await.unwrap();
            databases.push(database);
        }
        let (mut ratios, mut years) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut seconds = [Vec::new(), Vec::new()];
            for turn in 0..TURNS {
                for which in [turn % 2, 1 - turn % 2] {
                    let began = Instant::now();
                    let read = databases[which].snapshot(Scope::All).await.unwrap();
                    read::overview::overview(&read).await.unwrap();
                    drop(read);
                    seconds[which].push(began.elapsed().as_secs_f64());
                }
            }
            ratios.push(median(&seconds[1]) / median(&seconds[0]));
            years.push(median(&seconds[1]) * 1e3);
        }
        vec![
            Row::new(
                format!("overview of {PROJECTS} projects, time after three years to after a day"),
                ratios,
                "",
                Limit::AtMost(2.0),
            ),
            Row::new(format!("overview of {PROJECTS} projects after three years"), years, " ms", Limit::Open),
        ]
    })
}

/// Writes tasks of all projects, and their events of the last `hours` hours.
async fn fill(db: &impl ConnectionTrait, hours: usize) {
    let tasks = format!(
        "with recursive n (i) as (select 0 union all select i + 1 from n where i < {PROJECTS} - 1)
        insert into tasks (title, project, source) select 'a task', 'project ' || i, 'source ' || (i % 5) from n"
    );
    db.execute_unprepared(&tasks).await.unwrap();
    let now_ms = chrono::Utc::now().timestamp_millis();
    let events = format!(
        "with recursive n (i) as (select 0 union all select i + 4 from n where i < {hours} - 4)
        insert into events (task_id, kind, created_at) select id, 'log', {now_ms} - i * 3600000 from n, tasks"
    );
    db.execute_unprepared(&events).await.unwrap();
}
