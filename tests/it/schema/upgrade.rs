//! The upgrade of databases from the time of eight migrations, before these became one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{check_notices_of_writes, check_overview_figures, create_database, migrate, schema, triggers};
use crate::app::{App, PATIENCE, sqlite3};

/// Makes a database as the eight migrations made it.
pub fn early(folder: &Path) -> PathBuf {
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema/made-by-eight-migrations.sql");
    let path = folder.join("requery.db");
    sqlite3(&path, &format!(".read '{}'", dump.display()));
    path
}

/// The rows of each table that the upgrade must keep.
fn rows(path: &Path) -> Vec<String> {
    let tables = "tasks sessions events bookmarks usage search_documents search_tasks";
    // Later migrations add columns to the tasks and the sessions.
    let names = |table| {
        let later = "'trigger_writes', 'counted_to', 'listed_at', 'status_detail', 'status_certain', 'todos', 'model', 'branch', 'last_commit', 'pull_request', 'host'";
        format!("select group_concat(name) from pragma_table_info('{table}') where name not in ({later})")
    };
    let (tasks, sessions) = (sqlite3(path, &names("tasks")), sqlite3(path, &names("sessions")));
    let bookmarks = "id, task_id, event_id, title, note, created_at, updated_at";
    let select = |table| {
        let columns = match table {
            "tasks" => &*tasks,
            "sessions" => &*sessions,
            "bookmarks" => bookmarks,
            _ => "*",
        };
        format!("select {columns} from {table} order by 1, 2")
    };
    let figures = "select * from figures where value <> 0 and figure not glob 'hour.*' order by 1, 2".to_owned();
    let changes =
        "select id, kind, project, task_id, parent_task_id, object_id, status, count, at from changes".to_owned();
    tables.split(' ').map(select).chain([figures, changes]).map(|select| sqlite3(path, &select)).collect()
}

#[tokio::test]
async fn a_database_of_eight_migrations_is_upgraded() {
    let folder = Arc::new(TempDir::new().unwrap());
    let path = early(folder.path());
    let (before, columns) = (rows(&path), sqlite3(&path, "select * from tasks").lines().count());
    assert!(columns >= 4);
    let hours = sqlite3(
        &path,
        "select project, cast(substr(figure, 6) as integer), value from figures where figure glob 'hour.*'",
    );
    assert!(hours.lines().count() > 0);
    let output = migrate(&path);
    assert!(output.status.success(), "{output:?}");
    // No other program dropped its triggers, so none is put back.
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{} is up to date\n", path.display()));
    assert_eq!(rows(&path), before);
    assert_eq!(sqlite3(&path, "select project, hour, events from activity"), hours);
    // The list of agents begins with the agents whose hooks were taken before.
    assert_eq!(sqlite3(&path, "select source, host, project, heard_at from agents"), "codex||acme-web|1795665300000");
    let other = TempDir::new().unwrap();
    assert_eq!(schema(&path), schema(&create_database(&other).await));

    let app = App::start_in(folder, |_| ()).await;
    let mut ws = app.ws("").await;
    let titles: Vec<Value> = ws.frame().await["payload"]["tasks"].as_array().unwrap().clone();
    assert!(titles.iter().any(|task| task["title"] == "Write the parser"));
    check_notices_of_writes(&app, &mut ws).await;
    check_overview_figures(&app, 1).await;
}

/// The database lost a trigger, and a write since then fired none.
#[tokio::test]
async fn a_database_of_eight_migrations_that_lost_triggers_is_upgraded_and_repaired() {
    let folder = TempDir::new().unwrap();
    let path = early(folder.path());
    sqlite3(&path, "drop trigger events_logged; insert into events (task_id, kind) select id, 'log' from tasks");
    let text = String::from_utf8(migrate(&path).stdout).unwrap();
    assert!(text.contains("put back: trigger events_logged\n"), "{text}");
    let other = TempDir::new().unwrap();
    assert_eq!(triggers(&path), triggers(&create_database(&other).await));
    let wrong = "select count(*) from task_counts where event_count <> (select count(*) from events where task_id = task_counts.id)";
    assert_eq!(sqlite3(&path, wrong), "0");
}

/// Rows that the version before took and this one refuses, among them a tree with three projects.
const BROKEN: &str = "
    insert into tasks (id, title, project, parent_task_id, created_at, changed_at) values
        ('0190b0a0-0000-7000-8000-0000000000a1', 'top', 'p', null, 9223372036854775806, 9223372036854775806),
        ('0190b0a0-0000-7000-8000-0000000000a2', 'middle', 'q', '0190b0a0-0000-7000-8000-0000000000a1', -5, 1),
        ('0190b0a0-0000-7000-8000-0000000000a3', 'low', '', '0190b0a0-0000-7000-8000-0000000000a2', 1, 253402300799999);
    insert into sessions (task_id, started_at, ended_at)
        values ('0190b0a0-0000-7000-8000-0000000000a3', 9223372036854775807, -1);
    insert into events (position, id, task_id, kind, created_at, updated_at) values
        (9223372036854775807, '0190b0a0-0000-7000-8000-0000000000e1', '0190b0a0-0000-7000-8000-0000000000a1', 'log',
            9223372036854775000, 1),
        (-3, '0190b0a0-0000-7000-8000-0000000000e2', '0190b0a0-0000-7000-8000-0000000000a1', 'log', 1, -1);
    insert into bookmarks (task_id, event_id, created_at, updated_at) values
        ('0190b0a0-0000-7000-8000-0000000000a1', '0190b0a0-0000-7000-8000-0000000000e1', -1, 9223372036854775807);
    insert into usage (task_id, answer_id, at) values ('0190b0a0-0000-7000-8000-0000000000a3', 'one', -1)";

/// A row that breaks a new rule never keeps a server from its start. It is put right, and each screen fetches again.
#[tokio::test]
async fn rows_that_break_the_new_rules_are_put_right() {
    let folder = Arc::new(TempDir::new().unwrap());
    let path = early(folder.path());
    let greatest = sqlite3(&path, "select max(position) from events").parse::<i64>().unwrap();
    sqlite3(&path, BROKEN);
    let text = String::from_utf8(migrate(&path).stdout).unwrap();
    for line in [
        "put right: 2 rows: a time of the last change of a task was not between 1970 and now",
        "put right: 2 rows: a time of a task was not between 1970 and 9999",
        "put right: 1 rows: a time of a session was not between 1970 and 9999",
        "put right: 2 rows: a time of an event was not between 1970 and 9999",
        "put right: 2 rows: the place of an event was not between 1 and 1000000000000",
        "put right: 2 rows: the project of a task was not that of the task above it",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(sqlite3(&path, "pragma integrity_check"), "ok");
    // The run of the migration itself.
    assert_eq!(sqlite3(&path, "select count(*) from runs"), "1");
    let tree = "select title, project from tasks where title in ('top', 'middle', 'low') order by id";
    assert_eq!(sqlite3(&path, tree), "top|p\nmiddle|p\nlow|p");
    let places = "select position from events where id glob '0190b0a0-0000-7000-8000-0000000000e*' order by id desc";
    assert_eq!(sqlite3(&path, places), format!("{}\n{}", greatest + 1, greatest + 2));
    assert_eq!(sqlite3(&path, "select count(*) from bookmarks where event_id not in (select id from events)"), "0");
    let other = TempDir::new().unwrap();
    assert_eq!(schema(&path), schema(&create_database(&other).await));

    let app = App::start_in(folder, |_| ()).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    check_notices_of_writes(&app, &mut ws).await;
    check_overview_figures(&app, 1).await;
}

/// A program that made a table anew left it without the words that the migration looks for. The checks stay missing.
#[tokio::test]
async fn a_table_that_was_made_anew_is_upgraded_without_its_checks() {
    let folder = Arc::new(TempDir::new().unwrap());
    let path = early(folder.path());
    let sql = sqlite3(&path, "select sql from sqlite_master where name = 'bookmarks' and type = 'table'");
    let other_words =
        sql.replacen("CREATE TABLE bookmarks", "CREATE TABLE \"new\"", 1).replace(" integer", "  INTEGER");
    sqlite3(
        &path,
        &format!(
            "begin; {other_words}; insert into new select * from bookmarks; drop table bookmarks;
             pragma legacy_alter_table = on; alter table new rename to bookmarks; commit"
        ),
    );
    let text = String::from_utf8(migrate(&path).stdout).unwrap();
    assert!(
        text.contains("lost, and not put back: the table bookmarks: created_at_is_in_the_years_1970_to_9999"),
        "{text}"
    );
    let app = App::start_in(folder, |_| ()).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    check_notices_of_writes(&app, &mut ws).await;
}

/// Of two processes at once each succeeds or reports that another process has the file.
#[tokio::test]
async fn two_processes_that_migrate_at_once_leave_a_complete_schema() {
    let folder = TempDir::new().unwrap();
    let path = early(folder.path());
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["migrate", "--database-url"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for child in [start(), start()] {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || text.contains("another requery serves"), "{text}");
    }
    let other = TempDir::new().unwrap();
    assert_eq!(schema(&path), schema(&create_database(&other).await));
}

/// Two connections without the lock beside the file: their transactions wait for each other.
#[tokio::test]
async fn two_connections_that_migrate_at_once_wait_for_each_other() {
    let folder = TempDir::new().unwrap();
    let path = early(folder.path());
    let connect = async || {
        let mut options = sea_orm::ConnectOptions::new(format!("sqlite://{}", path.display()));
        options.max_connections(1).sqlx_logging(false);
        sea_orm::Database::connect(options).await.unwrap()
    };
    let (one, other) = (connect().await, connect().await);
    let both = tokio::join!(requery_migrations::migrate(&one), requery_migrations::migrate(&other));
    both.0.unwrap();
    both.1.unwrap();
}

/// A trigger that keeps the transaction of the migration open for longer than a test waits. First the trigger writes
/// more pages than the page cache holds, so that pages of the transaction are in the write-ahead log.
const HOLD: &str = "
create table filler (bytes);
create trigger hold after delete on runs begin
    insert into filler select zeroblob(1000) from (with recursive
        counted (n) as (select 1 union all select n + 1 from counted limit 20000) select n from counted);
    insert into filler select count(*) from (with recursive
        counted (n) as (select 1 union all select n + 1 from counted limit 1000000000) select n from counted);
end;
drop trigger events_logged";

/// The migration counts the figures again because a trigger is lost. The count ends with `delete from runs`, late in
/// the transaction, and there the process is killed.
#[tokio::test]
async fn a_migration_killed_in_its_transaction_changes_no_row_and_can_be_run_again() {
    let folder = TempDir::new().unwrap();
    let path = early(folder.path());
    sqlite3(&path, HOLD);
    let before = sqlite3(&path, ".dump");
    let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
    let mut child = command.args(["migrate", "--database-url"]).arg(&path).stdout(Stdio::null()).spawn().unwrap();
    let log = folder.path().join("requery.db-wal");
    let written = async {
        while log.metadata().map_or(0, |file| file.len()) < 10_000_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let written = tokio::time::timeout(PATIENCE, written).await;
    child.kill().unwrap();
    child.wait().unwrap();
    written.expect("the migration wrote no pages to the write-ahead log");
    assert!(sqlite3(&path, ".dump") == before, "the killed migration changed the database");
    sqlite3(&path, "drop trigger hold; drop table filler");
    assert!(migrate(&path).status.success());
    let other = TempDir::new().unwrap();
    assert_eq!(schema(&path), schema(&create_database(&other).await));
}
