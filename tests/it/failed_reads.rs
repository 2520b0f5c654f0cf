//! Reads of the disk that fail once. SQLite reports such a read as damage or as a failure of the disk. It costs no
//! stream a resync and no start.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::connect_async;

use crate::app::{PATIENCE, Ws, sqlite3};
use crate::io_faults::{IoFault, IoFaults};
use crate::process::ServerProcess;

const BY_OTHER: &str = "insert into tasks (title) values ('by another program') returning id";

/// A word of the log that only a database has that was opened again.
const OPENED_AGAIN: &str = "the database is open again";

fn fails_once(error: &'static str, path_end: &'static str, skip: u32) -> IoFault {
    IoFault { call: "read", error, path_end, skip, times: 1 }
}

/// Waits for the notice of a task. No frame before it tells of a doubt.
async fn told(server: &ServerProcess, ws: &mut Ws, task: &str) {
    loop {
        let frame: Value = ws.frame().await;
        let kind = frame["type"].as_str().unwrap();
        assert!(!["resync", "closing"].contains(&kind), "{frame}: {}", server.log());
        if kind == "task.started" && frame["payload"]["task_id"] == task {
            return;
        }
    }
}

/// The server with a detailed log.
fn serve(folder: &TempDir, faults: &IoFaults) -> Result<ServerProcess, String> {
    ServerProcess::try_start(&folder.path().join("r.db"), folder.path(), |command| {
        faults.load_into(command).env("REQUERY_LOG", "requery=debug");
    })
}

#[tokio::test]
async fn one_failed_read_costs_no_stream_a_resync() {
    let folder = TempDir::new().unwrap();
    let Some(faults) = IoFaults::build(folder.path()) else { return };
    let server = serve(&folder, &faults).unwrap();
    let path = folder.path().join("r.db");
    let mut ws = server.ws("").await;
    ws.frame().await;
    server.until_log_contains("a check of the whole file ended").await;
    let looks = || server.log().matches("the first page of the file was read again").count();
    for error in ["EIO", "EACCES"] {
        for path_end in ["r.db", "r.db-wal"] {
            for skip in 0..4 {
                let mut task = String::new();
                let write = async || {
                    task = sqlite3(&path, BY_OTHER);
                    if path_end == "r.db" {
                        // All connections read from the file then.
                        sqlite3(&path, "pragma wal_checkpoint(truncate)");
                    }
                    told(&server, &mut ws, &task).await;
                };
                faults.until_hit(&[fails_once(error, path_end, skip)], write).await;
            }
        }
    }
    // The checks of the file read it too, once a second while it changes.
    let before = looks();
    while looks() < before + 3 {
        let task = sqlite3(&path, &format!("{BY_OTHER}; pragma wal_checkpoint(truncate)"));
        told(&server, &mut ws, task.lines().next().unwrap()).await;
    }
    assert!(!server.log().contains(OPENED_AGAIN), "{}", server.log());
}

#[tokio::test]
async fn one_failed_read_of_a_check_is_no_damage() {
    let folder = TempDir::new().unwrap();
    let Some(faults) = IoFaults::build(folder.path()) else { return };
    let path = folder.path().join("r.db");
    serve(&folder, &faults).unwrap().stop();
    let bodies = "insert into tasks (id, title) values ('0190b0a0-0000-7000-8000-000000000001', 'large');
        insert into events (task_id, kind, body) with recursive n (i) as (select 1 union all select i + 1 from n where i < 400)
            select '0190b0a0-0000-7000-8000-000000000001', 'log', hex(randomblob(2000)) from n";
    sqlite3(&path, bodies);
    // The index is built first, so that only the check reads so many pages at the next start.
    let server = serve(&folder, &faults).unwrap();
    // The job of the index gives way to requests, so the requests have pauses.
    let until = Instant::now() + 2 * PATIENCE;
    while server.body("/api/v1/search?q=large").await["complete"] != true {
        assert!(Instant::now() < until, "the index is not complete in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop();

    for error in ["EIO", "EACCES"] {
        let mut met = false;
        // Other connections read beside the check, so the same calls are not those of the check each time. The first
        // reads are those of the start, which fails with them.
        for skip in [300, 350, 400, 450, 500, 600, 700] {
            fs::write(folder.path().join("server.log"), "").unwrap();
            faults.set(&[IoFault { times: 5, ..fails_once(error, "r.db", skip) }]);
            let server = serve(&folder, &faults).unwrap();
            // The failing reads can meet the first frame of the stream. The database is away for a moment then.
            let Ok((socket, _)) = connect_async(format!("ws://{}/ws", server.address)).await else {
                server.stop();
                continue;
            };
            let mut ws = Ws(socket);
            ws.frame().await;
            server.until_log_contains("a check of the whole file ended").await;
            met = !server.log().contains("ended found=Ok(Sound)");
            if met {
                // The next check finds no fault.
                server.until_log_contains("ended found=Ok(Sound)").await;
            }
            let task = sqlite3(&path, BY_OTHER);
            told(&server, &mut ws, &task).await;
            let log = server.log();
            assert!(!log.contains(OPENED_AGAIN) && !log.contains("search index is damaged"), "{log}");
            server.stop();
            if met {
                break;
            }
        }
        assert!(met, "no check met a read that failed with {error}");
    }
}

/// A file at rest is read without a lock before it is opened. A mix of pages that another program is writing fails in
/// the same way as a read.
#[tokio::test]
async fn a_failed_read_before_the_start_is_repeated() {
    let folder = TempDir::new().unwrap();
    let Some(faults) = IoFaults::build(folder.path()) else { return };
    let server = serve(&folder, &faults).unwrap();
    assert_eq!(server.add("a").await.0, 201);
    server.stop();
    for times in [1, 2] {
        let before = faults.hits().len();
        faults.set(&[IoFault { times, ..fails_once("EIO", "r.db", 0) }]);
        let server = serve(&folder, &faults).unwrap();
        assert_eq!(faults.hits().len(), before + times as usize);
        assert_eq!(server.titles().await, "a");
        server.stop();
    }
}
