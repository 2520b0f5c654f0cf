//! Rows that a logical subscription applies, and transactions with another isolation than usual.
//!
//! The worker of a subscription applies rows as `session_replication_role = replica` does: ordinary triggers and foreign
//! keys do not fire.

use std::time::{Duration, Instant};

use super::replica::{Replica, kind};
use super::session::Session;
use crate::app::PATIENCE;
use crate::cluster::{Cluster, TestDatabase};

const TASK: &str = "0190b0a0-0000-7000-8000-000000000001";
const OTHER: &str = "0190b0a0-0000-7000-8000-000000000002";
const EVENT: &str = "0190b0a0-0000-7000-8000-000000000003";

/// A database with the schema. The server that made it has ended, so nothing folds the log or repairs the schema.
async fn prepared() -> TestDatabase {
    let database = Cluster::shared().create_database();
    Replica::start(&database).await.app.stop().await;
    database
}

fn apply(database: &TestDatabase, sql: &str) -> Result<String, String> {
    database.try_psql(&format!("\\set VERBOSITY verbose\nset session_replication_role = replica;\n{sql}"))
}

#[tokio::test]
async fn truncate_is_refused_where_other_triggers_do_not_fire() {
    let database = prepared().await;
    database.psql(&format!("insert into tasks (id, title) values ('{TASK}', 'a')"));
    for table in ["tasks", "sessions", "events", "bookmarks", "usage", "agents"] {
        let error = apply(&database, &format!("truncate {table} cascade")).expect_err(table);
        assert!(error.contains("cannot be truncated"), "{table}: {error}");
    }
    assert_eq!(database.psql("select count(*) from tasks"), "1");
}

/// The tables of a subscription are copied side by side, so an event can come before its task.
#[tokio::test]
async fn a_row_that_comes_before_its_task_is_refused_and_comes_again() {
    let database = prepared().await;
    let rows = [
        format!("insert into events (task_id, kind) values ('{TASK}', 'log')"),
        format!("insert into sessions (task_id) values ('{TASK}')"),
        format!("insert into bookmarks (task_id) values ('{TASK}')"),
        format!("insert into usage (task_id, answer_id) values ('{TASK}', 'a')"),
    ];
    for sql in &rows {
        let error = apply(&database, sql).expect_err(sql);
        assert!(error.contains("COLUMN NAME:  task_id"), "{sql}: {error}");
    }
    assert_eq!(database.psql("select count(*) from changes"), "0");
    apply(&database, &format!("insert into tasks (id, title) values ('{TASK}', 'a')")).unwrap();
    for sql in &rows {
        apply(&database, sql).unwrap();
    }
    let logged = database.psql("select string_agg(distinct kind, ' ' order by kind) from changes");
    assert_eq!(logged, "bookmark.saved event.logged session.started task.started task.updated");
    // The other changes of such a row log nothing, because its task is gone.
    apply(&database, "delete from tasks; update events set title = 'x'; delete from events").unwrap();
    assert_eq!(database.psql("select kind from changes order by xid desc, id desc limit 1"), "task.deleted");
}

#[tokio::test]
async fn events_of_this_server_come_after_applied_ones() {
    let database = prepared().await;
    database.psql(&format!("insert into tasks (id, title) values ('{TASK}', 'a')"));
    let place =
        || database.psql(&format!("insert into events (task_id, kind) values ('{TASK}', 'log') returning position"));
    for (applied, next) in [(3, "4"), (900_000, "900001")] {
        apply(&database, &format!("insert into events (task_id, kind, position) values ('{TASK}', 'log', {applied})"))
            .unwrap();
        assert_eq!(place(), next);
    }
    let far = format!("insert into events (task_id, kind, position) values ('{TASK}', 'log', 1000000000001)");
    let error = apply(&database, &far).unwrap_err();
    assert!(error.contains("COLUMN NAME:  position"), "{error}");
}

/// A program that publishes the whole schema also publishes the log, whose transactions are those of another server.
#[tokio::test]
async fn rows_of_the_log_of_another_server_are_not_taken() {
    let database = prepared().await;
    database.psql("insert into tasks (title) values ('a')");
    let rows = "insert into changes (xid, kind, project) values ('99999999', 'task.updated', 'p');
        insert into changes (kind, project) values ('task.updated', 'own'); delete from changes";
    apply(&database, rows).unwrap();
    assert_eq!(database.psql("select kind, project from changes order by xid, id"), "task.started|\ntask.updated|own");
}

/// The snapshot of such a transaction does not show the rows that others put below a task meanwhile.
#[tokio::test]
async fn a_task_is_moved_and_deleted_with_the_isolation_that_sees_all_rows_below_it() {
    let database = prepared().await;
    database
        .psql(&format!("insert into tasks (id, title, project) values ('{TASK}', 'a', 'p'), ('{OTHER}', 'b', 'p')"));
    let mut session = Session::open(&database);
    for isolation in ["repeatable read", "serializable"] {
        session.succeed(&format!("\\set VERBOSITY verbose\nbegin isolation level {isolation}"));
        session.succeed("select count(*) from tasks");
        database.psql(&format!("insert into tasks (title, parent_task_id) values ('below', '{TASK}')"));
        for (sql, column) in [
            (format!("update tasks set project = 'q' where id = '{TASK}'"), "project"),
            (format!("update tasks set parent_task_id = '{OTHER}' where id = '{TASK}'"), "parent_task_id"),
            (format!("delete from tasks where id = '{TASK}'"), "id"),
        ] {
            session.succeed("savepoint before");
            let error = session.run(&sql);
            let expected = ["isolation read committed", &format!("COLUMN NAME:  {column}")].map(str::to_owned);
            assert!(expected.iter().all(|text| error.contains(text)), "{isolation}, {sql}: {error}");
            session.succeed("rollback to savepoint before");
        }
        session.succeed(&format!("update tasks set title = 'n', project = 'p' where id = '{TASK}'"));
        session.succeed("commit");
    }
    session.succeed(&format!("update tasks set project = 'q' where id = '{TASK}'"));
    assert_eq!(database.psql("select project, count(*) from tasks group by 1 order by 1"), "p|1\nq|3");
    session.succeed(&format!("delete from tasks where id = '{TASK}'"));
    assert_eq!(database.psql("select project, count(*) from tasks group by 1"), "p|1");
}

/// No foreign key keeps the task of an event: the trigger locks the row of the task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_left_without_its_task() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let mut ws = server.stream("").await.0;
    let start = || database.psql(&format!("insert into tasks (id, title) values ('{TASK}', 'a')"));
    let insert = format!("insert into events (id, task_id, kind) values ('{EVENT}', '{TASK}', 'log')");
    let (mut writer, mut deleter) = (Session::open(&database), Session::open(&database));
    // The event is not committed yet, so the deletion waits for it and takes it along, with its bookmark.
    start();
    writer.succeed(&format!("begin; {insert}; insert into bookmarks (task_id, event_id) values ('{TASK}', '{EVENT}')"));
    let deletion = std::thread::spawn(move || {
        deleter.succeed("delete from tasks");
        deleter
    });
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    while database.psql(waits) != "1" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.succeed("commit");
    let mut deleter = deletion.join().unwrap();
    let left = || database.psql("select count(*) from events union all select count(*) from bookmarks");
    assert_eq!(left(), "0\n0");
    // The deletion is not committed yet, so the event waits for it and is refused.
    start();
    deleter.succeed("begin; delete from tasks");
    let insertion = std::thread::spawn(move || writer.run(&insert));
    while database.psql(waits) != "1" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    deleter.succeed("commit");
    let error = insertion.join().unwrap();
    assert!(error.contains("task_id: there is no such task"), "{error}");
    assert_eq!(left(), "0\n0");
    let mut deleted = 0;
    while deleted < 2 {
        deleted += usize::from(kind(&ws.frame().await) == "task.deleted");
    }
    server.until_known().await;
    assert_eq!(server.client.get("/api/v1/overview").await.at("/stats/total_events"), 0);
}

/// The screens of this server show what a subscription brings from another cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logical_subscription_is_on_every_screen() {
    let publisher = Cluster::start_with(&["wal_level=logical"]);
    let theirs = publisher.create_database();
    Replica::start(&theirs).await.app.stop().await;
    theirs.psql("create publication agents for table tasks, events");
    let ours = Cluster::shared().create_database();
    let server = Replica::start(&ours).await;
    let (mut ws, _) = server.stream("").await;
    ours.psql(&format!(
        "create subscription agents connection 'host=127.0.0.1 port={} dbname={} user=postgres' publication agents",
        publisher.port(),
        theirs.name
    ));
    // What is written before the first copy of the tables ends can come with that copy.
    let began = Instant::now();
    while ours.psql("select count(*) from pg_subscription_rel where srsubstate <> 'r'") != "0" {
        assert!(began.elapsed() < PATIENCE, "the subscription is ready in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    theirs.psql(&format!("insert into tasks (id, title) values ('{TASK}', 'far away')"));
    theirs.psql(&format!("insert into events (id, task_id, kind) values ('{EVENT}', '{TASK}', 'log')"));
    theirs.psql(&format!("update tasks set status = 'waiting' where id = '{TASK}'"));
    let mut kinds = std::collections::BTreeSet::new();
    while kinds.len() < 3 {
        let frame = ws.frame().await;
        if frame.to_string().contains(TASK) {
            kinds.insert(kind(&frame).to_owned());
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["event.logged", "task.started", "task.updated"]);
    assert_eq!(server.client.get(&format!("/api/v1/tasks/{TASK}")).await.text_at("/task/status"), "waiting");
    theirs.psql("delete from tasks");
    while kind(&ws.frame().await) != "task.deleted" {}
    ours.psql("drop subscription agents");
}
