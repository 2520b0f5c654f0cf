//! The schema on Postgres. `REQUERY_TEST_POSTGRES` names a database in which each test makes a schema of its own.
#![allow(clippy::unwrap_used)]

use requery_migrations::{MigrateError, postgres};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

async fn connected(schema: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(std::env::var("REQUERY_TEST_POSTGRES").unwrap());
    options.max_connections(2).sqlx_logging(false);
    let db = Database::connect(options).await.unwrap();
    run(&db, &format!("drop schema if exists {schema} cascade")).await;
    db
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn text(db: &DatabaseConnection, sql: &str) -> String {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
#[ignore = "needs a Postgres"]
async fn a_schema_is_made_once() {
    let db = connected("made").await;
    postgres::admit(&db, "made").await.unwrap();
    let first = postgres::migrate(&db, "made").await.unwrap();
    assert_eq!((first.applied.len(), first.put_back.len(), first.lost.len()), (1, 0, 0), "{first:?}");
    let epoch = text(&db, "select token from made.epoch").await;
    assert_eq!(postgres::migrate(&db, "made").await.unwrap(), requery_migrations::Migrated::default());
    assert_eq!(text(&db, "select token from made.epoch").await, epoch);
    assert!(postgres::differences(&db, "made").await.unwrap().is_empty());
    postgres::admit(&db, "made").await.unwrap();
    // Two schemas of one database do not know each other.
    let _ = connected("made_too").await;
    let (one, two) = tokio::join!(postgres::migrate(&db, "made_too"), postgres::migrate(&db, "made_too"));
    assert_eq!(one.unwrap().applied.len() + two.unwrap().applied.len(), 1);
    run(&db, "insert into made_too.tasks (title) values ('a')").await;
    assert_eq!(text(&db, "select count(*)::text from made.changes").await, "0");
    assert_eq!(text(&db, "select count(*)::text from made_too.changes").await, "1");
}

#[tokio::test]
#[ignore = "needs a Postgres"]
async fn what_another_program_dropped_or_changed_is_made_again() {
    let db = connected("mended").await;
    postgres::migrate(&db, "mended").await.unwrap();
    run(&db, "set search_path = mended; insert into tasks (id, title) values (fresh_id(), 'a')").await;
    for (change, found) in [
        ("drop trigger events_logged on events", "trigger events_logged on events"),
        ("alter table events disable trigger events_logged", "trigger events_logged on events"),
        (
            "create or replace function log_new_events() returns trigger language plpgsql as 'begin return null; end'",
            "function log_new_events",
        ),
        ("drop function fresh_id cascade", "function fresh_id"),
        ("drop index tasks_listed", "index tasks_listed"),
        ("drop view task_counts", "view task_counts"),
    ] {
        run(&db, &format!("set search_path = mended; {change}")).await;
        let differences = postgres::differences(&db, "mended").await.unwrap();
        assert!(differences.contains(&found.to_owned()), "{change}: {differences:?}");
        if change.contains("fresh_id") {
            // Its defaults went with it.
            assert!(matches!(postgres::migrate(&db, "mended").await, Err(MigrateError::Broken(_))));
            run(
                &db,
                &format!(
                    "create function mended.fresh_id() returns text language sql as 'select gen_random_uuid()::text'"
                ),
            )
            .await;
            for table in ["tasks", "sessions", "events", "bookmarks"] {
                run(&db, &format!("alter table mended.{table} alter id set default mended.fresh_id()")).await;
            }
        }
        run(&db, "insert into mended.events (task_id, kind) select id, 'log' from mended.tasks").await;
        let epoch = text(&db, "select token from mended.epoch").await;
        let migrated = postgres::migrate(&db, "mended").await.unwrap();
        assert!(migrated.put_back.contains(&found.to_owned()), "{change}: {migrated:?}");
        let is_kept = text(&db, "select token from mended.epoch").await == epoch;
        assert_eq!(is_kept, found.starts_with("index") || found.starts_with("view"), "{change}");
        assert!(postgres::differences(&db, "mended").await.unwrap().is_empty(), "{change}");
    }
    assert_eq!(text(&db, "select event_count::text from mended.task_counts").await, "6");
    assert_eq!(text(&db, "select count(*)::text from mended.changes where kind = 'event.logged'").await, "6");
}

#[tokio::test]
#[ignore = "needs a Postgres"]
async fn a_schema_that_does_not_fit_is_refused() {
    let db = connected("odd").await;
    run(&db, "create schema odd; create table odd.other (a bigint)").await;
    assert!(matches!(postgres::migrate(&db, "odd").await, Err(MigrateError::Foreign(table)) if table == "other"));
    run(&db, "drop table odd.other").await;
    postgres::migrate(&db, "odd").await.unwrap();
    run(&db, "alter table odd.tasks drop constraint mode_is_known").await;
    assert_eq!(postgres::migrate(&db, "odd").await.unwrap().lost, ["the table tasks: mode_is_known"]);
    run(&db, "alter table odd.sessions drop column host").await;
    let broken = postgres::migrate(&db, "odd").await.unwrap_err();
    assert_eq!(broken.to_string(), "its tables were changed: the table sessions has no column host");
    assert_eq!(postgres::differences(&db, "odd").await.unwrap(), ["the table sessions has no column host"; 1]);
    run(&db, "insert into odd.requery_migrations (name) values ('9999_later')").await;
    assert!(matches!(postgres::admit(&db, "odd").await, Err(MigrateError::Newer(name)) if name == "9999_later"));
    assert!(matches!(postgres::migrate(&db, "no name").await, Err(MigrateError::Unfit(_))));
}

#[tokio::test]
#[ignore = "needs a Postgres"]
async fn a_role_writes_and_does_not_touch_the_log() {
    let db = connected("granted").await;
    postgres::migrate(&db, "granted").await.unwrap();
    run(&db, "do $$ begin create role requery_writer; exception when duplicate_object then null; end $$").await;
    run(&db, &postgres::grants("granted", "requery_writer")).await;
    let as_writer = "begin; set local role requery_writer; set local search_path = granted;";
    run(
        &db,
        &format!(
            "{as_writer} insert into tasks (id, title) values ('0190b0a0-0000-7000-8000-000000000001', 'a');
            insert into events (task_id, kind) select id, 'log' from tasks;
            insert into events (position, task_id, kind) select 500, id, 'log' from tasks;
            insert into events (task_id, kind) select id, 'log' from tasks;
            insert into sessions (task_id) select id from tasks; insert into bookmarks (task_id) select id from tasks;
            insert into usage (task_id, answer_id) select id, 'a' from tasks; insert into agents (source) values ('a');
            update tasks set project = 'p', status = 'waiting'; update events set title = 'b'; commit"
        ),
    )
    .await;
    assert_eq!(text(&db, "select max(position)::text from granted.events").await, "501");
    for write in ["delete from changes", "update folded set next = ''", "select * from figure_deltas"] {
        let refused = db.execute_unprepared(&format!("{as_writer} {write}; commit")).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
        run(&db, "rollback").await;
    }
}
