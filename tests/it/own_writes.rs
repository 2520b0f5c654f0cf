//! The cursor of a write beside other writers: it is a token for a later read, and no claim about the body beside it.

use std::collections::BTreeMap;

use requery::engine::EngineSettings;
use requery::protocol::{Cursor, ReadModel};
use serde_json::{Value, json};

use crate::app::App;
use crate::viewer::{Rest, Viewer, settle};

const WRITERS: usize = 8;
const WRITES: usize = 40;

/// Eight clients write the same task. Each reads again with the cursor of its own write, as a client has to, and
/// watches the task. In the end all equal the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_end_with_every_client_equal_to_the_database() {
    let app = App::start().await;
    let http = reqwest::Client::new();
    let send = async |method: &str, path: &str, at_least: Option<&str>, body: Option<Value>| {
        let mut request = http.request(method.parse().unwrap(), app.url(path));
        if let Some(cursor) = at_least {
            request = request.header("requery-at-least", cursor);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        let cursor: Cursor = answer.headers()["requery-cursor"].to_str().unwrap().parse().unwrap();
        (cursor, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let task = send("POST", "/api/v1/tasks", None, Some(json!({"title": "shared"}))).await.1;
    let task = task["task_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/tasks/{task}");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let viewers = names.map(|name| Viewer::follow(name, &app.url(""), EngineSettings::default()));

    let write = async |name: &str| {
        let mut answers = Vec::new();
        for number in 0..WRITES {
            let title = format!("{name} {number}");
            let (cursor, body) = send("PATCH", &path, None, Some(json!({"title": title}))).await;
            assert_eq!(body["title"], title.as_str());
            let (read, detail) = send("GET", &path, Some(&cursor.to_string()), None).await;
            assert!(read.covers(&cursor), "{read} does not cover {cursor}");
            answers.push((cursor, title));
            answers.push((read, detail["task"]["title"].as_str().unwrap().to_owned()));
        }
        answers
    };
    let answers = futures_util::future::join_all(names.map(write)).await;

    // One cursor stands for one state of the database, whoever got it and for which body.
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    let mut contradictions = 0;
    for (cursor, title) in answers.into_iter().flatten() {
        let known = states.entry(cursor.to_string()).or_insert_with(|| title.clone());
        contradictions += usize::from(*known != title);
    }
    assert_eq!(contradictions, 0, "of {} answers", WRITERS * WRITES * 2);
    let viewers: Vec<&Viewer> = viewers.iter().collect();
    assert!(viewers.iter().all(|viewer| viewer.watched().contains(&ReadModel::Overview)));
    settle(&viewers, &Rest::at(app.url("")), &app.store()).await;
}
