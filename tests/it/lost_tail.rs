//! A log that lost its end, or rows in the middle: no client resumes as if it had all changes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::app::{App, Ws, side_by_side, sqlite3};
use crate::process::ServerProcess;

fn start(path: &Path) -> Result<ServerProcess, String> {
    ServerProcess::try_start(path, path.parent().unwrap(), |_| ())
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("r.db");
    (folder, path)
}

/// Adds tasks over REST, and returns the cursor of the last one when the tail has read it.
async fn add(server: &ServerProcess, count: usize) -> String {
    let mut ws = server.ws("").await;
    ws.frame().await;
    let mut cursor = String::new();
    for number in 0..count {
        cursor = server.add(&format!("t{number}")).await.1;
    }
    while ws.frame().await["cursor"] != cursor.as_str() {}
    cursor
}

async fn first_frame(path: &Path, cursor: &str) -> String {
    let server = start(path).unwrap();
    let frame = server.ws(&format!("?since={cursor}")).await.frame().await;
    frame["type"].as_str().unwrap().to_owned()
}

fn write_eight(path: &Path) {
    for number in 0..8 {
        sqlite3(path, &format!("insert into tasks (title) values ('later {number}')"));
    }
}

#[tokio::test]
async fn a_killed_server_continues_all_its_cursors() {
    let (_folder, path) = place();
    let mut cursors = Vec::new();
    for _ in 0..3 {
        let server = start(&path).unwrap();
        cursors.push(add(&server, 3).await);
        server.kill();
        sqlite3(&path, "insert into tasks (title) values ('meanwhile')");
    }
    for cursor in cursors {
        assert_eq!(first_frame(&path, &cursor).await, "resumed");
    }
}

/// The copy has the run of the cursor, and enough later changes to reach the number of the cursor.
#[tokio::test]
async fn a_cursor_of_lost_changes_does_not_resume() {
    for (is_killed, is_moved) in [(true, false), (true, true), (false, false), (false, true)] {
        let (folder, path) = place();
        let copy = folder.path().join("copy.db");
        let server = start(&path).unwrap();
        add(&server, 3).await;
        sqlite3(&path, &format!(".backup '{}'", copy.display()));
        let cursor = add(&server, 6).await;
        match is_killed {
            true => server.kill(),
            false => server.stop(),
        }
        match is_moved {
            true => {
                fs::rename(&copy, &path).unwrap();
                let _ = fs::remove_file(folder.path().join("r.db-wal"));
            }
            false => drop(sqlite3(&path, &format!(".restore '{}'", copy.display()))),
        }
        write_eight(&path);
        assert_eq!(first_frame(&path, &cursor).await, "snapshot", "killed {is_killed}, moved {is_moved}");
    }
}

/// After a loss of power each file can be older than the others. The log and the record can then agree on a state
/// before the newest cursors.
#[tokio::test]
async fn after_a_new_start_of_the_machine_only_a_run_that_ended_in_order_continues() {
    for (is_killed, expected) in [(true, "snapshot"), (false, "resumed")] {
        let (folder, path) = place();
        let server = start(&path).unwrap();
        let cursor = add(&server, 3).await;
        match is_killed {
            true => server.kill(),
            false => server.stop(),
        }
        let lock = folder.path().join("r.db.lock");
        let mut record: Value = serde_json::from_slice(&fs::read(&lock).unwrap()).unwrap();
        record["run"]["boot"] = "another start of the machine".into();
        fs::write(&lock, record.to_string()).unwrap();
        assert_eq!(first_frame(&path, &cursor).await, expected);
    }
}

#[tokio::test]
async fn without_the_record_no_cursor_resumes() {
    let (folder, path) = place();
    let server = start(&path).unwrap();
    let cursor = add(&server, 3).await;
    server.stop();
    fs::write(folder.path().join("r.db.lock"), "").unwrap();
    assert_eq!(first_frame(&path, &cursor).await, "snapshot");
}

#[tokio::test]
async fn a_hole_in_the_log_resumes_only_the_cursors_behind_it() {
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('a'), ('b'), ('c'), ('d')");
    let mut ws = app.ws("").await;
    let cursor = ws.frame().await["cursor"].as_str().unwrap().to_owned();
    let epoch = cursor.split(':').next().unwrap();
    app.until_folded().await;
    app.sql("delete from changes where id = 2");
    for (next, expected) in [(1, "snapshot"), (2, "snapshot"), (3, "resumed"), (5, "resumed")] {
        let frame = app.ws(&format!("?since={epoch}:{next}:{next}:")).await.frame().await;
        assert_eq!(frame["type"], expected, "{next}");
    }
}

/// The frame types until one of them tells the client about the change.
async fn told(ws: &mut Ws) -> String {
    loop {
        let frame = ws.frame().await;
        let kind = frame["type"].as_str().unwrap();
        if kind == "resync" || kind == "task.started" {
            return kind.to_owned();
        }
    }
}

#[tokio::test]
async fn rows_that_are_deleted_before_the_tail_reads_them_give_a_resync() {
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('a')");
    let mut ws = app.ws("").await;
    ws.frame().await;
    for sql in [
        "begin; insert into tasks (title) values ('b'); delete from changes; commit",
        "begin; insert into tasks (title) values ('c'), ('d'); delete from changes where id = (select max(id) from changes); commit",
        "begin; insert into tasks (title) values ('e'), ('f'); delete from changes where id = (select max(id) - 1 from changes); commit",
    ] {
        app.sql(sql);
        let mut kind = told(&mut ws).await;
        if kind == "task.started" {
            kind = told(&mut ws).await;
        }
        assert_eq!(kind, "resync", "{sql}");
    }
    // The deleted rows were not counted yet, in every place where a fold can stand.
    let task = app.sql("select id from tasks limit 1");
    let log = format!("insert into events (task_id, kind) values ('{task}', 'log');");
    app.sql(&format!("begin; {log} {log} delete from changes; commit"));
    assert_eq!(told(&mut ws).await, "resync");
    app.sql(&format!("begin; {log} delete from changes; delete from sqlite_sequence where name = 'changes'; commit"));
    assert_eq!(told(&mut ws).await, "resync");
    let body = reqwest::get(app.url("/api/v1/overview")).await.unwrap().text().await.unwrap();
    let overview: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(overview["stats"]["total_events"], 3, "{body}");
}

/// The tail has read the changes and the streams have told them, so the rows count although the log lacks them.
#[tokio::test]
async fn rows_that_are_deleted_before_they_are_counted_count_all_the_same() {
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('a')");
    let mut ws = app.ws("").await;
    ws.frame().await;
    let log = |count| {
        let rows = format!("with recursive n (i) as (select 1 union all select i + 1 from n where i < {count})");
        format!("{rows} insert into events (task_id, kind) select tasks.id, 'log' from tasks, n")
    };
    for (round, lost) in (1..).zip(["<= (select max(id) from changes) - 2", "= (select max(id) from changes) - 2"]) {
        app.sql(&log(6));
        while ws.frame().await["type"] != "event.logged" {}
        app.sql(&format!("delete from changes where id {lost}"));
        let until = std::time::Instant::now() + crate::app::PATIENCE;
        let mut total = Value::Null;
        while total != round * 6 {
            assert!(std::time::Instant::now() < until, "{lost}: {total} events are counted");
            let body = reqwest::get(app.url("/api/v1/overview")).await.unwrap().text().await.unwrap();
            total = serde_json::from_str::<Value>(&body).unwrap_or_default()["stats"]["total_events"].take();
            let folded = app.sql("select next > (select max(id) from changes) from folded");
            if folded != "1" {
                total = Value::Null;
            }
        }
    }
}

/// A server that was idle for longer than the retention: the prune deletes the row that the tail read last.
#[tokio::test]
async fn a_prune_of_the_row_that_was_read_last_gives_no_resync() {
    let app = App::start().await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    app.sql("insert into tasks (title) values ('a')");
    assert_eq!(told(&mut ws).await, "task.started");
    // The prune deletes only changes that are folded.
    app.until_folded().await;
    app.sql("begin; insert into tasks (title) values ('b'); delete from changes where id = 1; commit");
    assert_eq!(told(&mut ws).await, "task.started");
    app.sql("insert into tasks (title) values ('c')");
    assert_eq!(told(&mut ws).await, "task.started");
}

/// Another program wrote the table in which SQLite keeps the numbers that it gave out.
#[test]
fn any_value_in_the_table_of_numbers_ends_in_a_running_server() {
    // Each server pauses for a second after a failure, so the cases run side by side.
    let values =
        ["", "'3'", "'none'", "2.5", "null", "-7", "x'00'", "1e300", "9223372036854775807", "9007199254740991", "40"];
    side_by_side(values, a_value_in_the_table_of_numbers_ends_in_a_running_server);
}

async fn a_value_in_the_table_of_numbers_ends_in_a_running_server(value: &str) {
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('a'), ('b')");
    let mut ws = app.ws("").await;
    ws.frame().await;
    app.sql(&match value {
        "" => "delete from sqlite_sequence".to_owned(),
        value => format!("update sqlite_sequence set seq = {value}"),
    });
    // The change wakes the tail at once, also if no number is left.
    let insert = "insert into tasks (title) values ('c')";
    let mut written = std::process::Command::new("sqlite3");
    written.arg("-cmd").arg(".timeout 5000").arg(app.path()).arg(insert);
    let until = std::time::Instant::now() + crate::app::PATIENCE;
    while !written.output().unwrap().status.success() {
        assert!(std::time::Instant::now() < until, "{value}: no write is possible");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    told(&mut ws).await;
    let client = reqwest::Client::new();
    let post = || client.post(app.url("/api/v1/tasks")).header("content-type", "application/json");
    while post().body(r#"{"title":"d"}"#).send().await.unwrap().status() != 201 {
        assert!(std::time::Instant::now() < until, "{value}: no write is possible");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    app.sql("insert into tasks (title) values ('e'); insert into events (task_id, kind) select id, 'log' from tasks");
    told(&mut ws).await;
    let epoch = app.sql("select token from runs order by id desc limit 1");
    // No loop: the run stays as it is.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(app.sql("select token from runs order by id desc limit 1"), epoch, "{value}");
    let folder = app.stop().await;
    let app = App::start_in(folder, |_| ()).await;
    let body = reqwest::get(app.url("/api/v1/overview")).await.unwrap().text().await.unwrap();
    let figures: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(figures["stats"]["total_tasks"], 5, "{value}: {figures}");
}
