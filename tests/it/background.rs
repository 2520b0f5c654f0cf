//! The background work of a server beside other programs that write without a busy timeout.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::app::{App, BACKGROUND_PATIENCE, sqlite3};
use crate::process::ServerProcess;
use crate::sources::source_files;

/// Only requests write at once, and the probe of a storage that failed, beside which no program can write. All other
/// code of the server writes through the door for background work.
#[test]
fn only_requests_write_without_giving_way() {
    let code = |text: &str| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    let at_once = |text: &str| {
        let text = code(text);
        ["database.write(", ".write(Scope::", ".write_once("].iter().any(|write| text.contains(write))
    };
    let files = source_files(&["src/server"]);
    let wrong: Vec<_> = files.iter().filter(|file| at_once(&file.text)).map(|file| file.path.as_str()).collect();
    let allowed = ["src/server/database/background.rs", "src/server/database/write.rs", "src/server/http/writing.rs"];
    assert_eq!(wrong, allowed);
}

/// One write of a `sqlite3` process with its own defaults: it fails at once if the write lock is taken.
fn insert(path: &Path, sql: &str) -> Result<(), String> {
    let output = Command::new("sqlite3").arg(path).arg(sql).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Rows to fold and to index, and old changes to prune.
const BACKLOG: &str = "
    with recursive n (i) as (select 1 union all select i + 1 from n where i < 40)
        insert into tasks (title, project) select 'task ' || i, 'p' || (i % 20) from n;
    with recursive n (i) as (select 1 union all select i + 1 from n where i < 50)
        insert into events (task_id, kind, title) select id, 'log', 'some words of event ' || i from tasks, n";

/// The state of the background work: what is not folded and what is not indexed.
const LEFT: &str = "select (select count(*) from changes where id >= (select next from folded))
    + (select count(*) from figure_deltas where id >= (select deltas from folded)),
    (select count(*) from changes where id >= (select next from searched)) + (select stage is not null from searched)";

#[tokio::test]
async fn a_lone_writer_never_meets_the_background_work_of_the_server() {
    // Longer than the default, since a busy machine takes its time between two processes.
    let pause = Duration::from_secs(2);
    let app = App::start_with(|config| config.background_pause = pause).await;
    let path = app.path();
    sqlite3(&path, BACKLOG);
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    let mut failed = Vec::new();
    let mut last = began;
    for n in 0..200 {
        if let Err(error) = insert(&path, &format!("insert into tasks (title) values ('n {n}')")) {
            failed.push(format!("{n}: {error}"));
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    let left = sqlite3(&path, LEFT);
    assert_eq!(failed, Vec::<String>::new(), "the longest write took {longest:?}");
    assert!(!left.starts_with("0|") && !left.ends_with("|0"), "{left}");

    // After the pause the server does all of it.
    let done = async {
        while sqlite3(&path, LEFT) != "0|0" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(BACKGROUND_PATIENCE, done).await.unwrap();
}

/// The number behind a word of a log line, such as `changes=`.
fn number(line: &str, word: &str) -> u64 {
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("no {word} in {line}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// The sums of a long history do not fit into one transaction. Each step reads its own part of the log, and not the
/// rest of the history again.
#[tokio::test]
async fn a_long_history_is_read_a_few_times_until_it_is_folded() {
    const TASKS: u64 = 2_000;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    let start =
        || ServerProcess::start(&path, folder.path(), |command| _ = command.env("REQUERY_LOG", "requery=debug"));
    start().stop();
    sqlite3(
        &path,
        &format!(
            "insert into tasks (title, project)
                with recursive n (i) as (select 1 union all select i + 1 from n where i < {TASKS}) select 't', 'p' || i from n;
            insert into events (task_id, kind) select id, 'log' from tasks"
        ),
    );
    std::fs::write(folder.path().join("server.log"), "").unwrap();
    let server = start();
    let folded = "select next > (select max(id) from changes) from folded";
    let until = Instant::now() + BACKGROUND_PATIENCE;
    while sqlite3(&path, folded) != "1" {
        assert!(Instant::now() < until, "the history is not folded in time: {}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = server.log();
    let reads: Vec<&str> =
        log.lines().filter(|line| line.contains("the sums of a part of the log were made")).collect();
    assert!(reads.len() > 10, "the sums fit into few transactions: {reads:?}");
    let changes: u64 = reads.iter().map(|line| number(line, "changes=")).sum();
    let deltas: u64 = reads.iter().map(|line| number(line, "deltas=")).sum();
    // A part that is too large is read again as its halves.
    assert!(
        changes <= 2 * TASKS * 6 && deltas <= 2 * TASKS * 6,
        "{changes} changes and {deltas} deltas were read: {reads:#?}"
    );
}
