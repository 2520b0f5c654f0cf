//! Changes of the database file under a running server.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use requery::server::change_log::fold;
use requery::server::database::Database;
use serde_json::Value;

use crate::app::{App, PATIENCE, Ws, sqlite3};

fn epoch(frame: &Value) -> String {
    frame["cursor"].as_str().unwrap().split(':').next().unwrap().to_owned()
}

async fn frame_of_kind(ws: &mut Ws, kind: &str) -> Value {
    loop {
        let frame = ws.frame().await;
        if frame["type"] == kind {
            return frame;
        }
    }
}

#[tokio::test]
async fn a_replaced_file_is_reopened_in_a_new_epoch() {
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('before')");
    let other = app.folder.path().join("other.db");
    app.sql(&format!("vacuum into '{}'", other.display()));
    sqlite3(&other, "update tasks set title = 'after'");
    let mut ws = app.ws("").await;
    let first = ws.frame().await;
    fs::rename(&other, app.path()).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", app.path().display()));
    }
    let resync = frame_of_kind(&mut ws, "resync").await;
    assert_ne!(epoch(&resync), epoch(&first));
    app.sql("insert into tasks (title) values ('later')");
    assert_eq!(epoch(&frame_of_kind(&mut ws, "task.started").await), epoch(&resync));
    // A cursor of the old file cannot be resumed on the new one.
    let cursor = first["cursor"].as_str().unwrap();
    let again = app.ws(&format!("?since={cursor}")).await.frame().await;
    assert_eq!(again["payload"]["tasks"][0]["title"], "later");
}

#[tokio::test]
async fn a_file_restored_by_sqlite_gets_a_new_epoch() {
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('kept')");
    let copy = app.folder.path().join("copy.db");
    app.sql(&format!(".backup '{}'", copy.display()));
    app.sql("insert into tasks (title) values ('lost')");
    let mut ws = app.ws("").await;
    let first = ws.frame().await;
    app.sql(&format!(".restore '{}'", copy.display()));
    let resync = frame_of_kind(&mut ws, "resync").await;
    assert_ne!(epoch(&resync), epoch(&first));
    let again = app.ws(&format!("?since={}", first["cursor"].as_str().unwrap())).await.frame().await;
    assert_eq!(again["type"], "snapshot");
}

#[tokio::test]
async fn an_overwritten_file_gives_503_until_it_is_replaced() {
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('kept')");
    let copy = app.folder.path().join("copy.db");
    app.sql(&format!("vacuum into '{}'", copy.display()));
    let mut ws = app.ws("").await;
    ws.frame().await;
    // The write-ahead log must be empty. Otherwise SQLite would restore pages of the file from it.
    while app.sql("pragma wal_checkpoint(truncate)") != "0|0|0" {}
    fs::write(app.path(), vec![b'x'; 100_000]).unwrap();
    frame_of_kind(&mut ws, "closing").await;
    assert_eq!(ws.closed().await.0, 1012);
    let status = || async { reqwest::get(app.url("/readyz")).await.unwrap().status().as_u16() };
    assert_eq!(status().await, 503);
    assert!(reqwest::get(app.url("/healthz")).await.unwrap().status().is_success());
    fs::rename(&copy, app.path()).unwrap();
    let whole = async {
        while status().await == 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, whole).await.unwrap();
    assert_eq!(app.ws("").await.frame().await["payload"]["tasks"][0]["title"], "kept");
}

/// The first page is intact, so the file opens. Only the integrity check finds the damage.
#[tokio::test]
async fn a_file_damaged_behind_its_first_page_gives_503_until_it_is_replaced() {
    let app = App::start_with(|config| config.file_check_interval = Duration::from_secs(2)).await;
    app.sql(
        "insert into tasks (title) with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000) \
         select i || printf('%0400d', 0) from n",
    );
    let copy = app.folder.path().join("copy.db");
    app.sql(&format!("vacuum into '{}'", copy.display()));
    while app.sql("pragma wal_checkpoint(truncate)") != "0|0|0" {}
    let mut ws = app.ws("").await;
    ws.frame().await;
    let file = fs::OpenOptions::new().write(true).open(app.path()).unwrap();
    file.write_all_at(&[b'x'; 20 * 4096], 100 * 4096).unwrap();
    tokio::time::timeout(PATIENCE * 2, frame_of_kind(&mut ws, "closing")).await.unwrap();
    let status = || async { reqwest::get(app.url("/readyz")).await.unwrap().status().as_u16() };
    let back_in_service = tokio::time::timeout(Duration::from_secs(2), async { while status().await == 503 {} }).await;
    assert!(back_in_service.is_err());
    fs::rename(&copy, app.path()).unwrap();
    let whole = async { while status().await == 503 {} };
    tokio::time::timeout(PATIENCE, whole).await.unwrap();
}

/// A person may delete the rows of the log to save space.
#[tokio::test]
async fn folding_ends_on_a_log_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requery.db");
    let database = Database::open(path.clone().into()).await.unwrap();
    sqlite3(&path, "insert into tasks (title) values ('a'); delete from changes");
    tokio::time::timeout(PATIENCE, fold::fold_all(&database)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let app = App::start().await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_requery"))
        .args(["--listen", "127.0.0.1:0", "--database-url"])
        .arg(app.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("another requery serves"), "{output:?}");
}
