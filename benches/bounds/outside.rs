//! Another program that writes without a busy timeout, beside a server: how often it fails.
//!
//! Each insert is a `sqlite3` process with its own defaults, so it fails at once if the write lock is taken. A server
//! that other programs delay for thirty seconds takes one step, directly after a commit; an insert that fails because
//! of such a step is counted apart.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use tempfile::TempDir;

use crate::rows;
use crate::server::{Outside, runtime};
use crate::table::{Limit, Row};

const INSERTS: usize = 1_000;

pub fn measure() -> Vec<Row> {
    let mut rows = Vec::new();
    for (state, tasks) in [("an idle server", 0), ("a server with 200,000 events to fold and index", 2_000)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("requery.db");
        let server = Outside::start(&path, &[]);
        // The first work of the server, on an empty database, is over.
        std::thread::sleep(Duration::from_secs(1));
        runtime().block_on(async {
            let progress = rows::connect(&path).await;
            for (pace, longest_pause) in [("back to back", 0), ("at random gaps of 1 to 100 ms", 100)] {
                if tasks > 0 {
                    sqlite3(&path, &backlog(tasks));
                }
                let found = inserts(&path, &progress, longest_pause).await;
                let name = |figure: &str| format!("{INSERTS} inserts by sqlite3 {pace} beside {state}: {figure}");
                rows.push(Row::new(name("locked"), vec![found.locked], "", Limit::AtMost(0.0)));
                rows.push(Row::new(name("locked by a delayed step"), vec![found.locked_by_step], "", Limit::Open));
                rows.push(Row::new(name("delayed steps"), vec![found.steps], "", Limit::Open));
                rows.push(Row::new(name("time"), vec![found.seconds], " s", Limit::Open));
            }
        });
        drop(server);
    }
    rows
}

#[derive(Default)]
struct Found {
    locked: f64,
    locked_by_step: f64,
    steps: f64,
    seconds: f64,
}

async fn inserts(path: &Path, progress: &DatabaseConnection, longest_pause: u64) -> Found {
    let mut found = Found::default();
    let began = Instant::now();
    let mut before = work(progress).await;
    for n in 0..INSERTS {
        let inserted = sqlite3(path, &format!("insert into tasks (title) values ('n {n}')"));
        let after = work(progress).await;
        // A step within the first thirty seconds is none that was delayed.
        let is_delayed = after != before && began.elapsed() > Duration::from_secs(25);
        found.steps += f64::from(u8::from(is_delayed));
        if !inserted {
            *(if is_delayed { &mut found.locked_by_step } else { &mut found.locked }) += 1.0;
        }
        before = after;
        if longest_pause > 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=longest_pause))).await;
        }
    }
    found.seconds = began.elapsed().as_secs_f64();
    found
}

/// How far the background work got.
async fn work(db: &DatabaseConnection) -> String {
    let sql = "select (select next || ' ' || deltas from folded)
        || (select next || coalesce(stage || stage_at, '') from searched) as progress";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    row.unwrap().try_get("", "progress").unwrap()
}

/// Tasks with a hundred events each.
fn backlog(tasks: usize) -> String {
    format!(
        "pragma busy_timeout = 5000;
        begin;
        with recursive n (i) as (select 1 union all select i + 1 from n where i < {tasks})
            insert into tasks (title, project) select 'a task of the backlog', 'p' || (i % 50) from n;
        with recursive n (i) as (select 1 union all select i + 1 from n where i < 100)
            insert into events (task_id, kind, title) select id, 'log', 'some words of the event ' || i
            from n, (select id from tasks where title = 'a task of the backlog' order by rowid desc limit {tasks});
        commit"
    )
}

/// Whether `sqlite3` succeeds.
fn sqlite3(path: &Path, sql: &str) -> bool {
    let mut command = Command::new("sqlite3");
    command.arg(path).arg(sql).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}
