//! A journal beside the database file: another program, which used no write-ahead log, was killed in the middle of a
//! write.
//!
//! The file has a part of the write. The journal has the old pages, and no program can read the file before they are
//! back.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::app::sqlite3;
use crate::process::ServerProcess;

fn start(path: &Path) -> Result<ServerProcess, String> {
    ServerProcess::try_start(path, path.parent().unwrap(), |_| ())
}

/// A database with the task `a` and a killed write beside it.
async fn interrupted() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("r.db");
    let server = start(&path).unwrap();
    assert_eq!(server.add("a").await.0, 201);
    server.stop();
    assert_eq!(sqlite3(&path, "pragma journal_mode = delete"), "delete");
    let mut program = Command::new("sqlite3");
    let mut program = program.arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The transaction does not fit into the memory of the program, so pages are written before its end.
    let sql = "pragma cache_size = 5; begin immediate; update tasks set title = 'half written';
        with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000)
            insert into tasks (title) select printf('%0200d', i) from n;
        select 'written';";
    writeln!(program.stdin.as_mut().unwrap(), "{sql}").unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "written\n");
    program.kill().unwrap();
    program.wait().unwrap();
    let read = Command::new("sqlite3").arg("-readonly").arg(&path).arg("select count(*) from tasks").output().unwrap();
    assert!(!read.status.success(), "the write left no journal");
    (folder, path)
}

#[tokio::test]
async fn a_start_undoes_a_write_that_did_not_end() {
    let (folder, path) = interrupted().await;
    // With the record of the last run, and on a first start.
    for has_record in [true, false] {
        let (_folder, path) = if has_record {
            (None, path.clone())
        } else {
            let (folder, path) = interrupted().await;
            fs::remove_file(folder.path().join("r.db.lock")).unwrap();
            (Some(folder), path)
        };
        let server = start(&path).unwrap();
        assert_eq!(server.titles().await, "a");
        assert!(server.log().contains("a write of another program had not ended: it was undone"), "{}", server.log());
        assert_eq!(server.add("b").await.0, 201);
        server.kill();
        assert_eq!(start(&path).unwrap().titles().await, "a b");
        assert_eq!(sqlite3(&path, "pragma integrity_check"), "ok");
    }
    drop(folder);
}

/// SQLite would bring the old pages of one file into another one, or delete them beside a missing file.
#[tokio::test]
async fn a_journal_beside_another_file_or_none_is_left_alone() {
    let (folder, path) = interrupted().await;
    let [journal, old, away] = ["r.db-journal", "old.db", "away"].map(|name| folder.path().join(name));
    let other = folder.path().join("other.db");
    let server = start(&other).unwrap();
    assert_eq!(server.add("other").await.0, 201);
    server.stop();
    let before = fs::read(&journal).unwrap();
    fs::rename(&path, &old).unwrap();
    for has_file in [false, true] {
        if has_file {
            fs::rename(&other, &path).unwrap();
        }
        for _ in 0..2 {
            let refused = start(&path).err().unwrap();
            let sentence = if has_file { "let SQLite undo it" } else { "is missing or empty, but" };
            assert!(refused.contains(sentence) && refused.contains("r.db-journal"), "{refused}");
        }
        assert_eq!(fs::read(&journal).unwrap(), before);
    }
    // Both ways out: the journal away, and the old file back.
    fs::rename(&journal, &away).unwrap();
    let server = start(&path).unwrap();
    assert_eq!(server.titles().await, "other");
    server.stop();
    fs::rename(&path, &other).unwrap();
    fs::rename(&old, &path).unwrap();
    fs::rename(&away, &journal).unwrap();
    assert_eq!(sqlite3(&path, "select title from tasks"), "a");
}
