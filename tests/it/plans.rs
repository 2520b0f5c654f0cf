//! The plan of each query of a read: none scans the events, and none scans another table without a bound.
//!
//! The server logs the text of each query. The test requests each `GET` of the OpenAPI document with each of its
//! parameters, so a new operation, a new parameter and a new query are in the test without a further line.

use std::collections::BTreeSet;

use reqwest::Method;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::ServerProcess;

const TASK: &str = "0190b0a0-0000-7000-8000-000000000001";
const CHILD: &str = "0190b0a0-0000-7000-8000-000000000002";
const EVENT: &str = "0190b0a0-0000-7000-8000-000000000101";

/// The tables that grow with the use of the server.
const TABLES: [&str; 6] = ["events", "tasks", "changes", "bookmarks", "sessions", "usage"];
/// The names that the queries give to these tables.
const ALIASES: [(&str, &str); 4] = [("t", "tasks"), ("e", "events"), ("b", "bookmarks"), ("above", "tasks")];
const LOG_TARGET: &str = "requery::sql: ";

#[tokio::test]
async fn no_read_scans_a_table_without_a_bound() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    let server = ServerProcess::start(&path, folder.path(), |command| {
        command.env("REQUERY_LOG", "requery::sql=trace");
    });
    fill(&server).await;
    let requests = requests(&server).await;
    for request in &requests {
        let answer = server.send(Method::GET, request, None).await.unwrap();
        assert!(answer.status().is_success(), "{request}: {}", answer.text().await.unwrap());
    }
    let log = server.log();
    let queries = log.lines().filter_map(|line| Some(line.split_once(LOG_TARGET)?.1));
    // The builder of queries writes an empty list as two numbers that differ, and SQLite then reads no row.
    let queries: BTreeSet<&str> = queries.filter(|query| !query.contains("? = ?")).collect();
    assert!(queries.len() > 25, "{} queries of {} requests", queries.len(), requests.len());
    let db = connect(&path).await;
    let mut faults = Vec::new();
    for query in queries {
        let steps = plan(&db, query).await;
        faults.extend(unbounded(query, &steps).map(|step| format!("{step}\n    {query}\n    {steps:?}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rule refuses the plans that it is for.
#[tokio::test]
async fn a_scan_is_found() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    let server = ServerProcess::start(&path, folder.path(), |_| ());
    let db = connect(&path).await;
    for (query, is_bounded) in [
        ("select count(*) from events", false),
        ("select id from events order by position desc limit 1", false),
        ("select e.id from tasks t join events e on e.task_id = t.id where t.id = ?", true),
        ("select id from tasks where title = ?", false),
        ("select id from tasks order by title limit 5", false),
        ("select id from tasks indexed by tasks_status_since where status = ? order by stale_since limit 5", false),
        ("select id from tasks where status not in (?) and stale_since is not null order by stale_since limit 5", true),
        ("select id from tasks order by listed_at desc, id desc limit 5", true),
        ("select id from tasks order by listed_at desc, id desc", false),
        ("select count(*) from changes where id >= ?", true),
        ("select id from bookmarks order by updated_at desc, id desc limit 2", true),
        ("select id from bookmarks where project = ? order by updated_at desc, id desc limit 2", true),
        (
            "select id from bookmarks where task_id in (select id from tasks where project = ?) \
             order by updated_at desc, id desc limit 2",
            false,
        ),
    ] {
        let steps = plan(&db, query).await;
        assert_eq!(unbounded(query, &steps).next().is_none(), is_bounded, "{query}: {steps:?}");
    }
    server.stop();
}

async fn connect(path: &std::path::Path) -> DatabaseConnection {
    Database::connect(ConnectOptions::new(format!("sqlite://{}", path.display()))).await.unwrap()
}

/// The steps of a query: the scans, the searches and the sorting.
async fn plan(db: &DatabaseConnection, query: &str) -> Vec<String> {
    let plan = Statement::from_string(db.get_database_backend(), format!("explain query plan {query}"));
    let rows = db.query_all_raw(plan).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect()
}

/// The steps that read a whole table. A walk of an index is bounded by the limit of its query, if no step sorts the
/// rows before the limit. A walk over the events is refused also then: a condition can leave out all of them. A page of
/// bookmarks, and the tasks of a status, are found in the order of an index, so a search that sorts its rows is refused
/// there too.
fn unbounded<'a>(query: &'a str, steps: &'a [String]) -> impl Iterator<Item = &'a String> {
    let is_cut = query.to_lowercase().contains(" limit ");
    steps.iter().enumerate().filter_map(move |(at, step)| {
        // The tasks of a status can be all tasks.
        if step.starts_with("SEARCH bookmarks ") || step.contains("INDEX tasks_status_since (status=?)") {
            let is_sorted = steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY"));
            return (is_cut && is_sorted).then_some(step);
        }
        let name = step.strip_prefix("SCAN ")?.split(' ').next()?.trim_matches('"');
        let table = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, table)| table);
        let is_sorted_after = steps.get(at + 1).is_some_and(|next| next.contains("TEMP B-TREE FOR ORDER BY"));
        let is_bounded = is_cut && step.contains(" INDEX ") && !is_sorted_after && table != "events";
        (TABLES.contains(&table) && !is_bounded).then_some(step)
    })
}

/// Rows of each kind, so that each read has an answer and a second page.
async fn fill(server: &ServerProcess) {
    let post = async |method: Method, path: &str, body: Value| {
        let answer = server.send(method, path, Some(&body)).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    };
    let of_task = |rest: &str| format!("/api/v1/tasks/{TASK}{rest}");
    post(Method::POST, "/api/v1/tasks", json!({ "task_id": TASK, "title": "a", "project": "p" })).await;
    for id in [CHILD, "0190b0a0-0000-7000-8000-000000000003"] {
        post(Method::POST, "/api/v1/tasks", json!({ "task_id": id, "title": "b", "parent_task_id": TASK })).await;
    }
    post(Method::POST, "/api/v1/tasks", json!({ "title": "c", "project": "q" })).await;
    post(Method::POST, &of_task("/sessions"), json!({})).await;
    for (id, title) in [(EVENT, "first"), ("0190b0a0-0000-7000-8000-000000000102", "second")] {
        post(Method::POST, &of_task("/events"), json!({ "event_id": id, "kind": "log", "title": title })).await;
    }
    for body in [json!({ "task_id": TASK }), json!({ "task_id": CHILD })] {
        post(Method::PUT, "/api/v1/bookmarks", body).await;
    }
}

/// A request for each `GET` of the document: without parameters, with each of them, and with each two of them.
async fn requests(server: &ServerProcess) -> Vec<String> {
    let document = server.body("/openapi.json").await;
    let mut requests = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get").filter(|_| !path.ends_with("/stream")) else { continue };
        let path = path.replace("{task_id}", TASK);
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let query = |it: &&Value| it["in"] == "query";
        let (needed, free): (Vec<_>, Vec<_>) = parameters.iter().filter(query).partition(|it| it["required"] == true);
        let mut texts = Vec::new();
        for parameter in &free {
            texts.push(value(server, &path, parameter["name"].as_str().unwrap()).await);
        }
        let mut needed_text = String::new();
        for parameter in &needed {
            needed_text += &value(server, &path, parameter["name"].as_str().unwrap()).await;
        }
        let request = |some: &[&str]| format!("{path}?{needed_text}{}", some.concat());
        requests.push(request(&[]));
        for (at, one) in texts.iter().enumerate() {
            requests.push(request(&[one]));
            let is_page = |text: &str| text.starts_with("before=") || text.starts_with("after=");
            // The token of a page belongs to one list of the filters, and a page has one side.
            let fits = |other: &&String| !is_page(one) && !is_page(other);
            requests.extend(texts[at + 1..].iter().filter(fits).map(|other| request(&[one, other])));
        }
    }
    requests
}

/// A parameter with a value that the operation takes.
async fn value(server: &ServerProcess, path: &str, name: &str) -> String {
    let text = match name {
        "project" => "p".to_owned(),
        "status" => "running".to_owned(),
        "parent" | "task_id" => TASK.to_owned(),
        "limit" => "1".to_owned(),
        "q" => "first".to_owned(),
        "before" => token(server, path, "next").await,
        "after" => {
            let before = token(server, path, "next").await;
            token(server, &format!("{path}?before={before}"), "previous").await
        }
        "since" => cursor(server).await,
        _ => panic!("{path}: give a value for the parameter {name}"),
    };
    format!("{name}={text}&")
}

/// The token of the page beside the first one.
async fn token(server: &ServerProcess, path: &str, side: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let page = server.body(&format!("{path}{separator}limit=1")).await;
    page[side].as_str().unwrap_or_else(|| panic!("{path}: no {side} in {page}")).to_owned()
}

/// The cursor before a change of each kind of row.
async fn cursor(server: &ServerProcess) -> String {
    let answer = server.send(Method::GET, "/api/v1/overview", None).await.unwrap();
    let cursor = answer.headers()["requery-cursor"].to_str().unwrap().to_owned();
    let patch = json!({ "title": format!("at {cursor}") });
    for path in [format!("/api/v1/tasks/{TASK}"), format!("/api/v1/tasks/{CHILD}"), format!("/api/v1/events/{EVENT}")] {
        assert_eq!(server.send(Method::PATCH, &path, Some(&patch)).await.unwrap().status(), 200);
    }
    let sessions = format!("/api/v1/tasks/{TASK}/sessions");
    assert_eq!(server.send(Method::POST, &sessions, Some(&json!({}))).await.unwrap().status(), 201);
    let body = json!({ "task_id": TASK, "note": cursor });
    assert_eq!(server.send(Method::PUT, "/api/v1/bookmarks", Some(&body)).await.unwrap().status(), 200);
    cursor
}
