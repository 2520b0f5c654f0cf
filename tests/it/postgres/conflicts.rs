//! Transactions that meet each other: the one door runs them again, a taken key is a conflict, and a wait has a bound.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use requery::server::access::scope::Scope;
use requery::server::database::{Database, DatabaseError, Location, WriteTransaction};
use sea_orm::ConnectionTrait;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Barrier;

use super::replica::Replica;
use super::session::Session;
use crate::app::PATIENCE;
use crate::cluster::{Cluster, TestDatabase};
use crate::process::ServerProcess;

const TASKS: [&str; 2] = ["0190b0a0-0000-7000-8000-000000000001", "0190b0a0-0000-7000-8000-000000000002"];

async fn opened(database: &TestDatabase) -> Database {
    Database::open(database.url.parse::<Location>().unwrap()).await.unwrap()
}

/// Runs `fails` in the first try of a write, and then starts a task. Returns the number of tries.
async fn write(database: &Database, fails: &'static str) -> (Result<(), DatabaseError>, u32) {
    let tries = AtomicU32::new(0);
    let write = async |tx: &WriteTransaction| {
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            tx.execute_unprepared(fails).await?;
        }
        tx.execute_unprepared("insert into tasks (title) values ('written')").await?;
        Ok::<_, DatabaseError>(())
    };
    let written = database.write(Scope::All, write).await.map(drop);
    (written, tries.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serialization_failure_is_tried_again_and_no_other_error_is() {
    let test = Cluster::shared().create_database();
    let database = opened(&test).await;
    let (written, tries) = write(&database, "do $$ begin raise exception using errcode = '40001'; end $$").await;
    assert!(written.is_ok() && tries == 2, "{tries}: {written:?}");
    assert_eq!(test.psql("select count(*) from tasks where title = 'written'"), "1");
    let (written, tries) = write(&database, "do $$ begin raise exception using errcode = '22012'; end $$").await;
    assert!(written.is_err() && tries == 1, "{tries}: {written:?}");
    assert_eq!(test.psql("select count(*) from tasks where title = 'written'"), "1");
}

/// Each of the two transactions locks a task and then the task of the other one. Postgres ends one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_transactions_in_a_deadlock_both_are_written() {
    let test = Cluster::shared().create_database();
    let database = opened(&test).await;
    for task in TASKS {
        test.psql(&format!("insert into tasks (id, title) values ('{task}', 'a')"));
    }
    let (both_locked, tries) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let writes = [[0, 1], [1, 0]].map(|order| {
        let (database, both_locked, tries) = (database.clone(), both_locked.clone(), tries.clone());
        tokio::spawn(async move {
            let write = async |tx: &WriteTransaction| {
                // A later try meets nobody.
                let is_first = tries.fetch_add(1, Ordering::SeqCst) < 2;
                for place in order {
                    let id = TASKS[place];
                    let sql = format!("update tasks set title = title || 'x' where id = '{id}'");
                    tx.execute_unprepared(&sql).await?;
                    if is_first && place == order[0] {
                        both_locked.wait().await;
                    }
                }
                Ok::<_, DatabaseError>(())
            };
            database.write(Scope::All, write).await.map(drop)
        })
    });
    for write in writes {
        write.await.unwrap().unwrap();
    }
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    assert_eq!(test.psql("select distinct title from tasks"), "axx");
}

/// Another transaction has stored the key and is not committed when the write looks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_meanwhile_is_a_conflict() {
    let test = Cluster::shared().create_database();
    let server = Replica::start(&test).await;
    let mut session = Session::open(&test);
    session.succeed(&format!("begin; insert into tasks (id, title) values ('{}', 'theirs')", TASKS[0]));
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let meanwhile = async {
        let began = Instant::now();
        while test.psql(waits) != "1" {
            assert!(began.elapsed() < PATIENCE, "the write waits for the other one");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        session.succeed("commit");
    };
    let ours = server.client.post("/api/v1/tasks", json!({"task_id": TASKS[0], "title": "ours"}));
    let (answer, ()) = tokio::join!(ours, meanwhile);
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert_eq!(test.psql("select title from tasks"), "theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_for_a_lock_only_as_long_as_the_setting_says() {
    let test = Cluster::shared().create_database();
    let folder = TempDir::new().unwrap();
    let server = ServerProcess::start(Path::new(&test.url), folder.path(), |command| {
        command.args(["--database-lock-timeout", "200ms"]);
    });
    test.psql(&format!("insert into tasks (id, title) values ('{}', 'a')", TASKS[0]));
    let mut session = Session::open(&test);
    session.succeed("begin; update tasks set title = 'b'");
    let began = Instant::now();
    let body = json!({"title": "c"});
    let path = format!("/api/v1/tasks/{}", TASKS[0]);
    let answer = server.send(reqwest::Method::PATCH, &path, Some(&body)).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(began.elapsed() < Duration::from_secs(4), "the default is 5 s: {:?}", began.elapsed());
    session.succeed("commit");
    assert_eq!(server.send(reqwest::Method::PATCH, &path, Some(&body)).await.unwrap().status(), 200);
    assert_eq!(test.psql("select title from tasks"), "c");
}
