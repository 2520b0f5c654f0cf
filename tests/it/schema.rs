//! The check of the schema, at the start of a server and while it runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use requery::protocol::NoticeKind;
use requery::server::database::Database;
use serde_json::Value;
use tempfile::TempDir;

use crate::app::{App, BACKGROUND_PATIENCE, PATIENCE, Ws, sqlite3};

mod broken;
mod refused;
mod trees;
mod upgrade;

/// Recreates a table as tools do that change a column: make a new table, copy the rows, drop the old table, rename the
/// new one. SQLite drops the triggers with the old table. The indexes are created again.
fn recreate_table(app: &App, table: &str) {
    recreate_table_as(app, table, |sql| sql.to_owned());
}

/// The same with another statement for the new table.
fn recreate_table_as(app: &App, table: &str, change: impl Fn(&str) -> String) {
    let sql = app.sql(&format!("select sql from sqlite_master where type = 'table' and name = '{table}'"));
    let indexes = "select sql || ';' from sqlite_master where type = 'index' and sql is not null and tbl_name = ";
    let indexes = app.sql(&format!("{indexes}'{table}'"));
    let new = change(&sql).replacen(&format!("CREATE TABLE {table} "), "CREATE TABLE new ", 1);
    app.sql(&format!("begin; {new}; rollback"));
    let columns = format!(
        "select group_concat(name) from (select name from pragma_table_info('{table}') \
         intersect select name from pragma_table_info('new'))"
    );
    let columns = app.sql(&format!("begin; {new}; {columns}; rollback"));
    app.sql(&format!(
        "begin immediate; {new}; insert into new ({columns}) select {columns} from {table}; drop table {table}; \
         pragma legacy_alter_table = on; alter table new rename to {table}; {indexes} commit"
    ));
}

fn triggers(path: &Path) -> String {
    sqlite3(path, "select count(*) from sqlite_master where type = 'trigger'")
}

async fn ready(app: &App) -> (u16, String) {
    let response = reqwest::get(app.url("/readyz")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn get(app: &App, path: &str) -> Value {
    let text = reqwest::get(app.url(path)).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn until_ready(app: &App, status: u16) -> String {
    let ready = async {
        loop {
            match ready(app).await {
                (found, text) if found == status => return text,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap()
}

async fn frame_of_kind(ws: &mut Ws, kind: &str) -> Value {
    let found = async {
        loop {
            let frame = ws.frame().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

/// Waits until a write sends its own notice. A reopened server is ready a moment before its streams get the resync, and
/// that resync also replaces the notices of its window.
async fn wait_for_own_notice(app: &App, ws: &mut Ws) {
    for attempt in 0..100 {
        app.sql(&format!("insert into purges (project, count) values ('settle {attempt}', 1)"));
        loop {
            let frame = ws.frame().await;
            match frame["type"].as_str() {
                Some("tasks.purged") if frame["payload"]["project"] == format!("settle {attempt}") => return,
                Some("tasks.purged") => {}
                Some("resync") => break,
                _ => panic!("{frame}"),
            }
        }
    }
    panic!("no write sends its notice");
}

/// Makes a write for each kind of notice and checks the notice.
async fn check_notices_of_writes(app: &App, ws: &mut Ws) {
    wait_for_own_notice(app, ws).await;
    let task = "(select id from tasks where title = 'later')";
    let mut kinds = BTreeSet::new();
    for (write, kind) in [
        ("insert into tasks (title, project) values ('later', 'p')", "task.started"),
        ("update tasks set summary = 'short' where title = 'later'", "task.updated"),
        (&format!("insert into sessions (task_id) select {task}"), "session.started"),
        (&format!("update sessions set status = 'completed' where task_id = {task}"), "session.ended"),
        (&format!("insert into events (task_id, kind) select {task}, 'log'"), "event.logged"),
        (&format!("update events set title = 'other' where task_id = {task}"), "event.updated"),
        (&format!("insert into bookmarks (task_id) select {task}"), "bookmark.saved"),
        (&format!("delete from bookmarks where task_id = {task}"), "bookmark.deleted"),
        (&format!("insert into usage (task_id, answer_id, input_tokens) select {task}, 'a', 5"), "task.updated"),
        ("update tasks set status = 'completed' where title = 'later'", "task.completed"),
        ("insert into purges (project, count) values ('p', 1)", "tasks.purged"),
        ("insert into agents (source, host) values ('codex', 'later')", "agent.registered"),
        ("delete from agents where host = 'later'", "agent.changed"),
        ("delete from tasks where title = 'later'", "task.deleted"),
    ] {
        app.sql(write);
        let frame = ws.frame().await;
        assert_eq!(frame["type"], kind, "{write}: {frame}");
        kinds.insert(kind);
    }
    assert_eq!(
        kinds,
        NoticeKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        "a kind of notice has no write in this list"
    );
}

/// Compares the figures of the overview with figures counted from the rows. The hours also count events of deleted
/// tasks.
async fn check_overview_figures(app: &App, of_deleted_tasks: u64) {
    let get = async |path: &str| get(app, path).await;
    for project in ["", "p", "q"] {
        let (query, filter) = match project {
            "" => (String::new(), "true".to_owned()),
            project => (format!("?project={project}"), format!("tasks.project = '{project}'")),
        };
        let overview = get(&format!("/api/v1/overview{query}")).await;
        let count = |sql: &str| app.sql(&sql.replace("{filter}", &filter)).parse::<u64>().unwrap();
        let of_events = count("select count(*) from events join tasks on tasks.id = task_id where {filter}");
        assert_eq!(overview["stats"]["total_tasks"], count("select count(*) from tasks where {filter}"), "{project}");
        assert_eq!(
            overview["stats"]["waiting_tasks"],
            count("select count(*) from tasks where {filter} and status = 'waiting'"),
            "{project}"
        );
        assert_eq!(overview["stats"]["total_events"], of_events, "{project}: {overview}");
        if project.is_empty() {
            let activity = overview["activity"].as_array().unwrap();
            let hours: u64 = activity.iter().map(|it| it["events"].as_u64().unwrap()).sum();
            let newest = activity.iter().map(|it| it["hour"].as_str().unwrap()).max().unwrap_or_default();
            // The rows of some databases are older than the hours that an overview covers. Then the stored hours count.
            let first = format!("unixepoch('{newest}') / 3600 - 23");
            let older = count(&format!("select count(*) from events where created_at / 3600000 < {first}"));
            let expected = match older {
                0 => of_events + of_deleted_tasks,
                _ => {
                    app.until_folded().await;
                    count(&format!("select coalesce(sum(events), 0) from activity where hour >= {first}"))
                }
            };
            assert_eq!(hours, expected, "{project}: {overview}");
        }
        let tokens = "select coalesce(sum(input_tokens), 0) from usage join tasks on tasks.id = task_id where {filter}";
        assert_eq!(overview["usage"]["input_tokens"].as_u64().unwrap_or(0), count(tokens), "{project}: {overview}");
    }
    assert_eq!(
        app.sql(
            "select count(*) from task_counts
                where event_count <> (select count(*) from events where task_id = task_counts.id)"
        ),
        "0"
    );
}

#[tokio::test]
async fn a_recreated_table_gets_its_triggers_back() {
    for table in ["tasks", "sessions", "events", "bookmarks", "usage", "agents"] {
        let app = App::start().await;
        app.sql("insert into tasks (title, project) values ('before', 'p')");
        let all = triggers(&app.path());
        let mut ws = app.ws("").await;
        let first = ws.frame().await;
        recreate_table(&app, table);
        let resync = frame_of_kind(&mut ws, "resync").await;
        until_ready(&app, 204).await;
        assert_eq!(triggers(&app.path()), all, "{table}");
        check_notices_of_writes(&app, &mut ws).await;
        check_overview_figures(&app, 1).await;
        // A cursor from before may lack changes that the log does not have, so it gets a snapshot.
        let epoch = |frame: &Value| frame["cursor"].as_str().unwrap().split(':').next().unwrap().to_owned();
        assert_ne!(epoch(&first), epoch(&resync));
        let again = app.ws(&format!("?since={}", first["cursor"].as_str().unwrap())).await.frame().await;
        assert_eq!(again["type"], "snapshot");
    }
}

/// Writes that fire no trigger, since the triggers are dropped in the same transaction or before.
const GAP: &str = "
insert into tasks (title, project, status) values ('found by nine', 'q', 'waiting');
update tasks set project = 'q', status = 'waiting' where title = 'moved';
delete from tasks where title = 'deleted';
insert into events (task_id, kind) select id, 'log' from tasks where title in ('kept', 'moved');
insert into usage (task_id, answer_id, input_tokens) select id, 'two', 100 from tasks where title = 'kept';
insert into usage (task_id, answer_id, input_tokens) select id, 'one', 7 from tasks where title = 'found by nine'";

fn drop_all_triggers(app: &App) -> String {
    app.sql("select 'drop trigger ' || name || ';' from sqlite_master where type = 'trigger'")
}

async fn insert_rows_before_the_gap(app: &App) {
    app.sql(
        "insert into tasks (title, project) values ('kept', 'p'), ('moved', 'p'); \
         insert into events (task_id, kind) select id, 'log' from tasks; \
         insert into tasks (title, project) values ('deleted', 'p'); \
         insert into usage (task_id, answer_id, input_tokens) select id, 'one', 10 from tasks where title = 'kept'",
    );
}

#[tokio::test]
async fn figures_and_search_include_writes_made_without_triggers() {
    let app = App::start().await;
    insert_rows_before_the_gap(&app).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    app.sql(&format!("begin immediate; {}; {GAP}; commit", drop_all_triggers(&app)));
    frame_of_kind(&mut ws, "resync").await;
    until_ready(&app, 204).await;
    check_overview_figures(&app, 0).await;
    let found = async {
        loop {
            let answer = get(&app, "/api/v1/search?q=nine").await;
            if answer["items"].as_array().is_some_and(|items| items.len() == 1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BACKGROUND_PATIENCE, found).await.unwrap();
}

#[tokio::test]
async fn writes_made_without_triggers_and_server_are_counted_at_the_next_start() {
    let app = App::start().await;
    insert_rows_before_the_gap(&app).await;
    let mut ws = app.ws("").await;
    let cursor = ws.frame().await["cursor"].as_str().unwrap().to_owned();
    let (all, drops) = (triggers(&app.path()), drop_all_triggers(&app));
    let folder = app.stop().await;
    sqlite3(&folder.path().join("requery.db"), &format!("{drops} {GAP}"));
    let app = App::start_in(folder, |_| ()).await;
    assert_eq!(triggers(&app.path()), all);
    check_overview_figures(&app, 0).await;
    assert_eq!(app.ws(&format!("?since={cursor}")).await.frame().await["type"], "snapshot");
}

#[tokio::test]
async fn a_changed_trigger_is_put_back() {
    let app = App::start().await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    app.sql("drop trigger events_logged; create trigger events_logged after insert on events begin select 1; end");
    frame_of_kind(&mut ws, "resync").await;
    until_ready(&app, 204).await;
    check_notices_of_writes(&app, &mut ws).await;
}

/// A table, an index and a trigger of another program, and a vacuum. Each changes `schema_version`, and none changes a
/// table or a trigger of ours.
#[tokio::test]
async fn schema_changes_of_other_programs_cause_no_resync() {
    let app = App::start().await;
    let mut ws = app.ws("").await;
    let first = ws.frame().await;
    app.sql(
        "create table notes (a); create index tasks_title on tasks (title); analyze; \
         create trigger notes_of_tasks after insert on tasks begin insert into notes values (new.title); end",
    );
    app.sql("vacuum");
    app.sql("insert into tasks (title) values ('later')");
    let frame = ws.frame().await;
    assert_eq!(frame["type"], "task.started", "{frame}");
    let epoch = |frame: &Value| frame["cursor"].as_str().unwrap().split(':').next().unwrap().to_owned();
    assert_eq!(epoch(&first), epoch(&frame));
    assert_eq!(app.sql("select a from notes"), "later");
}

#[tokio::test]
async fn dropped_indexes_and_views_are_recreated() {
    let app = App::start().await;
    app.sql("drop index tasks_listed; drop index tasks_external; drop view task_tree; drop view task_counts");
    let made = async {
        let count = "select count(*) from sqlite_master
            where name in ('tasks_listed', 'tasks_external', 'task_tree', 'task_counts')";
        while app.sql(count) != "4" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.unwrap();
    until_ready(&app, 204).await;
}

fn migrate(path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_requery")).args(["migrate", "--database-url"]).arg(path).output().unwrap()
}

/// Another trigger than the lost one counts the events, before or after they are logged.
#[tokio::test]
async fn events_that_a_lost_trigger_did_not_log_are_counted_once() {
    for lost in ["events_logged", "events_counted", "tasks_are_counted"] {
        for count in ["", "update tasks set counted_to = counted_to; "] {
            let folder = TempDir::new().unwrap();
            let path = create_database(&folder).await;
            sqlite3(
                &path,
                &format!(
                    "insert into tasks (title) values ('a'); insert into events (task_id, kind) select id, 'log' from tasks;
                     {count}drop trigger {lost};
                     insert into events (task_id, kind) select id, 'log' from tasks;
                     insert into events (task_id, kind) select id, 'log' from tasks; {count}"
                ),
            );
            assert!(migrate(&path).status.success());
            assert_eq!(sqlite3(&path, "select event_count from task_counts"), "3", "{lost} {count}");
            let figures = "select value from figures where figure = 'events'";
            assert_eq!(sqlite3(&path, figures), "3", "{lost} {count}");
        }
    }
}

#[tokio::test]
async fn migrate_lists_the_triggers_it_put_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    assert_eq!(String::from_utf8(migrate(&path).stdout).unwrap(), format!("{} is up to date\n", path.display()));
    sqlite3(&path, "drop trigger tasks_started; drop trigger usage_logged");
    let text = String::from_utf8(migrate(&path).stdout).unwrap();
    let put_back = "put back: trigger tasks_started\nput back: trigger usage_logged\n";
    assert_eq!(text, format!("{put_back}{} is up to date\n", path.display()));
    assert_eq!(String::from_utf8(migrate(&path).stdout).unwrap(), format!("{} is up to date\n", path.display()));
}

/// The parts of a schema, without comments and line ends.
fn schema(path: &Path) -> BTreeSet<String> {
    let sql = "select json_group_array(type || ' ' || name || ' ' || coalesce(sql, '')) from sqlite_master \
        where name not glob 'sqlite_*'";
    let parts: Vec<String> = serde_json::from_str(&sqlite3(path, sql)).unwrap();
    let words = |part: &String| {
        let code = part.lines().map(|line| line.split("--").next().unwrap_or_default());
        let text = code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        text.replace(" ,", ",").replace("( ", "(").replace(" )", ")")
    };
    parts.iter().map(words).collect()
}

async fn create_database(folder: &TempDir) -> std::path::PathBuf {
    let path = folder.path().join("fresh.db");
    Database::open(path.clone().into()).await.unwrap().close("made").await;
    path
}

/// The bytes of every file in a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}
