//! A database file that is moved, replaced, linked or deleted, with the server running and with the server killed.
//!
//! Each test ends with a killed server and a restart: a restart never makes it worse.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::app::sqlite3;
use crate::process::ServerProcess;

fn start(path: &Path) -> Result<ServerProcess, String> {
    ServerProcess::try_start(path, path.parent().unwrap(), |_| ())
}

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("r.db")
    }

    fn serve(&self) -> ServerProcess {
        start(&self.database()).unwrap()
    }

    /// The names in the folder that begin so.
    fn names(&self, beginning: &str) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(beginning)).collect();
        names.sort();
        names
    }

    /// Another program that has the database open, until its input ends.
    fn hold_open(&self) -> Child {
        let mut program = Command::new("sqlite3");
        let mut program = program.arg(self.database()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(program.stdin.as_mut().unwrap(), "begin; select count(*) from tasks;").unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "2\n");
        program
    }

    /// Moves a file onto another name in one step, as `mv` does.
    fn mv(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

async fn add(server: &ServerProcess, titles: &str) {
    for title in titles.split(' ') {
        assert_eq!(server.add(title).await.0, 201);
    }
}

fn titles_in(path: &Path) -> String {
    sqlite3(path, "select group_concat(title, ' ') from (select title from tasks order by title)")
}

fn check_sound(path: &Path) {
    assert_eq!(sqlite3(path, "pragma integrity_check"), "ok");
}

#[tokio::test]
async fn a_backup_that_is_moved_over_the_served_file_is_served_as_it_is() {
    for round in 0..3 {
        let place = Place::new();
        let server = place.serve();
        add(&server, "a b").await;
        sqlite3(&place.database(), &format!(".backup '{}'", place.path("backup.db").display()));
        add(&server, "c d").await;
        sqlite3(&place.database(), "insert into tasks (title) values ('e')");
        let mut ws = server.ws("").await;
        ws.frame().await;
        place.mv("backup.db", "r.db");
        while ws.frame().await["type"] != "resync" {}
        server.until_ready_is(204).await;
        assert_eq!(server.titles().await, "a b", "{round}");
        check_sound(&place.database());
        add(&server, "f").await;
        sqlite3(&place.database(), "insert into tasks (title) values ('g')");
        // The log of the replaced file is kept, under a name that says so.
        assert_eq!(place.names("r.db-wal.of-moved-file").len(), 1);
        server.kill();
        let server = place.serve();
        assert_eq!(server.titles().await, "a b f g");
        check_sound(&place.database());
    }
}

#[tokio::test]
async fn a_second_server_is_refused_under_another_name_of_the_file() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a").await;
    fs::hard_link(place.database(), place.path("hard.db")).unwrap();
    std::os::unix::fs::symlink(place.database(), place.path("soft.db")).unwrap();
    fs::create_dir(place.path("sub")).unwrap();
    std::os::unix::fs::symlink("../r.db", place.path("sub/relative.db")).unwrap();
    for name in ["hard.db", "soft.db", "sub/relative.db"] {
        let refused = start(&place.path(name)).err().unwrap_or_else(|| panic!("{name} is served"));
        assert!(refused.contains("another requery serves"), "{name}: {refused}");
    }
    add(&server, "b").await;
    assert!(place.names("hard.db-").is_empty() && place.names("soft.db-").is_empty());
    server.kill();
    // The killed server holds no lock, and its log belongs to the first name.
    let refused = start(&place.path("hard.db")).err().unwrap();
    assert!(refused.contains("hard link") && refused.contains("serve it by that name"), "{refused}");
    let by_link = start(&place.path("soft.db")).unwrap();
    assert_eq!(by_link.titles().await, "a b");
    by_link.stop();
    assert_eq!(place.serve().titles().await, "a b");
    check_sound(&place.database());
}

#[tokio::test]
async fn a_file_that_is_moved_away_takes_all_changes_along_and_is_served_when_it_is_back() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a b").await;
    let mut ws = server.ws("").await;
    ws.frame().await;
    place.mv("r.db", "elsewhere.db");
    while ws.frame().await["type"] != "closing" {}
    server.until_ready_is(503).await;
    assert_eq!(server.add("lost").await.0, 503);
    assert!(!place.database().exists());
    server.until_log_contains("is missing or empty: put the file back").await;
    let problem = server.body("/api/v1/tasks").await;
    assert!(!problem.to_string().contains("r.db"), "{problem}");
    assert_eq!(titles_in(&place.path("elsewhere.db")), "a b");
    sqlite3(&place.path("elsewhere.db"), "insert into tasks (title) values ('c')");
    place.mv("elsewhere.db", "r.db");
    server.until_ready_is(204).await;
    assert_eq!(server.titles().await, "a b c");
    add(&server, "d").await;
    server.kill();
    assert_eq!(place.serve().titles().await, "a b c d");
    check_sound(&place.database());
}

/// A program that has the file open can write to it, so the server does not bring the log into the moved file. The log
/// keeps its name aside, and comes back with the file.
#[tokio::test]
async fn a_file_that_another_program_has_open_gets_its_log_back() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a b").await;
    let mut other = place.hold_open();
    place.mv("r.db", "elsewhere.db");
    server.until_ready_is(503).await;
    assert_eq!(place.names("r.db-wal.of-moved-file").len(), 1);
    place.mv("elsewhere.db", "r.db");
    server.until_ready_is(204).await;
    assert_eq!(server.titles().await, "a b");
    drop(other.stdin.take());
    other.wait().unwrap();
    add(&server, "c").await;
    server.kill();
    assert_eq!(place.serve().titles().await, "a b c");
    check_sound(&place.database());
}

/// A program that only writes once has the file open when it is moved.
#[tokio::test]
async fn a_file_gets_the_log_of_the_server_when_another_program_has_closed_it() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a b").await;
    let mut other = place.hold_open();
    place.mv("r.db", "elsewhere.db");
    server.until_ready_is(503).await;
    drop(other.stdin.take());
    other.wait().unwrap();
    server.until_log_contains("is missing or empty: put the file back").await;
    assert_eq!(titles_in(&place.path("elsewhere.db")), "a b");
    assert!(!server.log().contains("was moved without its newest changes"), "{}", server.log());
}

/// The file is back without its log, and a program writes it before the server is there.
#[tokio::test]
async fn a_file_that_lacks_its_newest_changes_is_refused_also_beside_another_log() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a b").await;
    let mut other = place.hold_open();
    place.mv("r.db", "elsewhere.db");
    server.until_log_contains("was moved without its newest changes").await;
    server.kill();
    other.kill().unwrap();
    other.wait().unwrap();
    place.mv("elsewhere.db", "r.db");
    let aside = place.names("r.db-wal.of-moved-file").remove(0);
    let mut writer = Command::new("sqlite3").arg(place.database()).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(writer.stdin.as_mut().unwrap(), "create table by_other (x);").unwrap();
    while !place.path("r.db-wal").metadata().is_ok_and(|log| log.len() > 0) {}
    writer.kill().unwrap();
    writer.wait().unwrap();
    for _ in 0..2 {
        let refused = start(&place.database()).err().unwrap();
        assert!(refused.contains("lacks its newest changes") && refused.contains(&aside), "{refused}");
    }
    fs::create_dir(place.path("old")).unwrap();
    place.mv(&aside, "old/wal");
    assert_eq!(place.serve().titles().await, "");
    check_sound(&place.database());
}

#[tokio::test]
async fn a_deleted_file_is_not_replaced_by_an_empty_one() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a").await;
    fs::remove_file(place.database()).unwrap();
    server.until_ready_is(503).await;
    assert_eq!(server.add("lost").await.0, 503);
    // An outside writer of a path without a file makes an empty file.
    fs::write(place.database(), "").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(server.status("/readyz").await, 503);
    let aside = place.names("r.db-wal.of-moved-file");
    assert_eq!(aside.len(), 1);
    server.kill();
    // The newest changes are still there, so a start makes no empty database either.
    for _ in 0..2 {
        let refused = start(&place.database()).err().unwrap();
        assert!(refused.contains("is missing or empty, but") && refused.contains(&aside[0]), "{refused}");
        assert_eq!(place.names("r.db-wal"), aside);
    }
    // The way out: with the log in another folder the person wants an empty database.
    fs::create_dir(place.path("old")).unwrap();
    place.mv(&aside[0], "old/wal");
    let server = place.serve();
    assert_eq!(server.titles().await, "");
    server.until_log_contains("is gone, and no log of it is left: an empty database begins").await;
}

#[tokio::test]
async fn a_file_that_is_removed_with_its_log_is_replaced_by_an_empty_one_at_a_start() {
    let place = Place::new();
    for is_killed in [false, true] {
        let server = place.serve();
        add(&server, "a").await;
        if is_killed {
            server.kill();
        } else {
            server.stop();
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(place.path(&format!("r.db{suffix}")));
        }
        let server = place.serve();
        assert_eq!(server.titles().await, "", "killed: {is_killed}");
        server.stop();
    }
}

#[tokio::test]
async fn a_deleted_log_loses_no_change() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a b").await;
    fs::remove_file(place.path("r.db-wal")).unwrap();
    // Not before the server has seen it: the rest is a race that a server cannot win.
    server.until_log_contains("the write-ahead log beside the file was").await;
    server.until_ready_is(204).await;
    add(&server, "c").await;
    server.kill();
    assert_eq!(place.serve().titles().await, "a b c");
    check_sound(&place.database());
}

/// A server that is killed before it sees the loss has its tables at least: the first start brings them into the file.
#[tokio::test]
async fn a_killed_server_without_its_log_still_has_its_tables() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a").await;
    server.kill();
    fs::remove_file(place.path("r.db-wal")).unwrap();
    let server = place.serve();
    assert_eq!(server.titles().await, "");
    add(&server, "b").await;
    check_sound(&place.database());
}

/// A copy is two files, and they come one after the other.
#[tokio::test]
async fn a_copy_that_comes_with_its_own_log_keeps_it() {
    for is_log_first in [true, false] {
        let place = Place::new();
        let server = place.serve();
        add(&server, "a b").await;
        server.kill();
        for suffix in ["", "-wal"] {
            fs::copy(place.path(&format!("r.db{suffix}")), place.path(&format!("copy.db{suffix}"))).unwrap();
        }
        let server = place.serve();
        add(&server, "c d").await;
        let moves = [("copy.db-wal", "r.db-wal"), ("copy.db", "r.db")];
        let (first, second) = if is_log_first { (moves[0], moves[1]) } else { (moves[1], moves[0]) };
        place.mv(first.0, first.1);
        server.until_ready_is(503).await;
        place.mv(second.0, second.1);
        server.until_ready_is(204).await;
        assert_eq!(server.titles().await, "a b", "the log first: {is_log_first}");
        add(&server, "e").await;
        server.kill();
        assert_eq!(place.serve().titles().await, "a b e");
        check_sound(&place.database());
    }
}

#[tokio::test]
async fn a_start_refuses_another_file_beside_the_log() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a b").await;
    sqlite3(&place.database(), &format!(".backup '{}'", place.path("backup.db").display()));
    add(&server, "c").await;
    server.kill();
    place.mv("r.db", "old.db");
    for has_file in [false, true] {
        if has_file {
            place.mv("backup.db", "r.db");
        }
        let before = fs::read(place.path("r.db-wal")).unwrap();
        for _ in 0..2 {
            let refused = start(&place.database()).err().unwrap();
            let sentence = if has_file { "belongs to another database file" } else { "is missing or empty, but" };
            assert!(refused.contains(sentence) && refused.contains("to another folder"), "{refused}");
        }
        assert_eq!(fs::read(place.path("r.db-wal")).unwrap(), before);
    }
    // Both ways out: the log away, and the old file back.
    place.mv("r.db-wal", "old.db-wal");
    let server = place.serve();
    assert_eq!(server.titles().await, "a b");
    server.stop();
    assert_eq!(titles_in(&place.path("old.db")), "a b c");
}

/// Another writer that closes the file in order deletes the log, and makes a new one later.
#[tokio::test]
async fn a_start_accepts_the_same_file_with_another_log_or_none() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a").await;
    server.kill();
    sqlite3(&place.database(), "insert into tasks (title) values ('b')");
    assert!(!place.path("r.db-wal").exists());
    let server = place.serve();
    assert_eq!(server.titles().await, "a b");
    server.kill();
    sqlite3(&place.database(), "insert into tasks (title) values ('c')");
    // The other writer is killed before it closes the file.
    let mut writer = Command::new("sqlite3").arg(place.database()).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(writer.stdin.as_mut().unwrap(), "insert into tasks (title) values ('d');").unwrap();
    while titles_in(&place.database()) != "a b c d" {}
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert!(place.path("r.db-wal").exists());
    assert_eq!(place.serve().titles().await, "a b c d");
}

#[tokio::test]
async fn a_link_that_leads_to_another_file_takes_a_restart() {
    let place = Place::new();
    for name in ["one", "two"] {
        let server = start(&place.path(&format!("{name}.db"))).unwrap();
        add(&server, name).await;
        server.stop();
    }
    let link = |target: &str| {
        let _ = fs::remove_file(place.database());
        std::os::unix::fs::symlink(target, place.database()).unwrap();
    };
    link("one.db");
    let server = place.serve();
    assert_eq!(server.titles().await, "one");
    link("two.db");
    server.until_ready_is(503).await;
    server.until_log_contains("leads to another file than at the start").await;
    server.stop();
    assert_eq!(place.serve().titles().await, "two");
}

/// `cp -l` makes a second name, and so do many backup programs.
#[tokio::test]
async fn a_file_with_a_second_name_is_served_unless_the_log_of_the_other_name_has_changes() {
    let place = Place::new();
    let server = place.serve();
    add(&server, "a").await;
    server.stop();
    fs::create_dir(place.path("backup")).unwrap();
    for name in ["copy.db", "backup/r.db"] {
        fs::hard_link(place.database(), place.path(name)).unwrap();
    }
    // As on the first start of a file.
    fs::remove_file(place.path("r.db.lock")).unwrap();
    let server = place.serve();
    add(&server, "b").await;
    assert_eq!(server.log().matches("has a second name, a hard link").count(), 1, "{}", server.log());
    for name in ["copy.db", "backup/r.db"] {
        let refused = start(&place.path(name)).err().unwrap();
        assert!(refused.contains("another requery serves"), "{name}: {refused}");
    }
    server.kill();
    let refused = start(&place.path("copy.db")).err().unwrap();
    assert!(refused.contains("r.db-wal has changes of that name"), "{refused}");
    place.serve().stop();
    // The file is whole now.
    let server = start(&place.path("copy.db")).unwrap();
    add(&server, "c").await;
    server.kill();
    let refused = start(&place.database()).err().unwrap();
    assert!(refused.contains("copy.db-wal has changes of that name"), "{refused}");
    assert_eq!(start(&place.path("copy.db")).unwrap().titles().await, "a b c");
    check_sound(&place.path("copy.db"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_so() {
    let place = Place::new();
    fs::write(place.database(), "a letter to a friend, and long enough to be more than one header of a file").unwrap();
    let refused = start(&place.database()).err().unwrap();
    assert!(refused.contains("is no SQLite database"), "{refused}");
    assert!(!refused.contains("damaged") && !refused.contains("Error:") && !refused.contains("(code"), "{refused}");
}
