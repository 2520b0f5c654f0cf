//! The answers of reads, their cursors and their entity tags.

use serde_json::json;

use super::{Client, TASK};
use crate::app::{App, on_sqlite_only};
use crate::store::assert_same_cursor;

#[tokio::test]
async fn the_overview_counts_tasks_and_events() {
    let app = App::start().await;
    let client = Client::of(&app);
    assert_eq!(
        client.get("/api/v1/overview").await.json(),
        json!({
            "stats": {
                "total_tasks": 0, "running_tasks": 0, "waiting_tasks": 0, "completed_tasks": 0, "errored_tasks": 0,
                "total_events": 0,
            },
            "needs_you": [], "activity": [], "sources": [],
            "usage": {
                "answers": 0, "input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0,
                "cost_usd": null, "answers_with_cost": 0,
            },
        })
    );
    let a = client.task("a", json!({"project": "p"})).await;
    client.task("b", json!({"project": "p", "status": "waiting", "source": "codex"})).await;
    let c = client.task("c", json!({"project": "q", "status": "completed"})).await;
    let events: Vec<_> = (0..3).map(|_| json!({"kind": "log"})).collect();
    client.post(&format!("/api/v1/tasks/{a}/events"), json!({ "events": events })).await;
    client.post(&format!("/api/v1/tasks/{c}/events"), json!({"kind": "log"})).await;

    let all = client.get("/api/v1/overview").await.json();
    assert_eq!(
        all["stats"],
        json!({
            "total_tasks": 3, "running_tasks": 1, "waiting_tasks": 1, "completed_tasks": 1, "errored_tasks": 0,
            "total_events": 4,
        })
    );
    assert_eq!(all["sources"], json!([{"source": "api", "tasks": 2}, {"source": "codex", "tasks": 1}]));
    assert_eq!(all["activity"].as_array().unwrap().iter().map(|hour| hour["events"].as_u64().unwrap()).sum::<u64>(), 4);
    let p = client.get("/api/v1/overview?project=p").await.json();
    assert_eq!((&p["stats"]["total_events"], &p["needs_you"][0]["title"]), (&json!(3), &json!("b")));
    assert_eq!(client.get("/api/v1/overview?project=").await.at("/stats/total_tasks"), 0);

    // The figures are the folded ones plus the unfolded changes, so they are right before and after a fold.
    client.delete(&format!("/api/v1/tasks/{a}")).await;
    assert_eq!(client.get("/api/v1/overview").await.at("/stats/total_events"), 1);
    assert_eq!(client.get("/api/v1/overview?project=p").await.at("/stats/total_events"), 0);
}

#[tokio::test]
async fn activity_covers_the_24_hours_up_to_the_newest() {
    let app = App::start().await;
    let client = Client::of(&app);
    let hour = |back: i64, events: i64| format!("insert into activity values ('p', {}, {events});", 490_000 - back);
    app.sql_seen(&[hour(0, 1), hour(5, 2), hour(23, 3), hour(24, 4), hour(7, 0)].concat());
    app.sql_seen("insert into activity values ('q', 490000, 5)");
    let activity = client.get("/api/v1/overview").await.at("/activity");
    let events: Vec<_> = activity.as_array().unwrap().iter().map(|hour| hour["events"].clone()).collect();
    assert_eq!(events, [json!(3), json!(2), json!(6)]);
    assert_eq!(activity[2]["hour"], "2025-11-24T16:00:00.000Z");
}

#[tokio::test]
async fn a_task_detail_has_sessions_children_and_the_newest_events() {
    let client = Client::of(&App::start().await);
    let root = client.task("root", json!({})).await;
    let child = client.task("child", json!({"parent_task_id": root, "mode": "background", "status": "errored"})).await;
    let session = client.post(&format!("/api/v1/tasks/{root}/sessions"), json!({})).await;
    let events: Vec<_> = (0..60).map(|at| json!({"kind": "log", "title": at.to_string()})).collect();
    client.post(&format!("/api/v1/tasks/{root}/events"), json!({ "events": events })).await;
    let detail = client.get(&format!("/api/v1/tasks/{root}")).await;
    assert_eq!(detail.at("/figures"), json!({"events": 60, "sessions": 1, "children": 1}));
    assert_eq!(detail.at("/sessions/0"), session.json());
    assert_eq!(detail.at("/children/0/task_id"), json!(child));
    assert!(detail.at("/children/0/ended_at").is_string());
    assert_eq!(
        (detail.at("/timeline/items/0/title"), detail.at("/timeline/items/49/title")),
        (json!("59"), json!("10"))
    );
    let next = detail.text_at("/timeline/next");
    let older = client.get(&format!("/api/v1/tasks/{root}/timeline?before={next}")).await;
    assert_eq!((older.at("/items/0/title"), older.at("/next")), (json!("9"), json!(null)));
}

/// Rows that plain SQL wrote without foreign keys, with ids that no row has and a time out of range.
#[tokio::test]
async fn rows_with_dangling_references_are_readable() {
    if on_sqlite_only("Postgres enforces its constraints") {
        return;
    }
    let app = App::start().await;
    let client = Client::of(&app);
    app.sql_seen(&format!(
        "pragma ignore_check_constraints = on;
        insert into tasks (id, title, parent_session_id, status_reason, created_at)
            values ('{TASK}', 'a', 'x', 'left over', -99999999999999999);
        insert into events (task_id, kind, session_id, metadata, truncated) values ('{TASK}', 'tool', 'x', '{{\"a\":1}}', -1);"
    ));
    let detail = client.get(&format!("/api/v1/tasks/{TASK}")).await;
    assert_eq!(detail.status, 200, "{}", detail.text);
    assert_eq!((detail.at("/task/parent_session_id"), detail.at("/task/status_reason")), (json!(null), json!(null)));
    assert_eq!(detail.at("/task/created_at"), "0000-01-01T00:00:00.000Z");
    let event = detail.at("/timeline/items/0");
    assert_eq!(
        (&event["lane"], &event["metadata"], &event["session_id"]),
        (&json!("coordination"), &json!({"a": 1}), &json!(null))
    );
}

#[tokio::test]
async fn if_none_match_gives_304_until_the_body_changes() {
    let client = Client::of(&App::start().await);
    let id = client.task("a", json!({})).await;
    for path in [
        "/api/v1/overview",
        "/api/v1/tasks",
        &format!("/api/v1/tasks/{id}"),
        &format!("/api/v1/tasks/{id}/timeline"),
        "/api/v1/bookmarks",
    ] {
        let first = client.get(path).await;
        assert_eq!(first.header("content-type"), "application/json");
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        let again = client.send("GET", path, None::<String>, &[("if-none-match", tag.clone())]).await;
        assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", tag.as_str()), "{path}");
        assert_same_cursor(again.header("requery-cursor"), first.header("requery-cursor"), path);
    }
    let tag = client.get("/api/v1/tasks").await.header("etag").to_owned();
    client.patch(&format!("/api/v1/tasks/{id}"), json!({"title": "b"})).await;
    let changed = client.send("GET", "/api/v1/tasks", None::<String>, &[("if-none-match", tag)]).await;
    assert_eq!((changed.status, changed.at("/items/0/title")), (200, json!("b")));
    let head = client.send("HEAD", "/api/v1/tasks", None::<String>, &[]).await;
    assert_eq!((head.status, head.header("etag")), (200, changed.header("etag")));
}

#[tokio::test]
async fn the_next_read_covers_the_cursor_of_a_write() {
    let client = Client::of(&App::start().await);
    let before = client.get("/api/v1/overview").await.header("requery-cursor").to_owned();
    let wrote = client.post("/api/v1/tasks", json!({"title": "a"})).await;
    let cursor = |text: &str| text.parse::<requery::protocol::Cursor>().unwrap();
    let wrote = cursor(wrote.header("requery-cursor"));
    assert!(!cursor(&before).covers(&wrote));
    for (at_least, status) in [(wrote.to_string(), 200), ("other:9:9:".to_owned(), 200), ("garbage".to_owned(), 400)] {
        let answer = client.send("GET", "/api/v1/overview", None::<String>, &[("requery-at-least", at_least)]).await;
        assert_eq!(answer.status, status);
        match status {
            200 => assert!(cursor(answer.header("requery-cursor")).covers(&wrote)),
            _ => assert!(answer.problem() == "400" && answer.text.contains("Requery-At-Least"), "{}", answer.text),
        }
    }
    let gone = client.get(&format!("/api/v1/tasks/{TASK}")).await;
    assert!(gone.problem() == "404" && cursor(gone.header("requery-cursor")).covers(&wrote));
}

#[tokio::test]
async fn the_documents_are_served_without_external_resources() {
    let client = Client::of(&App::start().await);
    assert_eq!(client.get("/openapi.json").await.text, requery::server::http::document::openapi());
    assert_eq!(client.get("/asyncapi.json").await.text, requery::server::http::document::asyncapi());
    let docs = client.get("/docs").await;
    assert!(docs.header("content-type").starts_with("text/html"));
    assert!(docs.text.contains("Keeps every open screen true") && docs.text.contains("validatorUrl: null"));
    for load in ["<script src", "<link", "@import"] {
        assert!(!docs.text.contains(load), "{load}");
    }
    assert_eq!(client.get("/healthz").await.status, 200);
    assert_eq!(client.get("/readyz").await.status, 204);
}
