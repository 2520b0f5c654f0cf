//! Long deletions: they go in steps, and leave the write lock to others in between.

use std::time::Duration;

use requery::server::ingest::task::{EVENTS_AT_ONCE, TREES_AT_ONCE};
use serde_json::json;

use super::Client;
use crate::app::{App, PATIENCE};

const EVENT: &str = "0190b0a0-0000-7000-8000-0000000000e1";
const OTHER: &str = "0190b0a0-0000-7000-8000-0000000000a2";

/// A task with more events than one step deletes, and the id of one event. A bookmark marks that event.
async fn large_task(app: &App, client: &Client) -> String {
    let task = client.task("large", json!({"project": "p"})).await;
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({"event_id": EVENT, "kind": "log"})).await;
    client.put("/api/v1/bookmarks", json!({"event_id": EVENT})).await;
    app.sql(&format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < {})
         insert into events (task_id, kind) select '{task}', 'log' from n",
        EVENTS_AT_ONCE * 3
    ));
    task
}

async fn until_no_events(app: &App) {
    let gone = async {
        while app.sql("select count(*) from events") != "0" || app.sql("select count(*) from leaving") != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

/// The deletion is one change for every reader and every verb. Its events go later.
#[tokio::test]
async fn a_large_task_is_gone_at_once_and_its_events_in_steps() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = large_task(&app, &client).await;
    assert_eq!(client.delete(&format!("/api/v1/tasks/{task}")).await.status, 204);
    let left: i64 = app.sql("select count(*) from events").parse().unwrap();
    assert!(left > 0, "the events were deleted in the transaction of the task");
    assert_eq!(client.get(&format!("/api/v1/tasks/{task}")).await.status, 404);
    assert_eq!(client.get(&format!("/api/v1/tasks/{task}/timeline")).await.status, 404);
    assert_eq!(client.get("/api/v1/bookmarks").await.at("/items"), json!([]));
    assert_eq!(client.get("/api/v1/overview").await.at("/stats/total_events"), 0);
    assert_eq!(client.delete(&format!("/api/v1/events/{EVENT}")).await.status, 404);
    until_no_events(&app).await;
    assert_eq!(
        app.sql(
            "select count(*) from changes where kind not in ('task.deleted') and id > \
        (select id from changes where kind = 'task.deleted')"
        ),
        "0"
    );
}

/// Nothing of a deleted task comes back with a task of the same id, and its event ids are free.
#[tokio::test]
async fn a_task_with_the_id_of_a_deleted_one_begins_empty() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = large_task(&app, &client).await;
    assert_eq!(client.delete(&format!("/api/v1/tasks/{task}")).await.status, 204);
    for request in ["patch", "bookmark"] {
        let answer = match request {
            "patch" => client.patch(&format!("/api/v1/events/{EVENT}"), json!({"title": "t"})).await,
            _ => client.put("/api/v1/bookmarks", json!({"event_id": EVENT})).await,
        };
        assert!([404, 422].contains(&answer.status), "{request}: {}", answer.text);
    }
    client.task("other", json!({"task_id": OTHER})).await;
    let event = json!({"event_id": EVENT, "kind": "log"});
    assert_eq!(client.post(&format!("/api/v1/tasks/{OTHER}/events"), event).await.status, 201);
    assert_eq!(client.post("/api/v1/tasks", json!({"task_id": task, "title": "again"})).await.status, 201);
    assert_eq!(client.get(&format!("/api/v1/tasks/{task}")).await.at("/figures/events"), 0);
    assert_eq!(app.sql("select count(*) from events"), "1");
}

/// The list of the deleted tasks is a table, so the next server goes on.
#[tokio::test]
async fn the_next_server_deletes_the_events_that_are_left() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = large_task(&app, &client).await;
    assert_eq!(client.delete(&format!("/api/v1/tasks/{task}")).await.status, 204);
    let folder = app.stop().await;
    let app = App::start_in(folder, |_| ()).await;
    until_no_events(&app).await;
}

#[tokio::test]
async fn a_purge_deletes_some_trees_at_a_time() {
    let app = App::start().await;
    let client = Client::of(&app);
    let trees = TREES_AT_ONCE * 2 + 1;
    app.sql(&format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < {trees})
         insert into tasks (title, project, status) select 't', 'p', 'completed' from n;
         insert into tasks (title, parent_task_id, status) select 'below', id, 'errored' from tasks"
    ));
    large_task(&app, &client).await;
    app.sql("update tasks set status = 'completed'");
    let answer = client.post("/api/v1/tasks/purge", json!({"project": "p"})).await;
    assert_eq!(answer.at("/count"), trees * 2 + 1);
    assert_eq!(
        app.sql("select count(*), sum(count) from changes where kind = 'tasks.purged'"),
        format!("3|{}", trees * 2 + 1)
    );
    assert_eq!(app.sql("select (select count(*) from tasks) + (select count(*) from purging)"), "0");
    until_no_events(&app).await;
}
