//! Whatever another program writes into a column, every answer shows the row, and no answer fails because of it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::{App, PATIENCE, Ws};
use crate::rest::Client;

mod columns;
mod numbers;

const PARENT: &str = "0190b0a0-0000-7000-8000-0000000000a1";
const CHILD: &str = "0190b0a0-0000-7000-8000-0000000000a2";

/// A tree with a row in each table that a screen shows.
fn insert_tree() -> String {
    format!(
        "insert into tasks (id, title, project, status, status_reason, status_detail, source)
            values ('{PARENT}', 'broken', 'broken', 'waiting', 'question', 'broken', 'broken');
        insert into tasks (id, title, project, parent_task_id, parent_session_id, source, status, status_reason,
                summary, heard_at, process, ingest_state, workspace, external_id, stale_since, stale_reason)
            values ('{CHILD}', 'broken', 'broken', '{PARENT}', '{PARENT}', 'broken', 'waiting', 'permission',
                'done', 1, 'p', '{{}}', '/w', 'x', null, null);
        insert into sessions (id, task_id, source, runtime_session_id, summary)
            values ('{CHILD}', '{CHILD}', 'broken', 'x', 'done');
        insert into events (id, task_id, session_id, kind, title, body, metadata, external_id)
            values ('{CHILD}', '{CHILD}', '{CHILD}', 'log', 'broken', 'body', '{{\"a\": \"b\"}}', 'x');
        insert into bookmarks (id, task_id, event_id, title, note)
            values ('{CHILD}', '{CHILD}', '{CHILD}', 'broken', 'note');
        insert into usage (task_id, answer_id, model, input_tokens) values ('{CHILD}', 'x', 'm', 1);"
    )
}

/// The condition for the row that was inserted last.
fn last_row(table: &str) -> String {
    match table {
        // Without a rowid, and with one row.
        "usage" => "true".to_owned(),
        _ => format!("rowid = (select max(rowid) from {table})"),
    }
}

/// Runs SQL in another process, with the checks of the tables switched off: old versions had fewer checks. False if the
/// database refused it.
fn is_taken(app: &App, sql: &str) -> bool {
    let mut sqlite3 = Command::new("sqlite3");
    let output = sqlite3
        .arg("-cmd")
        .arg(".timeout 5000")
        .arg(app.path())
        .arg(format!("pragma ignore_check_constraints = on; {sql}"))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = ["constraint", "json", "JSON", "never changes", "kept by", "keeps", "has", "there is no such task"];
    assert!(output.status.success() || refused.iter().any(|word| error.contains(word)), "{sql}: {error}");
    app.sql_seen("select 1");
    output.status.success()
}

/// The bodies of every list, detail and search. Each answer is 200, or 404 for a row that is not there.
async fn read_all(app: &App, what: &str) -> String {
    let mut paths: Vec<String> = Vec::new();
    for list in ["overview", "tasks", "bookmarks"] {
        paths.extend([list.to_owned(), format!("{list}?project=broken"), format!("{list}?project=a%EF%BF%BD")]);
    }
    for task in [PARENT, CHILD] {
        paths.extend(["", "/timeline", "/timeline?limit=1"].map(|part| format!("tasks/{task}{part}")));
        paths.extend([format!("bookmarks?task_id={task}"), format!("search?q=broken&task_id={task}")]);
    }
    let more = ["tasks?limit=1", "bookmarks?limit=1", "tasks?status=waiting", "hooks", "search?q=bro*", "search?q=a"];
    paths.extend(more.map(str::to_owned));
    paths.push(format!("tasks?parent={PARENT}"));
    let client = Client::of(app);
    let mut shown = String::new();
    for path in paths {
        let mut answer = client.get(&format!("/api/v1/{path}")).await;
        assert!(matches!(answer.status, 200 | 404), "{what}: {path}: {} {}", answer.status, answer.text);
        shown.push_str(&answer.text);
        // All further pages of the lists.
        while path.ends_with("limit=1") && answer.status == 200 && answer.json()["next"].is_string() {
            let next = answer.text_at("/next");
            answer = client.get(&format!("/api/v1/{path}&before={next}")).await;
            assert_eq!(answer.status, 200, "{what}: {path} before {next}: {}", answer.text);
        }
    }
    assert_eq!(client.get("/readyz").await.status, 204, "{what}");
    shown
}

/// The overview, the tasks and the bookmarks, without the hours: these keep the events of deleted tasks.
async fn lists(app: &App) -> Vec<Value> {
    let mut lists = Vec::new();
    for path in ["overview", "tasks", "bookmarks"] {
        let mut body = Client::of(app).get(&format!("/api/v1/{path}")).await.json();
        body.as_object_mut().unwrap().remove("activity");
        lists.push(body);
    }
    lists
}

async fn cursor(app: &App) -> String {
    Client::of(app).get("/api/v1/overview").await.header("requery-cursor").to_owned()
}

/// Waits until the stream has reported every change of now. A stream that ends fails the test.
async fn follow(ws: &mut Ws, cursor: &str, what: &str) {
    let number = |cursor: &str| cursor.split(':').nth(1).and_then(|at| at.parse::<u64>().ok()).unwrap();
    loop {
        let frame = ws.frame().await;
        assert_ne!(frame["type"], "closing", "{what}");
        let at = frame["cursor"].as_str().unwrap();
        assert_eq!(at.split(':').next(), cursor.split(':').next(), "{what}: the database was opened again");
        if frame["more"] != true && number(at) >= number(cursor) {
            return;
        }
    }
}

/// Reads every answer and every kind of stream while a row is `what`.
async fn check(app: &App, ws: &mut Ws, since: &str, what: &str) -> String {
    let shown = read_all(app, what).await;
    follow(ws, &cursor(app).await, what).await;
    for query in [String::new(), format!("?since={since}"), "?project=broken".to_owned()] {
        let first = app.ws(&query).await.frame().await;
        assert!(matches!(first["type"].as_str(), Some("snapshot" | "resumed")), "{what}: {first}");
        assert_eq!(first["cursor"].as_str().unwrap().split(':').next(), since.split(':').next(), "{what}");
    }
    shown
}

/// Bytes that are not UTF-8, half a surrogate pair and a NUL; a NUL where the checks of SQLite end; a long text.
const VALUES: [&str; 3] =
    ["cast(x'61ffeda08000b4' as text)", "cast('a' || x'00ff' as text)", "printf('%.*c', 1000000, 'a')"];

#[tokio::test]
async fn any_text_in_a_row_is_shown_and_breaks_no_answer() {
    let app = App::start().await;
    app.sql_seen("insert into tasks (title, source) values ('sound', 'sound')");
    app.sql_seen("insert into bookmarks (task_id, title) select id, 'sound' from tasks");
    // The figures of the project and the source are there before the first case, so that all cases leave equal figures.
    app.sql_seen(&format!("{} delete from tasks where id = '{PARENT}'", insert_tree()));
    let before = lists(&app).await;
    let since = cursor(&app).await;
    let columns = app.sql_seen(
        "select m.name || '.' || c.name from sqlite_schema m, pragma_table_info(m.name) c
        where m.type = 'table' and c.type = 'TEXT' and m.name in ('tasks', 'sessions', 'events', 'bookmarks', 'usage')
        order by 1",
    );
    let mut shown = BTreeSet::new();
    for column in columns.lines() {
        let (table, name) = column.split_once('.').unwrap();
        let mut ws = app.ws("").await;
        ws.frame().await;
        // A long text costs a test a second, so some columns stand for all.
        let is_long = matches!(column, "tasks.source" | "tasks.summary" | "sessions.summary");
        for value in &VALUES[..if is_long { 3 } else { 2 }] {
            app.sql_seen(&insert_tree());
            let what = format!("{column} = {value}");
            // The last task is below another one, and has the project of that one.
            let row = if column == "tasks.project" { format!("id = '{PARENT}'") } else { last_row(table) };
            if is_taken(&app, &format!("update {table} set {name} = {value} where {row}"))
                && check(&app, &mut ws, &since, &what).await.contains("a\u{fffd}")
            {
                shown.insert(column);
            }
            app.sql_seen("delete from tasks where title <> 'sound'; delete from bookmarks where title <> 'sound'");
            assert_eq!(lists(&app).await, before, "{what}");
        }
    }
    assert_eq!(
        shown.into_iter().collect::<Vec<_>>(),
        [
            "bookmarks.note",
            "bookmarks.title",
            "events.body",
            "events.kind",
            "events.title",
            "sessions.host",
            "sessions.model",
            "sessions.runtime_session_id",
            "sessions.source",
            "sessions.summary",
            "tasks.branch",
            "tasks.last_commit",
            "tasks.model",
            "tasks.project",
            "tasks.pull_request",
            "tasks.source",
            "tasks.status_detail",
            "tasks.status_reason",
            "tasks.summary",
            "tasks.title",
            "tasks.workspace",
            "usage.model",
        ]
    );
}

/// The tables that the database keeps for itself can be written too.
#[tokio::test]
async fn any_text_in_the_log_and_the_figures_breaks_no_answer() {
    let app = App::start().await;
    app.sql_seen(&insert_tree());
    let since = cursor(&app).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    for value in VALUES {
        for statement in [
            format!("changes (kind, project, task_id) values ('task.updated', {value}, '{CHILD}')"),
            format!("changes (kind, project, task_id) values ('task.updated', 'broken', {value})"),
            format!("changes (kind, project, task_id, parent_task_id) values ('task.updated', '', '{CHILD}', {value})"),
            format!("changes (kind, project, task_id, object_id) values ('event.logged', '', '{CHILD}', {value})"),
            format!("changes (kind, project, task_id, status) values ('task.completed', '', '{CHILD}', {value})"),
            format!("changes (kind, project) values ({value}, '')"),
            format!("runs (token, begins) values ({value}, 1)"),
            format!("figures (project, figure, value) values ({value}, 'events', 1)"),
            format!("figures (project, figure, value) values ('', {value}, 1)"),
            format!("figures (project, figure, value) values ('', 'source.' || {value}, 1)"),
            format!("figure_deltas (project, status, tasks) values ({value}, 'running', 1)"),
            format!("figure_deltas (project, status, tasks) values ('', {value}, 1)"),
            format!("figure_deltas (project, source, tasks) values ('', {value}, 1)"),
            format!("activity (project, hour, events) values ({value}, 1, 1)"),
            format!("deliveries (id) values ({value})"),
            format!("purges (project, count) values ({value}, 1)"),
            format!("purging (task_id) values ({value})"),
            format!("settling (id) values ({value})"),
        ] {
            // A new change shows that the stream goes on.
            app.sql_seen(&format!(
                "insert into {statement}; update tasks set title = title || '.' where id = '{CHILD}'"
            ));
            check(&app, &mut ws, &since, &statement).await;
        }
    }
    let sources = Client::of(&app).get("/api/v1/overview").await.at("/sources").to_string();
    assert!(sources.contains("a\u{fffd}"), "{sources}");
}

/// The check of the schema reads JSON as SQLite does, and old rows can hold any text.
#[tokio::test]
async fn metadata_that_is_no_json_object_is_shown_as_text() {
    let app = App::start().await;
    app.sql_seen(&insert_tree());
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(300), "]".repeat(300));
    for (stored, shown) in [
        ("cast(x'7b2261223a2263ff227d' as text)", "{\"a\":\"c\u{fffd}\"}"),
        (r#"'{"a": "\ud83d"}'"#, "{\"a\":\"\u{fffd}\"}"),
        ("'{a: 1}'", r#"{"text":"{a: 1}"}"#),
        (r#"'{"a": 1e999}'"#, r#"{"text":"{\"a\": 1e999}"}"#),
        ("'[1]'", r#"{"text":"[1]"}"#),
        ("'no JSON'", r#"{"text":"no JSON"}"#),
        (&format!("'{deep}'"), &serde_json::json!({ "text": deep }).to_string()),
    ] {
        // A version before checked metadata in another way, so its trigger is away for this write.
        let check = app.sql_seen("select sql from sqlite_schema where name = 'events_metadata_changed'");
        let update = format!(
            "begin immediate; drop trigger events_metadata_changed; update events set metadata = {stored}; {check}; commit"
        );
        assert!(is_taken(&app, &update), "{stored}");
        let timeline = Client::of(&app).get(&format!("/api/v1/tasks/{CHILD}/timeline")).await;
        assert_eq!(timeline.at("/items/0/metadata").to_string(), shown, "{stored}");
    }
}

/// The whole file is checked when the server opens it in doubt. A row that breaks a constraint is no damage.
#[tokio::test]
async fn a_row_that_breaks_a_constraint_is_no_damage() {
    let app = App::start().await;
    app.sql_seen(&insert_tree());
    assert!(is_taken(&app, "update tasks set project = char(7) where status = 'waiting'"));
    assert!(app.sql_seen("pragma quick_check").contains("CHECK constraint failed"));
    let before = cursor(&app).await;
    // Without its run the server opens the file again.
    app.sql_seen("delete from runs");
    let epoch = |cursor: &str| cursor.split(':').next().unwrap_or_default().to_owned();
    let began = Instant::now();
    loop {
        let client = Client::of(&app);
        if client.get("/readyz").await.status == 204 && epoch(&cursor(&app).await) != epoch(&before) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{}", client.get("/readyz").await.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Another program may have tables of its own in the file.
#[tokio::test]
async fn the_name_of_a_foreign_table_can_be_any_bytes() {
    let app = App::start().await;
    let before = cursor(&app).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    let sql = b"create table \"caf\xe9\" (x); create index \"inde\xe9\" on \"caf\xe9\" (x)".to_vec();
    let mut program = Command::new("sqlite3");
    let output = program.args(["-cmd", ".timeout 5000"]).arg(app.path()).arg(OsString::from_vec(sql)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    app.sql_seen("insert into tasks (title) values ('sound')");
    check(&app, &mut ws, &before, "a table").await;
    let app = App::start_in(app.stop().await, |_| ()).await;
    read_all(&app, "a restart").await;
}
