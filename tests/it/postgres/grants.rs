//! A role with the printed rights alone, and writes that go around the ordinary triggers.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::replica::{Replica, kind};
use super::session::Session;
use crate::app::{PATIENCE, Ws};
use crate::cluster::{Cluster, SCHEMA, TestDatabase};

const TASK: &str = "0190b0a0-0000-7000-8000-000000000001";

/// The tables that a program writes.
const WRITABLE: [&str; 6] = ["tasks", "sessions", "events", "bookmarks", "usage", "agents"];

/// Makes a role with the printed rights. A role belongs to the whole cluster.
fn role_of(database: &TestDatabase) -> String {
    let role = format!("writer of {}", database.name);
    database.psql(&format!("create role \"{role}\" login; {}", requery_migrations::postgres::grants(SCHEMA, &role)));
    role.replace(' ', "%20")
}

/// The kinds of the notices up to one of this kind.
async fn kinds_until(ws: &mut Ws, last: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != last) {
        kinds.push(kind(&ws.frame().await).to_owned());
    }
    kinds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_the_printed_rights_writes_each_table_and_its_changes_are_shown() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let role = role_of(&database);
    let mut ws = server.stream("").await.0;
    let write = |sql: &str| database.try_psql_as(&role, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    for (sql, notice) in [
        (format!("insert into tasks (id, title) values ('{TASK}', 'a')"), "task.started"),
        ("update tasks set title = 'b'".to_owned(), "task.updated"),
        (format!("insert into sessions (task_id) values ('{TASK}')"), "session.started"),
        ("update sessions set status = 'completed'".to_owned(), "session.ended"),
        (format!("insert into events (task_id, kind) values ('{TASK}', 'log')"), "event.logged"),
        ("update events set title = 'c'".to_owned(), "event.updated"),
        (format!("insert into bookmarks (task_id, title) values ('{TASK}', 'd')"), "bookmark.saved"),
        ("update bookmarks set note = 'e'".to_owned(), "bookmark.saved"),
        ("delete from bookmarks".to_owned(), "bookmark.deleted"),
        (format!("insert into usage (task_id, answer_id, input_tokens) values ('{TASK}', 'x', 3)"), "task.updated"),
        ("update usage set input_tokens = 4".to_owned(), "task.updated"),
        ("insert into agents (source, version) values ('s', '1')".to_owned(), "agent.registered"),
        ("begin; update agents set version = '2'; delete from agents; commit".to_owned(), "agent.changed"),
        ("delete from usage".to_owned(), "task.updated"),
        ("delete from tasks".to_owned(), "task.deleted"),
    ] {
        write(&sql);
        assert_eq!(kind(&ws.frame().await), notice, "{sql}");
    }
    assert_eq!(write("select count(*) from task_counts"), "0");
}

#[test]
fn a_role_with_the_printed_rights_reads_and_changes_nothing_else() {
    let database = Cluster::shared().create_database();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Replica::start(&database));
    let role = role_of(&database);
    let tables =
        "select c.relname from pg_class c where relnamespace = 'requery'::regnamespace and relkind in ('r', 'v', 'p')
        order by 1";
    let tables = database.psql(tables);
    let others: Vec<_> = tables.lines().filter(|table| !WRITABLE.contains(table)).collect();
    for table in ["changes", "folded", "figures", "leases", "epoch", "requery_triggers", "settings", "floor"] {
        assert!(others.contains(&table), "{table}: {tables}");
    }
    let mut session = Session::open_as(&role, &database);
    let mut refused = |sql: &str| {
        let error = session.run(sql);
        assert!(
            ["permission denied", "must be owner", "view \"task_counts\""].iter().any(|text| error.contains(text)),
            "{sql}: {error}"
        );
    };
    for table in others {
        if table != "task_counts" {
            refused(&format!("select * from {table}"));
        }
        for sql in [format!("delete from {table}"), format!("insert into {table} default values")] {
            refused(&sql);
        }
    }
    for table in WRITABLE {
        for sql in [
            format!("truncate {table} cascade"),
            format!("alter table {table} disable trigger user"),
            format!("drop table {table} cascade"),
        ] {
            refused(&sql);
        }
    }
    for sql in [
        "create table requery.mine (a bigint)",
        "set session_replication_role = replica",
        "select setval('events_position_seq', 1)",
        "create or replace function requery.fresh_id() returns text language sql as 'select 1'",
    ] {
        refused(sql);
    }
    drop(server);
}

#[test]
fn a_refused_row_names_its_column_or_its_rule() {
    let database = Cluster::shared().create_database();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Replica::start(&database));
    let role = role_of(&database);
    database.psql(&format!("insert into tasks (id, title) values ('{TASK}', 'a')"));
    let other = "0190b0a0-0000-7000-8000-000000000002";
    for (sql, named) in [
        (format!("insert into events (task_id, kind) values ('{other}', 'log')"), "COLUMN NAME:  task_id"),
        (format!("insert into tasks (title, parent_task_id) values ('b', '{other}')"), "COLUMN NAME:  parent_task_id"),
        (format!("update tasks set parent_task_id = '{TASK}'"), "COLUMN NAME:  parent_task_id"),
        ("insert into tasks (project) values ('p')".to_owned(), "COLUMN NAME:  title"),
        ("insert into tasks (title) values ('')".to_owned(), "CONSTRAINT NAME:  title_is_1_to_500_characters"),
        ("update tasks set status = 'done'".to_owned(), "CONSTRAINT NAME:  status_is_known"),
        (
            format!("insert into events (task_id, kind, metadata) values ('{TASK}', 'log', 'no JSON')"),
            "metadata_is_a_json_object",
        ),
        (
            format!("insert into events (task_id, kind, position) values ('{TASK}', 'log', 9007199254740991)"),
            "COLUMN NAME:  position",
        ),
    ] {
        let error = database.try_psql_as(&role, &format!("\\set VERBOSITY verbose\n{sql}")).expect_err(&sql);
        assert!(error.contains(named), "{sql}: {error}");
    }
    assert_eq!(database.psql("select count(*) from tasks; select count(*) from events"), "1\n0");
    drop(server);
}

#[test]
fn truncate_is_refused_and_changes_no_row() {
    let database = Cluster::shared().create_database();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Replica::start(&database));
    database.psql(&format!("insert into tasks (id, title) values ('{TASK}', 'a')"));
    for table in WRITABLE {
        let error = database.try_psql(&format!("truncate {table} cascade")).expect_err(table);
        assert!(error.contains("cannot be truncated: use DELETE, which logs its changes"), "{table}: {error}");
    }
    assert_eq!(database.psql("select count(*) from tasks"), "1");
    drop(server);
}

/// A logical subscription applies its rows in this way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_a_replication_role_have_notices() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let mut ws = server.stream("").await.0;
    let apply = |sql: &str| database.psql(&format!("set session_replication_role = replica; {sql}"));
    apply(&format!("insert into tasks (id, title) values ('{TASK}', 'a')"));
    assert_eq!(kinds_until(&mut ws, "task.started").await.len(), 1);
    apply("update tasks set title = 'b'");
    kinds_until(&mut ws, "task.updated").await;
    assert_eq!(server.client.get(&format!("/api/v1/tasks/{TASK}")).await.at("/task/title"), "b");
    apply(&format!("insert into events (task_id, kind) select '{TASK}', 'log' from generate_series(1, 3)"));
    let frame = ws.frame().await;
    assert_eq!((kind(&frame), &frame["count"]), ("event.logged", &Value::from(3)), "{frame}");
    server.until_known().await;
    assert_eq!(server.client.get("/api/v1/overview").await.at("/stats/total_events"), 3);
    // A subscription applies the deletion of each row by itself.
    apply("delete from events; delete from tasks");
    kinds_until(&mut ws, "task.deleted").await;
    assert_eq!(server.client.get(&format!("/api/v1/tasks/{TASK}")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_trigger_comes_back_and_each_stream_is_told() {
    let database = Cluster::shared().create_database();
    let start = || Replica::start_with(&database, |config| config.schema_check_interval = Duration::from_millis(500));
    let (a, b) = (start().await, start().await);
    let mut streams = [a.stream("").await.0, b.stream("").await.0];
    for sql in ["drop trigger tasks_started on tasks", "alter table tasks disable trigger tasks_started"] {
        let began = Instant::now();
        database.psql(&format!("begin; {sql}; insert into tasks (title) values ('without a notice'); commit"));
        let enabled = "select count(*) from pg_trigger where tgname = 'tasks_started' and tgenabled = 'O'";
        while database.psql(enabled) != "1" {
            assert!(began.elapsed() < PATIENCE, "the trigger is back in time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("{sql}: back after {:?}", began.elapsed());
        for ws in &mut streams {
            kinds_until(ws, "resync").await;
        }
        println!("{sql}: all streams are told after {:?}", began.elapsed());
        for server in [&a, &b] {
            let tasks = server.client.get("/api/v1/overview").await.at("/stats/total_tasks").to_string();
            assert_eq!(tasks, database.psql("select count(*) from tasks"));
        }
    }
}
