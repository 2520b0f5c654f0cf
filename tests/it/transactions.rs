//! `Database::write` and `Database::read`, the only ways to run statements.

use std::future::Future;
use std::task::Poll;

use requery::protocol::write::NewTask;
use requery::protocol::{ReadModel, TaskId, limits};
use requery::server::access::scope::Scope;
use requery::server::database::{Database, DatabaseError, ReadKey, ReadTransaction, WriteTransaction};
use requery::server::error::ApiError;
use requery::server::ingest;
use requery::server::read;
use tempfile::TempDir;

use crate::app::sqlite3;

const NOW: i64 = 1_700_000_000_000;

async fn open() -> (TempDir, Database) {
    let folder = TempDir::new().unwrap();
    let database = Database::open(folder.path().join("requery.db").into()).await.unwrap();
    (folder, database)
}

async fn start(tx: &WriteTransaction, title: &str) -> Result<TaskId, ApiError> {
    start_in(tx, "", title).await
}

async fn start_in(tx: &WriteTransaction, project: &str, title: &str) -> Result<TaskId, ApiError> {
    let new: NewTask = serde_json::from_value(serde_json::json!({"project": project, "title": title})).unwrap();
    Ok(ingest::task::start(tx, new, NOW).await?.0)
}

async fn titles(database: &Database) -> String {
    titles_of(database, Scope::All).await
}

async fn titles_of(database: &Database, scope: Scope) -> String {
    let queries = async |tx: &ReadTransaction| {
        let tasks = read::first_screen(tx).await?.1;
        Ok::<_, DatabaseError>(Some(tasks.items.into_iter().map(|task| task.title).collect::<Vec<_>>()))
    };
    let answer = database.read(scope, None, ReadKey::not_kept("titles"), queries).await.unwrap();
    String::from_utf8(answer.json().unwrap().to_vec()).unwrap()
}

/// Only a committed transaction returns a cursor.
#[tokio::test]
async fn verbs_that_fail_leave_no_row() {
    let (_folder, database) = open().await;
    let before = database.snapshot(Scope::All).await.unwrap().cursor().clone();
    let refused = database.write(Scope::All, async |tx| {
        start(tx, "rolled back").await?;
        Err::<(), _>(ApiError::bad_request("refused"))
    });
    assert!(matches!(refused.await, Err(ApiError::BadRequest(_))));
    assert_eq!(titles(&database).await, "[]");
    assert_eq!(database.snapshot(Scope::All).await.unwrap().cursor(), &before);

    // The failed transaction has released the write lock.
    let committed = database.write(Scope::All, async |tx| start(tx, "kept").await).await.unwrap();
    let (_, cursor) = committed.into_parts();
    assert!(cursor.covers(&before) && cursor != before);
    assert_eq!(titles(&database).await, "[\"kept\"]");
}

#[tokio::test]
async fn a_read_returns_only_the_rows_of_its_scope() {
    let (_folder, database) = open().await;
    for (project, title) in [("web", "in web"), ("api", "in api")] {
        database.write(Scope::All, async |tx| start_in(tx, project, title).await).await.unwrap();
    }
    assert_eq!(titles_of(&database, Scope::Of("web".to_owned())).await, "[\"in web\"]");
    assert_eq!(titles_of(&database, Scope::Of("api".to_owned())).await, "[\"in api\"]");
    assert_eq!(titles_of(&database, Scope::Of("none".to_owned())).await, "[]");
    let all = titles(&database).await;
    assert!(all.contains("in web") && all.contains("in api"), "{all}");
}

#[tokio::test]
async fn equal_answers_have_one_entity_tag() {
    let (_folder, database) = open().await;
    let answer = async |value: u8| {
        let queries = async |_: &ReadTransaction| Ok::<_, DatabaseError>(Some(value));
        database.read(Scope::All, None, ReadKey::not_kept("value"), queries).await.unwrap()
    };
    let one = answer(1).await;
    assert_eq!(one.etag(), answer(1).await.etag());
    assert_ne!(one.etag(), answer(2).await.etag());
    assert_eq!(one.cursor(), database.snapshot(Scope::All).await.unwrap().cursor());
}

#[test]
fn a_read_key_names_the_operation_and_the_given_parameters() {
    let tasks = || ReadKey::new("tasks", ReadModel::Overview);
    let key = tasks().with("status", None::<&str>).with("limit", Some(50)).with("before", Some("a b"));
    assert_eq!(key.to_string(), "tasks limit=\"50\" before=\"a b\"");
    assert_ne!(key, tasks().with("limit", Some(50)));
}

/// A client can leave at any moment of its write: the future is dropped after each number of polls in turn.
#[tokio::test]
async fn a_write_that_is_dropped_leaves_no_transaction_open() {
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    let mut finished = 0;
    for polls in 1..200 {
        let title = format!("task {polls}");
        let write = database.write(Scope::All, async |tx| {
            start(tx, &title).await?;
            start(tx, &format!("{title} again")).await
        });
        let mut write = Box::pin(write);
        let mut left = polls;
        let ended = std::future::poll_fn(|context| {
            left -= 1;
            match write.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        drop(write);
        finished += usize::from(ended.is_some());
        // The next write gets the lock and is stored: another process sees it, and half a write is never there.
        database.write(Scope::All, async |tx| start(tx, "next").await).await.unwrap();
        let count = |title: &str| sqlite3(&path, &format!("select count(*) from tasks where title = '{title}'"));
        assert_eq!(count("next"), polls.to_string());
        assert_eq!(count(&title), count(&format!("{title} again")));
        if ended.is_some_and(|done| done.is_ok()) {
            assert_eq!(count(&title), "1");
        }
        if finished > 2 {
            return;
        }
    }
    panic!("no write ended within 200 polls");
}

/// A trigger of another program ends the whole transaction. A verb that ignores the error must not go on in a
/// transaction of its own for each statement.
#[tokio::test]
async fn no_statement_runs_after_one_that_failed() {
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    sqlite3(
        &path,
        "create trigger refuse before insert on tasks when new.title = 'bad' begin select raise(rollback, 'no'); end",
    );
    let written = database.write(Scope::All, async |tx| {
        start(tx, "before").await?;
        assert!(start(tx, "bad").await.is_err());
        assert!(start(tx, "after").await.is_err());
        Ok::<_, ApiError>(())
    });
    assert!(written.await.is_err());
    assert_eq!(sqlite3(&path, "select count(*) from tasks"), "0");
    database.write(Scope::All, async |tx| start(tx, "kept").await).await.unwrap();
    assert_eq!(sqlite3(&path, "select title from tasks; begin immediate; rollback"), "kept");
}

/// Clients that come back hold every connection that reads, and more of them wait. A write neither waits with them, nor
/// fails after its commit because no cursor could be read.
#[tokio::test]
async fn a_write_waits_for_no_reader() {
    let (_folder, database) = open().await;
    let connections = limits::READS + limits::SEARCHES + limits::STREAM_BEGINNINGS;
    let mut held = Vec::new();
    for _ in 0..connections {
        held.push(database.snapshot(Scope::All).await.unwrap());
    }
    let waiting = tokio::spawn({
        let database = database.clone();
        async move { database.snapshot(Scope::All).await.unwrap().cursor().clone() }
    });
    let write = database.write(Scope::All, async |tx| start(tx, "stored").await);
    let (_, cursor) = tokio::time::timeout(limits::CONNECTION_WAIT / 2, write).await.unwrap().unwrap().into_parts();
    assert!(!waiting.is_finished(), "a connection was free");
    assert!(!held[0].cursor().covers(&cursor));
    drop(held);
    assert!(waiting.await.unwrap().covers(&cursor));
    assert_eq!(titles(&database).await, "[\"stored\"]");
}
