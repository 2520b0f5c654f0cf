//! A server on a copy: its answers are those of a server on the source, and the copy is a database as any other.

use std::sync::Arc;

use requery::server::copy::copy;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{empty_file, hostile_rows, location};
use crate::app::{App, PATIENCE};
use crate::cluster::Cluster;

const TASK: &str = "0190b0a0-0000-7000-8000-000000000001";

/// The answers that have to be equal. A cursor is another one in each database.
async fn answers(app: &App) -> Vec<(String, Value)> {
    let paths = [
        "/api/v1/overview".to_owned(),
        "/api/v1/tasks?limit=200".to_owned(),
        "/api/v1/tasks?project=many&limit=200".to_owned(),
        format!("/api/v1/tasks/{TASK}"),
        format!("/api/v1/tasks/{TASK}/timeline"),
        "/api/v1/projects".to_owned(),
        "/api/v1/bookmarks".to_owned(),
        "/api/v1/agents".to_owned(),
    ];
    let mut answers = Vec::new();
    for path in paths {
        let answer = reqwest::get(app.url(&path)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let answer = answer.text().await.unwrap();
        let answer = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"));
        answers.push((path, without_cursor(answer)));
    }
    answers
}

fn without_cursor(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "cursor" | "next_cursor" | "as_of"));
    }
    answer
}

#[tokio::test]
async fn a_server_on_the_copy_serves_what_the_source_has_and_takes_writes() {
    let folder = Arc::new(TempDir::new().unwrap());
    let source = empty_file(folder.path(), "source.db").await;
    hostile_rows(&source);
    let database = Cluster::shared().create_database();
    copy(&source.clone().into(), &location(&database), |_| ()).await.unwrap();

    let of_source = App::start_with(|config| config.database = source.clone().into()).await;
    let expected = answers(&of_source).await;
    of_source.stop().await;
    let app = App::start_with(|config| config.database = location(&database)).await;
    for ((path, found), (_, expected)) in answers(&app).await.into_iter().zip(expected) {
        assert_eq!(found, expected, "{path}");
    }

    let mut socket = app.ws("").await;
    socket.frame().await;
    database.psql("insert into tasks (title, project) values ('by psql', 'new')");
    let kinds = until_kinds(&mut socket, &["task.started"]).await;
    assert!(kinds.contains(&"task.started".to_owned()), "{kinds:?}");
    database.psql(&format!("insert into events (task_id, kind) values ('{TASK}', 'log')"));
    until_kinds(&mut socket, &["event.logged"]).await;
    let client = reqwest::Client::new();
    let post = client.post(app.url("/api/v1/tasks")).header("content-type", "application/json");
    let answer = post.body(json!({ "title": "by REST" }).to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    until_kinds(&mut socket, &["task.started"]).await;

    let mut answer = String::new();
    let found = async {
        while !answer.contains("-8000-000000000004") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            answer = reqwest::get(app.url("/api/v1/search?q=grandchild")).await.unwrap().text().await.unwrap();
        }
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    assert!(found.is_ok(), "the search index is not built in time: {answer}; {}", database.psql("table searched"));
    app.stop().await;
}

/// Reads frames until all these kinds came. Returns the kinds of the frames.
async fn until_kinds(socket: &mut crate::app::Ws, wanted: &[&str]) -> Vec<String> {
    let mut kinds = Vec::new();
    while wanted.iter().any(|kind| !kinds.iter().any(|it| it == kind)) {
        let frame = socket.frame().await;
        kinds.extend(kinds_in(&frame));
    }
    kinds
}

/// The kinds of the notices in a frame, at any depth.
fn kinds_in(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("type").or_else(|| fields.get("kind")).and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(kinds_in)).collect()
        }
        Value::Array(items) => items.iter().flat_map(kinds_in).collect(),
        _ => Vec::new(),
    }
}
