//! The schema: how it is made, put right and refused. Each test has a database of its own.

use requery_migrations::{MigrateError, postgres};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement, TransactionTrait};

use crate::cluster::Cluster;

async fn connected() -> DatabaseConnection {
    let mut options = ConnectOptions::new(Cluster::shared().create_database().url);
    options.max_connections(2).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn text(db: &DatabaseConnection, sql: &str) -> String {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn a_schema_is_made_once() {
    let db = connected().await;
    postgres::admit(&db, "made").await.unwrap();
    let first = postgres::migrate(&db, "made").await.unwrap();
    assert_eq!((first.applied.len(), first.put_back.len(), first.lost.len()), (1, 0, 0), "{first:?}");
    let epoch = text(&db, "select token from made.epoch").await;
    assert_eq!(postgres::migrate(&db, "made").await.unwrap(), requery_migrations::Migrated::default());
    assert_eq!(text(&db, "select token from made.epoch").await, epoch);
    assert!(postgres::differences(&db, "made").await.unwrap().is_empty());
    postgres::admit(&db, "made").await.unwrap();
    // Two schemas of one database do not know each other.
    let (one, two) = tokio::join!(postgres::migrate(&db, "made_too"), postgres::migrate(&db, "made_too"));
    assert_eq!(one.unwrap().applied.len() + two.unwrap().applied.len(), 1);
    run(&db, "insert into made_too.tasks (title) values ('a')").await;
    assert_eq!(text(&db, "select count(*)::text from made.changes").await, "0");
    assert_eq!(text(&db, "select count(*)::text from made_too.changes").await, "1");
}

#[tokio::test]
async fn what_another_program_dropped_or_changed_is_made_again() {
    let db = connected().await;
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
            run(&db, "create function mended.fresh_id() returns text language sql as 'select gen_random_uuid()::text'")
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
async fn what_no_trigger_saw_is_put_right() {
    let db = connected().await;
    postgres::migrate(&db, "untriggered").await.unwrap();
    run(
        &db,
        "set search_path = untriggered; drop trigger tasks_updated on tasks; alter table events disable trigger user;
        insert into tasks (id, title, project, source, external_id) select
            '0190b0a0-0000-7000-8000-00000000000' || n, 't', 'p' || n, 's', case when n > 4 then 'same' end
            from generate_series(1, 6) n;
        update tasks set parent_task_id = '0190b0a0-0000-7000-8000-00000000000' ||
            case right(id, 1) when '1' then '2' when '2' then '3' when '3' then '1' else '3' end
            where right(id, 1) <> '4';
        insert into usage (task_id, answer_id, input_tokens) select id, 'a', 5 from tasks;
        insert into bookmarks (task_id) select id from tasks;
        insert into events (task_id, kind) select id, 'log' from tasks;
        delete from figure_deltas",
    )
    .await;
    let migrated = postgres::migrate(&db, "untriggered").await.unwrap();
    assert_eq!(
        migrated.put_right,
        [
            "1 rows: a task was below itself, and is at the top of its tree now",
            "4 rows: the project of a task was not that of the task above it"
        ]
    );
    let of = |sql: &str| format!("select coalesce(string_agg(it::text, ' ' order by it), '') from ({sql}) t (it)");
    let tops = "select right(id, 1) || project from untriggered.tasks where parent_task_id is null";
    assert_eq!(text(&db, &of(tops)).await, "1p1 4p4");
    assert_eq!(text(&db, &of("select distinct project from untriggered.bookmarks")).await, "p1 p4");
    assert_eq!(text(&db, &of("select external_id from untriggered.tasks where external_id is not null")).await, "same");
    let figures = "select project || figure || '=' || value from untriggered.figures where figure ~ 'running|input'";
    let expected = "p1tasks.running=5 p1usage.input_tokens=25 p4tasks.running=1 p4usage.input_tokens=5";
    assert_eq!(text(&db, &of(figures)).await, expected);
    assert_eq!(text(&db, &of("select distinct event_count from untriggered.task_counts")).await, "1");
}

/// As after a restore of the output of `pg_dump`.
#[tokio::test]
async fn a_restored_schema_begins_a_new_log() {
    let db = connected().await;
    postgres::migrate(&db, "restored").await.unwrap();
    run(&db, "insert into restored.tasks (title) values ('a')").await;
    run(&db, "insert into restored.events (task_id, kind) select id, 'log' from restored.tasks").await;
    run(&db, "update restored.requery_triggers set hash = 1 where name = 'database'").await;
    run(&db, "update restored.folded set next = '9000000000:9000000000:'").await;
    let migrated = postgres::migrate(&db, "restored").await.unwrap();
    assert_eq!(migrated.put_back, ["database"]);
    run(&db, "insert into restored.events (task_id, kind) select id, 'log' from restored.tasks").await;
    assert_eq!(text(&db, "select event_count::text from restored.task_counts").await, "2");
    assert_eq!(text(&db, "select count(*)::text from restored.changes").await, "1");
    assert_eq!(postgres::migrate(&db, "restored").await.unwrap(), requery_migrations::Migrated::default());
}

#[tokio::test]
async fn a_schema_that_does_not_fit_is_refused() {
    let db = connected().await;
    run(&db, "create schema odd; create table odd.other (a bigint)").await;
    assert!(matches!(postgres::migrate(&db, "odd").await, Err(MigrateError::Foreign(table)) if table == "other"));
    run(&db, "drop table odd.other").await;
    postgres::migrate(&db, "odd").await.unwrap();
    run(&db, "alter table odd.tasks drop constraint mode_is_known").await;
    assert_eq!(postgres::migrate(&db, "odd").await.unwrap().lost, ["the table tasks: mode_is_known"]);
    run(&db, "alter table odd.sessions drop column host").await;
    let broken = postgres::migrate(&db, "odd").await.unwrap_err();
    assert_eq!(broken.to_string(), "its tables were changed: the table sessions has no column host");
    let lost = ["the table sessions has no column host", "index sessions_running"];
    assert_eq!(postgres::differences(&db, "odd").await.unwrap(), lost);
    run(&db, "insert into odd.requery_migrations (name) values ('9999_later')").await;
    assert!(matches!(postgres::admit(&db, "odd").await, Err(MigrateError::Newer(name)) if name == "9999_later"));
    run(&db, "do $$ begin create role requery_nobody; exception when duplicate_object then null; end $$").await;
    let tx = db.begin().await.unwrap();
    tx.execute_unprepared("set local role requery_nobody").await.unwrap();
    let refused = postgres::admit(&tx, "nowhere").await.unwrap_err().to_string();
    assert!(refused.contains("the schema nowhere does not exist, and the user requery_nobody may not"), "{refused}");
    tx.rollback().await.unwrap();
    assert!(matches!(postgres::migrate(&db, "no name").await, Err(MigrateError::Unfit(_))));
}

#[tokio::test]
async fn a_role_writes_and_does_not_touch_the_log() {
    let db = connected().await;
    postgres::migrate(&db, "granted").await.unwrap();
    run(&db, "do $$ begin create role requery_writer; exception when duplicate_object then null; end $$").await;
    run(&db, &postgres::grants("granted", "requery_writer")).await;
    run(
        &db,
            "begin; set local role requery_writer; set local search_path = granted; insert into tasks (id, title) values ('0190b0a0-0000-7000-8000-000000000001', 'a');
            insert into events (task_id, kind) select id, 'log' from tasks;
            insert into events (position, task_id, kind) select 500, id, 'log' from tasks;
            insert into events (task_id, kind) select id, 'log' from tasks;
            insert into sessions (task_id) select id from tasks; insert into bookmarks (task_id) select id from tasks;
            insert into usage (task_id, answer_id) select id, 'a' from tasks; insert into agents (source) values ('a');
            update tasks set project = 'p', status = 'waiting'; update events set title = 'b'; commit",
    )
    .await;
    assert_eq!(text(&db, "select max(position)::text from granted.events").await, "501");
    let forged = "create temp table forged (project text, source text); create trigger forged after insert on forged
        referencing new table as new_rows for each statement execute function log_new_agents()";
    for write in [forged, "delete from changes", "update folded set next = ''", "select * from figure_deltas"] {
        let tx = db.begin().await.unwrap();
        tx.execute_unprepared("set local role requery_writer; set local search_path = granted, pg_temp").await.unwrap();
        let refused = tx.execute_unprepared(write).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
        tx.rollback().await.unwrap();
    }
}

/// The trigger that takes a chosen place was disabled meanwhile.
#[tokio::test]
async fn a_recount_takes_the_places_that_no_trigger_took() {
    let db = connected().await;
    postgres::migrate(&db, "places").await.unwrap();
    run(
        &db,
        "set search_path = places; insert into tasks (id, title) values ('0190b0a0-0000-7000-8000-000000000001', 'a');
        alter table events disable trigger events_logged;
        insert into events (task_id, kind, position) select id, 'log', place from tasks, (values (40), (9007199254740991)) it (place)",
    )
    .await;
    let put_back = postgres::migrate(&db, "places").await.unwrap().put_back;
    assert_eq!(put_back, ["trigger events_logged on events"]);
    let next = "insert into places.events (task_id, kind) select id, 'log' from places.tasks returning position::text";
    assert_eq!(text(&db, next).await, "41");
}

/// Of a trigger that was disabled for one transaction nothing is left but the number of that transaction.
#[tokio::test]
async fn a_trigger_that_was_disabled_for_one_transaction_is_found() {
    let db = connected().await;
    postgres::migrate(&db, "once").await.unwrap();
    run(
        &db,
        "begin; alter table once.tasks disable trigger tasks_started; insert into once.tasks (title) values ('a');
        alter table once.tasks enable trigger tasks_started; commit",
    )
    .await;
    assert_eq!(postgres::differences(&db, "once").await.unwrap(), ["trigger tasks_started on tasks"]);
    assert_eq!(postgres::migrate(&db, "once").await.unwrap().put_back, ["trigger tasks_started on tasks"]);
    assert_eq!(text(&db, "select value::text from once.figures where figure = 'tasks.running'").await, "1");
    run(&db, "insert into once.settings values ('notify', 'on')").await;
    assert_eq!(postgres::differences(&db, "once").await.unwrap(), Vec::<String>::new());
}

/// A fault that no statement repairs without a loss must not keep the triggers from coming back.
#[tokio::test]
async fn triggers_come_back_to_tables_with_faults() {
    let db = connected().await;
    postgres::migrate(&db, "faulty").await.unwrap();
    run(&db, "alter table faulty.tasks alter title drop not null; drop trigger tasks_started on faulty.tasks").await;
    assert!(matches!(postgres::migrate(&db, "faulty").await, Err(MigrateError::Broken(_))));
    assert_eq!(postgres::put_back(&db, "faulty").await.unwrap(), ["trigger tasks_started on tasks"]);
    assert_eq!(postgres::put_back(&db, "faulty").await.unwrap(), Vec::<String>::new());
    run(&db, "insert into faulty.tasks (title) values ('a')").await;
    assert_eq!(text(&db, "select kind from faulty.changes").await, "task.started");
}

/// Other programs wait behind a migration that waits, so it does not wait for long.
#[tokio::test]
async fn a_migration_gives_up_soon_where_a_table_is_locked() {
    let db = connected().await;
    postgres::migrate(&db, "locked").await.unwrap();
    run(&db, "drop trigger tasks_started on locked.tasks").await;
    let reader = db.begin().await.unwrap();
    reader.execute_unprepared("select * from locked.tasks").await.unwrap();
    let refused = postgres::migrate(&db, "locked").await.unwrap_err().to_string();
    assert!(refused.contains("lock timeout"), "{refused}");
    reader.rollback().await.unwrap();
    assert_eq!(postgres::migrate(&db, "locked").await.unwrap().put_back, ["trigger tasks_started on tasks"]);
}
