//! The state of the work on a task, as its read model tells it.

use serde_json::{Value, json};

use super::{Client, TASK};
use crate::app::App;

async fn task(client: &Client, fields: Value) -> String {
    client.task("a", fields).await
}

#[tokio::test]
async fn a_detail_lists_the_calls_that_run_and_a_notice_tells_each_change() {
    let app = App::start().await;
    let client = Client::of(&app);
    let id = task(&client, json!({"task_id": TASK})).await;
    let path = format!("/api/v1/tasks/{id}");
    let mut ws = app.ws("").await;
    ws.frame().await;
    let call = json!({"kind": "tool", "family": "terminal", "title": "Bash: make", "state": "running"});
    client.post(&format!("{path}/events"), call).await;
    let event = client.get(&path).await.at("/open_calls/0/event_id").as_str().unwrap().to_owned();
    for kind in ["todo", "question", "compaction"] {
        client.post(&format!("{path}/events"), json!({"kind": kind, "state": "running"})).await;
    }
    client.post(&format!("{path}/events"), json!({"kind": "subagent", "title": "Look", "state": "running"})).await;
    assert_eq!(ws.frame().await["type"], "event.logged");
    let calls = client.get(&path).await.at("/open_calls");
    let titles: Vec<&str> = calls.as_array().unwrap().iter().map(|call| call["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Bash: make", "Look"]);
    assert_eq!(
        (&calls[0]["event_id"], &calls[0]["family"], &calls[1]["kind"]),
        (&json!(event), &json!("terminal"), &json!("subagent"))
    );
    client.patch(&format!("/api/v1/events/{event}"), json!({"state": "ok"})).await;
    let told = loop {
        let frame = ws.frame().await;
        if frame["type"] != "event.logged" {
            break frame;
        }
    };
    assert_eq!(told["type"], "event.updated");
    assert_eq!(client.get(&path).await.at("/open_calls").as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_detail_lists_at_most_a_hundred_calls_the_oldest_first() {
    let app = App::start().await;
    let client = Client::of(&app);
    let id = task(&client, json!({})).await;
    app.sql_seen(&format!(
        "with recursive n (i) as (select 1 union select i + 1 from n where i < 120)
         insert into events (task_id, kind, state, title) select '{id}', 'tool', 'running', 'call ' || i from n"
    ));
    let calls = client.get(&format!("/api/v1/tasks/{id}")).await.at("/open_calls");
    assert_eq!((calls.as_array().unwrap().len(), &calls[0]["title"]), (100, &json!("call 1")));
}

#[tokio::test]
async fn a_detail_lists_the_changed_files_the_last_changed_first() {
    let app = App::start().await;
    let client = Client::of(&app);
    let id = task(&client, json!({})).await;
    let path = format!("/api/v1/tasks/{id}");
    let event = |family: &str, state: &str, metadata: Value| json!({"kind": "tool", "family": family, "state": state, "metadata": metadata});
    let events = json!([
        event("file", "ok", json!({"file_path": "a.rs"})),
        event("file", "ok", json!({"file_path": "b.rs"})),
        event("file", "failed", json!({"file_path": "c.rs"})),
        event("file", "running", json!({"file_path": "d.rs"})),
        event("explore", "ok", json!({"file_path": "e.rs"})),
        event("file", "ok", json!({"file_path": "first", "file_paths": ["a.rs", "f.rs", 7]})),
        event("file", "ok", json!({"file_path": 7})),
        event("file", "ok", json!({"file_paths": "g.rs"})),
        event("file", "ok", json!({})),
    ]);
    client.post(&format!("{path}/events"), json!({ "events": events })).await;
    let files = client.get(&path).await.at("/files");
    let shown = |file: &Value| format!("{} {}", file["path"].as_str().unwrap(), file["changes"]);
    let files: Vec<String> = files.as_array().unwrap().iter().map(shown).collect();
    assert_eq!(files, ["a.rs 2", "f.rs 1", "b.rs 1"]);

    app.sql_seen(&format!(
        "with recursive n (i) as (select 1 union select i + 1 from n where i < 1000)
         insert into events (task_id, kind, family, state, metadata)
         select '{id}', 'tool', 'file', 'ok', '{{\"file_path\":\"file ' || (i % 150) || '\"}}' from n"
    ));
    let files = client.get(&path).await.at("/files");
    assert_eq!((files.as_array().unwrap().len(), &files[0]["path"]), (100, &json!("file 100")));
}

#[tokio::test]
async fn a_list_and_its_progress_are_those_of_the_stored_text() {
    let app = App::start().await;
    let client = Client::of(&app);
    let id = task(&client, json!({})).await;
    let path = format!("/api/v1/tasks/{id}");
    for (stored, progress, entries) in [
        (
            r#"[{"id": "1", "title": "a", "state": "completed"}, {"title": "b", "state": "in_progress"}]"#,
            json!({"done": 1, "total": 2, "active": "b"}),
            2,
        ),
        ("[]", Value::Null, 0),
        ("no list", Value::Null, 0),
        (r#"[{"title": "a", "state": "odd"}]"#, Value::Null, 0),
    ] {
        app.sql_seen(&format!("update tasks set todos = '{stored}' where id = '{id}'"));
        let detail = client.get(&path).await.json();
        assert_eq!(detail["task"]["progress"], progress, "{stored}");
        assert_eq!(detail["todos"].as_array().unwrap().len(), entries, "{stored}");
        assert_eq!(client.get("/api/v1/tasks").await.at("/items/0/progress"), progress, "{stored}");
    }
}

/// Another program can write a longer title than a hook does. A list of tasks shows the title of the active entry.
#[tokio::test]
async fn a_long_title_of_an_entry_is_cut() {
    let app = App::start().await;
    let client = Client::of(&app);
    let id = task(&client, json!({})).await;
    let todos = json!([{"id": "1", "title": "x".repeat(50_000), "state": "in_progress"}]);
    app.sql_seen(&format!("update tasks set todos = '{todos}' where id = '{id}'"));
    let active = client.get("/api/v1/tasks").await.at("/items/0/progress/active");
    assert_eq!(active.as_str().map(|title| title.chars().count()), Some(120));
}
