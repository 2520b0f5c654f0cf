//! An answer with 2xx means that the write is stored, whatever the disk does.
//!
//! The server is a process of its own, and the oracle is `sqlite3` in another process. The disk fails from outside of
//! the server: a file system that is full, a limit of the file size, and calls that fail by [`IoFaults`].

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{side_by_side, sqlite3};
use crate::io_faults::{IoFault, IoFaults};

use crate::process::ServerProcess;
use crate::small_disk::SmallDisk;

/// Writes to a server, and remembers each write that was acknowledged.
struct Writer<'a> {
    server: &'a ServerProcess,
    database: &'a Path,
    /// The task of all events. It was written before any fault.
    task: String,
    acknowledged: Vec<String>,
    refused: usize,
}

impl<'a> Writer<'a> {
    async fn new(server: &'a ServerProcess, database: &'a Path) -> Self {
        let answer = server.send(Method::POST, "/api/v1/tasks", Some(&json!({"title": "before"}))).await.unwrap();
        assert_eq!(answer.status(), 201);
        let row: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let task = row["task_id"].as_str().or(row["id"].as_str()).expect("the id of the task").to_owned();
        Self { server, database, task, acknowledged: Vec::new(), refused: 0 }
    }

    /// Writes one event with a body of so many bytes, and returns the status.
    async fn write(&mut self, bytes: usize) -> u16 {
        let title = format!("event {}", self.acknowledged.len() + self.refused);
        let event = json!({"kind": "note", "title": title, "body": "b".repeat(bytes)});
        let path = format!("/api/v1/tasks/{}/events", self.task);
        let answer = self.server.send(Method::POST, &path, Some(&json!({"events": [event]}))).await.unwrap();
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            self.acknowledged.push(title);
        } else {
            assert_eq!(status, 503, "{}", answer.text().await.unwrap());
            self.refused += 1;
        }
        status
    }

    /// Another process must see every acknowledged write, and must get the write lock.
    fn check(&self) {
        let stored = sqlite3(self.database, "select title from events");
        let stored: std::collections::HashSet<&str> = stored.lines().collect();
        let lost: Vec<_> = self.acknowledged.iter().filter(|title| !stored.contains(title.as_str())).collect();
        assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}\n{}", self.server.log());
        sqlite3(self.database, "begin immediate; rollback");
    }
}

fn error_lines(server: &ServerProcess) -> Vec<String> {
    server.log().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_full_disk_loses_no_acknowledged_write_and_the_server_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("6m") else { return };
    let beside = TempDir::new().unwrap();
    let database = disk.path().join("requery.db");
    let mut server = ServerProcess::start(&database, beside.path(), |_| ());
    let mut writer = Writer::new(&server, &database).await;
    for _ in 0..5 {
        assert!(writer.write(1_000).await < 300);
    }
    disk.fill();
    // Large and small writes in turn: a small one may still fit where a large one does not.
    for turn in 0..40 {
        writer.write(if turn % 2 == 0 { 60_000 } else { 10 }).await;
    }
    assert!(writer.refused > 0);
    server.until_ready_is(503).await;
    assert_eq!(server.status("/api/v1/overview").await, 200);
    writer.check();
    // A hook that the server cannot store goes into the spool.
    let hook = json!({"session_id": "s1", "hook_event_name": "UserPromptSubmit", "cwd": "/p", "prompt": "not lost"});
    let spool = beside.path().join("spool");
    forward(&server, &spool, &hook);
    let error_lines_while_full = error_lines(&server);
    assert_eq!(error_lines_while_full.len(), 1, "{error_lines_while_full:?}");

    disk.make_room();
    // No request writes: the server finds out by itself.
    server.until_ready_is(204).await;
    for _ in 0..5 {
        assert!(writer.write(1_000).await < 300);
    }
    writer.check();
    let until = Instant::now() + crate::app::PATIENCE;
    while sqlite3(&database, "select count(*) from events where title = 'not lost' or body = 'not lost'") == "0" {
        assert!(Instant::now() < until, "the hook is lost: {}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(error_lines(&server), error_lines_while_full);
    assert!(server.is_running());
}

/// Runs the hook of an agent.
fn forward(server: &ServerProcess, spool: &Path, hook: &Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
    command.args(["hook", "claude-code", "--server", &format!("http://{}", server.address), "--spool"]).arg(spool);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), hook.to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A limit of the file size needs no root. SQLite reports its error as a failed write, not as a full disk, and the
/// kernel sends the signal SIGXFSZ.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_limit_of_the_file_size_loses_no_acknowledged_write() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let folder = TempDir::new().unwrap();
    let database = folder.path().join("requery.db");
    let mut server = ServerProcess::start(&database, folder.path(), |_| ());
    let mut writer = Writer::new(&server, &database).await;
    let process = Pid::from_raw(i32::try_from(server.id()).unwrap());
    let limit = |bytes| prlimit(process, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    for round in 0..3 {
        let written = std::fs::metadata(folder.path().join("requery.db-wal")).unwrap().len();
        limit(Some(written + 50_000));
        for _ in 0..10 {
            writer.write(20_000).await;
        }
        assert!(writer.refused > 3 * round);
        server.until_ready_is(503).await;
        writer.check();
        limit(None);
        server.until_ready_is(204).await;
        assert_eq!(writer.write(20_000).await, 201);
        writer.check();
    }
    assert!(server.is_running());
}

/// Each call of a write fails once, the first, the second and so on, and then all calls fail for a while.
#[test]
fn failing_calls_lose_no_acknowledged_write() {
    let folder = TempDir::new().unwrap();
    let Some(faults) = IoFaults::build(folder.path()) else { return };
    let fault = |call, error, path_end, times| IoFault { call, error, path_end, skip: 0, times };
    let of_log = |fault: IoFault| (vec![fault], [0, 1, 3].as_slice(), 5, 5_000);
    // SQLite syncs its files and writes the database file when the log has a thousand pages.
    let of_checkpoint = |fault: IoFault| (vec![fault], [0].as_slice(), 75, 60_000);
    // A connection is opened after a failed write. SQLite has kept the handle of the database file, but not of the log.
    let opened = vec![fault("open", "EMFILE", "requery.db-wal", 2), fault("write", "EIO", "requery.db-wal", 1)];
    let cases = [
        of_log(fault("write", "ENOSPC", "requery.db-wal", 1)),
        of_log(fault("write", "EIO", "requery.db-wal", 1)),
        of_log(fault("write", "EIO", "requery.db-wal", 0)),
        of_log(fault("write", "EDQUOT", "requery.db-wal", 3)),
        of_log(fault("read", "EIO", "requery.db-wal", 1)),
        of_checkpoint(fault("read", "EIO", "requery.db", 1)),
        of_checkpoint(fault("sync", "EIO", "requery.db-wal", 0)),
        of_checkpoint(fault("write", "EIO", "requery.db", 0)),
        (opened, &[0], 5, 5_000),
    ];
    // A server tries its storage once a second, so the cases run side by side, each on a server of its own.
    let refused = side_by_side(cases, async |case| writes_refused_while_calls_fail(&faults, case).await);
    // A commit writes the log, and a checkpoint comes after it.
    assert!(refused[..4].iter().all(|refused| *refused > 0), "{refused:?} refused");
}

/// Lets so many writes of so many bytes meet the faults, each time after another number of calls that succeed. Returns
/// how many writes were refused.
async fn writes_refused_while_calls_fail(
    faults: &IoFaults,
    (failing, skips, writes, bytes): (Vec<IoFault>, &[u32], usize, usize),
) -> usize {
    let folder = TempDir::new().unwrap();
    let (faults, database) = (faults.for_another_process(folder.path()), folder.path().join("requery.db"));
    let mut server = ServerProcess::start(&database, folder.path(), |command| _ = faults.load_into(command));
    let mut writer = Writer::new(&server, &database).await;
    let timeline = format!("/api/v1/tasks/{}/timeline", writer.task);
    for &skip in skips {
        faults.set(&failing.iter().map(|fault| IoFault { skip, ..*fault }).collect::<Vec<_>>());
        for _ in 0..writes {
            writer.write(bytes).await;
        }
        server.status(&timeline).await;
        writer.check();
        faults.clear();
        server.until_ready_is(204).await;
        assert_eq!(writer.write(10).await, 201, "after {failing:?}: {}", server.log());
        writer.check();
    }
    let refused = writer.refused;
    let hits = faults.hits();
    assert!(failing.iter().all(|fault| hits.iter().any(|hit| hit.starts_with(fault.call))), "{failing:?}: {hits:?}");
    assert!(server.is_running());
    refused
}

/// SQLite ends the transaction of a reader too when a read fails. Without a new connection that reader would show the
/// same old snapshot for ever.
#[tokio::test]
async fn a_reader_whose_disk_failed_shows_later_writes() {
    let folder = TempDir::new().unwrap();
    let Some(faults) = IoFaults::build(folder.path()) else { return };
    let database = folder.path().join("requery.db");
    let server = ServerProcess::start(&database, folder.path(), |command| _ = faults.load_into(command));
    let mut writer = Writer::new(&server, &database).await;
    let events = format!("/api/v1/tasks/{}/timeline?limit=20", writer.task);
    let mut failed = 0;
    for round in 0..5 {
        // SQLite reports EIO of a read as a damaged file, and any other error as a failed disk. More pages than a
        // reader keeps in its cache, so that a read has to go to the file.
        for _ in 0..20 {
            assert_eq!(writer.write(60_000).await, 201);
        }
        let fault = |path_end| IoFault { call: "read", error: "EACCES", path_end, skip: round, times: 1 };
        faults.set(&[fault("requery.db"), fault("requery.db-wal")]);
        for _ in 0..10 {
            failed += usize::from(server.status(&events).await != 200);
        }
        faults.clear();
        server.until_ready_is(204).await;
        assert_eq!(writer.write(10).await, 201);
        let newest = writer.acknowledged.last().unwrap().clone();
        for _ in 0..12 {
            let answer = server.send(Method::GET, &events, None).await.unwrap();
            assert_eq!(answer.status(), 200);
            let text = answer.text().await.unwrap();
            assert!(text.contains(&format!("\"{newest}\"")), "an old snapshot in round {round}");
        }
    }
    assert!(failed > 0);
}
