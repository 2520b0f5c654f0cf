//! The tasks that need a person: their order and their values. `contract::needs_you` has their notices.

use serde_json::{Value, json};

use super::Client;
use crate::app::App;

async fn needs_you(client: &Client) -> Vec<Value> {
    client.get("/api/v1/overview").await.at("/needs_you").as_array().unwrap().clone()
}

/// First the questions, then the failed and the silent agents, then the finished ones; the longest first in each group.
/// A session that was never used and an agent that goes on by itself need nobody.
#[tokio::test]
async fn the_order_is_the_one_in_which_a_person_takes_the_tasks() {
    let app = App::start().await;
    let client = Client::of(&app);
    for (title, status, reason, since) in [
        ("finished", "waiting", "finished", 1),
        ("interrupted", "waiting", "interrupted", 2),
        ("ready", "waiting", "ready", 3),
        ("scheduled", "waiting", "scheduled", 4),
        ("failed late", "errored", "overloaded", 8),
        ("failed early", "errored", "overloaded", 5),
        ("gone", "running", "", 6),
        ("runs", "running", "", 6),
        ("asks late", "waiting", "question", 10),
        ("asks early", "waiting", "permission", 9),
        ("done", "completed", "", 0),
        ("of another program", "waiting", "", 7),
    ] {
        client.task(title, json!({"status": status})).await;
        app.sql_seen(&format!(
            "update tasks set status_reason = nullif('{reason}', ''), status_since = {since} where title = '{title}'"
        ));
    }
    app.sql_seen("update tasks set stale_since = 6, stale_reason = 'gone' where title = 'gone'");
    // A doubt changes no place in the order.
    app.sql_seen("update tasks set status_certain = 0 where title = 'asks early'");
    let shown = async || {
        let entries = needs_you(&client).await;
        let words =
            |entry: &Value| ["title", "status", "reason"].map(|name| entry[name].as_str().unwrap_or("").to_owned());
        entries.iter().map(|entry| words(entry).join(" | ")).collect::<Vec<_>>()
    };
    assert_eq!(
        shown().await,
        [
            "asks early | waiting | permission",
            "asks late | waiting | question",
            "failed early | errored | overloaded",
            "gone | running | gone",
            "failed late | errored | overloaded",
            "finished | waiting | finished",
            "interrupted | waiting | interrupted",
            "of another program | waiting | ",
        ]
    );
    for change in [
        "status_reason = 'ready' where title = 'finished'",
        "stale_since = null, stale_reason = null where title = 'gone'",
        "status = 'errored' where title = 'asks early'",
        "status_since = 1, status_detail = 'a disk is full' where title = 'failed late'",
    ] {
        app.sql_seen(&format!("update tasks set {change}"));
    }
    let listed = shown().await.join(", ");
    let expected = "asks late | waiting | question, failed late | errored | overloaded, failed early | errored | overloaded, \
        asks early | errored | , interrupted |";
    assert!(listed.starts_with(expected), "{listed}");
    let first_failed = &needs_you(&client).await[1];
    assert_eq!(first_failed["detail"], "a disk is full");

    // A session that was never used and has ended without a word is no failure.
    app.sql_seen("update tasks set stale_since = 7, stale_reason = 'gone' where title in ('ready', 'interrupted')");
    let listed = shown().await.join(", ");
    assert!(listed.contains("interrupted | waiting | gone") && !listed.contains("ready"), "{listed}");

    // Of many failed tasks the newest are listed, the longest first, and they hide no task that waits.
    for _ in 0..101 {
        app.sql_seen("insert into tasks (title, status, status_since) values ('more', 'errored', 1000 + (select count(*) from tasks))");
    }
    let entries = needs_you(&client).await;
    let of = |at: usize| entries[at]["since"].as_str().unwrap();
    let titles: Vec<&str> = entries.iter().map(|entry| entry["title"].as_str().unwrap()).collect();
    assert_eq!(titles[..2], ["asks late", "interrupted"]);
    assert!(titles[2..40].iter().all(|title| *title == "more") && of(2) < of(39), "{titles:?}");
    assert_eq!(titles[40], "asks early");
    assert_eq!(titles[41..], ["of another program"]);
}

#[tokio::test]
async fn an_entry_has_the_source_and_the_detail() {
    let app = App::start().await;
    let client = Client::of(&app);
    let asks = json!({
        "status": "waiting", "status_reason": "question", "status_detail": "Which port?", "source": "mine", "project": "p",
    });
    let id = client.task("a", asks).await;
    let first = &needs_you(&client).await[0];
    assert_eq!((&first["source"], &first["detail"]), (&json!("mine"), &json!("Which port?")));
    assert_eq!(client.get(&format!("/api/v1/tasks/{id}")).await.at("/task/status_detail"), "Which port?");

    // The flag of a silent agent leaves the question as it is.
    app.sql_seen("update tasks set stale_since = 1000, stale_reason = 'silent'");
    let flagged = &needs_you(&client).await[0];
    assert_eq!((&flagged["reason"], &flagged["detail"]), (&json!("silent"), &json!("Which port?")));
    app.sql_seen(
        "update tasks set status = 'running', stale_since = 2000, stale_reason = 'silent', status_detail = 'x'",
    );
    assert_eq!(needs_you(&client).await[0]["detail"], json!(null));
    let too_long = json!({"status": "waiting", "status_detail": "é".repeat(501)});
    assert_eq!(client.patch(&format!("/api/v1/tasks/{id}"), too_long).await.problem(), "422 status_detail");
}

/// A writer that sets a status knows it. Each read model that shows a status says whether the status is certain.
#[tokio::test]
async fn a_status_is_certain_unless_its_writer_doubts_it() {
    let app = App::start().await;
    let client = Client::of(&app);
    let parent = client.task("parent", json!({})).await;
    let asks = json!({"status": "waiting", "status_reason": "permission", "parent_task_id": parent});
    let id = client.task("a", asks).await;
    let path = format!("/api/v1/tasks/{id}");
    let shown = async || {
        let rows = client.get("/api/v1/tasks").await.at("/items");
        let row = rows.as_array().unwrap().iter().find(|row| row["task_id"] == json!(id)).unwrap().clone();
        let all = [
            row["status_certain"].clone(),
            client.get(&path).await.at("/task/status_certain"),
            client.get(&format!("/api/v1/tasks/{parent}")).await.at("/children/0/status_certain"),
            needs_you(&client).await[0]["status_certain"].clone(),
        ];
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        all[0].as_bool().unwrap()
    };
    assert!(shown().await);
    app.sql_seen(&format!("update tasks set status_certain = 0 where id = '{id}'"));
    assert!(!shown().await);
    assert_eq!(client.patch(&path, json!({"title": "b"})).await.at("/status_certain"), json!(false));
    assert_eq!(client.patch(&path, json!({"status": "waiting"})).await.at("/status_certain"), json!(true));
    assert!(shown().await);
}
