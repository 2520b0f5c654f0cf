//! Databases with many rows, built once and kept in the folder `target/tmp` between the runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use tempfile::TempDir;

use crate::rows;
use crate::server::Outside;

/// The version of the content. A database of another version is built anew.
const VERSION: u32 = 2;
/// The events of the one large task in each database, as a share of all events.
const LARGE_TASK: usize = 10;
const READY_TIMEOUT: Duration = Duration::from_secs(1_200);

/// The size of a database.
#[derive(Clone, Copy)]
pub struct Size {
    pub tasks: usize,
    pub events: usize,
}

impl Size {
    /// The number of events of the large task.
    pub fn of_large_task(self) -> usize {
        self.events / LARGE_TASK
    }
}

/// A copy of the database with this size, in a folder that is deleted with the returned guard. A run writes into its
/// copy alone, so each run meets the same rows.
pub fn copy(size: Size) -> (PathBuf, TempDir) {
    let built = database(size);
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("requery.db");
    std::fs::copy(built, &path).unwrap();
    (path, folder)
}

/// The path of the database with this size. The first call builds the database and waits until the server has folded
/// and indexed its rows.
fn database(size: Size) -> PathBuf {
    let Size { tasks, events } = size;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bounds-{VERSION}-{tasks}-{events}"));
    let path = folder.join("requery.db");
    let built = folder.join("built");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if built.exists() {
        // A version before may have built it.
        runtime.block_on(async {
            let db = rows::connect(&path).await;
            requery_migrations::migrate(&db).await.unwrap();
            db.close().await.unwrap();
        });
        return path;
    }
    eprintln!("building a database with {tasks} tasks and {events} events; later runs use it again");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let server = Outside::start(&path, &["--background-pause", "1ms", "--session-files", "off"]);
    runtime.block_on(async {
        let db = rows::connect(&path).await;
        fill(&db, size).await;
        until_ready(&db).await;
        db.close().await.unwrap();
    });
    // The server takes its log into the file when it ends.
    server.stop();
    std::fs::write(built, "").unwrap();
    path
}

/// The id of the task with the most events.
pub fn large_task(path: &Path) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = rows::connect(path).await;
        let sql = "select task_id from events order by position limit 1";
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
        let id = row.try_get("", "task_id").unwrap();
        db.close().await.unwrap();
        id
    })
}

/// Writes the tasks of fifty projects. The first task has a tenth of the events, and the others share the rest.
async fn fill(db: &DatabaseConnection, Size { tasks, events }: Size) {
    let run = async |sql: String| {
        db.execute_unprepared(&sql).await.unwrap();
    };
    run("pragma busy_timeout = 60000".to_owned()).await;
    run(format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < {tasks})
        insert into tasks (title, project, source, status)
        select 'Port page ' || i || ' to the new form components', 'project ' || (i % 50), 'source ' || (i % 5),
            case when i % 10 = 0 then 'running' else 'completed' end from n"
    ))
    .await;
    let body = "test result: ok. 212 passed; 0 failed; 0 ignored ".repeat(5);
    // Parts, so that the write lock is free in between.
    const PART: usize = 20_000;
    let large = Size { tasks, events }.of_large_task();
    for part in 0..events / PART {
        let (from, to) = (part * PART, (part + 1) * PART);
        run(format!(
            "with recursive n (i) as (select {from} union all select i + 1 from n where i < {to} - 1),
            ids (first) as (select min(rowid) from tasks)
            insert into events (task_id, kind, family, state, title, body, metadata)
            select t.id, 'tool', 'terminal', 'ok', 'cargo test -p part' || (i % 977), '{body}', '{{\"exit_code\":0}}'
            from n, ids join tasks t on t.rowid = first + case when i < {large} then 0 else 1 + i % ({tasks} - 1) end"
        ))
        .await;
    }
}

/// Waits until the figures and the index contain every row.
async fn until_ready(db: &DatabaseConnection) {
    let sql = "select (select next > (select max(id) from changes) from folded)
        and (select next > (select max(id) from changes) and stage is null from searched) as ready";
    let began = Instant::now();
    loop {
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
        if row.try_get::<Option<bool>>("", "ready").unwrap() == Some(true) {
            return;
        }
        assert!(began.elapsed() < READY_TIMEOUT, "the server did not fold and index the rows in time");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
