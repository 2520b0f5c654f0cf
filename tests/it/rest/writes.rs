//! Writes, and the effect of sending a write again.

use serde_json::json;

use super::{Client, TASK};
use crate::app::{App, by_engine};

const SESSION: &str = "0190b0a0-0000-7000-8000-000000000002";
const EVENT: &str = "0190b0a0-0000-7000-8000-000000000003";

#[tokio::test]
async fn starting_a_task_twice_makes_one_task() {
    let app = App::start().await;
    let client = Client::of(&app);
    let new = json!({"task_id": TASK, "title": "a", "project": "p"});
    let first = client.post("/api/v1/tasks", new.clone()).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.at("/source"), "api");
    assert_eq!(first.at("/status"), "running");
    let again = client.post("/api/v1/tasks", json!({"task_id": TASK.to_uppercase(), "title": "b"})).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let parent = client.task("parent", json!({"project": "q"})).await;
    let elsewhere =
        client.post("/api/v1/tasks", json!({"task_id": TASK, "title": "a", "parent_task_id": parent})).await;
    assert_eq!(elsewhere.problem(), "409");
    assert_eq!(elsewhere.at("/detail"), format!("the id {TASK} cannot be used for this task"));
    let child = client.post("/api/v1/tasks", json!({"title": "child", "parent_task_id": parent})).await;
    assert_eq!((child.status, child.at("/project")), (201, json!("q")));
    let orphan = client.post("/api/v1/tasks", json!({"title": "x", "parent_task_id": SESSION})).await;
    assert_eq!(orphan.problem(), "422 parent_task_id");
    assert_eq!(app.sql_seen("select count(*) from tasks"), "3");
}

#[tokio::test]
async fn status_reason_and_waiting_since_end_with_the_waiting_status() {
    let client = Client::of(&App::start().await);
    let since = "2026-01-31T09:30:00.000Z";
    let new = json!({"title": "a", "status": "waiting", "status_reason": "question", "waiting_since": "2026-01-31T10:30:00+01:00"});
    let waits = client.post("/api/v1/tasks", new).await;
    assert_eq!(waits.at("/waiting_since"), since);
    let path = format!("/api/v1/tasks/{}", waits.text_at("/task_id"));
    let needs_you = client.get("/api/v1/overview").await.at("/needs_you/0");
    assert_eq!((&needs_you["reason"], &needs_you["since"]), (&json!("question"), &json!(since)));

    let runs = client.patch(&path, json!({"status": "running", "status_reason": "kept?"})).await;
    assert_eq!((runs.status, runs.at("/status_reason"), runs.at("/waiting_since")), (200, json!(null), json!(null)));
    let waits = client.patch(&path, json!({"status": "waiting", "waiting_since": since})).await;
    assert_eq!((waits.at("/status_reason"), waits.at("/waiting_since")), (json!(null), json!(since)));
    let done = client.patch(&path, json!({"status": "completed", "summary": "s"})).await;
    assert_eq!((done.at("/waiting_since"), done.at("/summary")), (json!(null), json!("s")));
    assert!(done.at("/ended_at").is_string());
    assert_eq!(client.get("/api/v1/overview").await.at("/needs_you"), json!([]));
}

#[tokio::test]
async fn a_write_of_equal_values_logs_no_change() {
    let app = App::start().await;
    let client = Client::of(&app);
    let id = client.task("a", json!({"workspace": "/w"})).await;
    let path = format!("/api/v1/tasks/{id}");
    let event = client.post(&format!("{path}/events"), json!({"kind": "log", "body": "b", "metadata": {"a": 1}})).await;
    let session = client.post(&format!("{path}/sessions"), json!({})).await;
    let bookmark = json!({"task_id": id, "title": "t"});
    assert_eq!(client.put("/api/v1/bookmarks", bookmark.clone()).await.status, 201);
    let changes = app.sql_seen("select count(*) from changes");
    for answer in [
        client.patch(&path, json!({})).await,
        client.patch(&path, json!({"title": "a", "workspace": "/w", "status": "running"})).await,
        client
            .patch(
                &format!("/api/v1/events/{}", event.text_at("/event_id")),
                json!({"body": "b", "metadata": {"a": 1}}),
            )
            .await,
        client
            .patch(&format!("/api/v1/sessions/{}", session.text_at("/session_id")), json!({"status": "running"}))
            .await,
        client.put("/api/v1/bookmarks", bookmark).await,
    ] {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(app.sql_seen("select count(*) from changes"), changes);
}

#[tokio::test]
async fn a_session_begins_and_ends() {
    let client = Client::of(&App::start().await);
    let task = client.task("a", json!({"source": "codex"})).await;
    let other = client.task("b", json!({})).await;
    let new = json!({"session_id": SESSION, "runtime_session_id": "r"});
    let sessions = |task: &str| format!("/api/v1/tasks/{task}/sessions");
    let begun = client.post(&sessions(&task), new.clone()).await;
    assert_eq!((begun.status, begun.at("/source"), begun.at("/status")), (201, json!("codex"), json!("running")));
    assert_eq!(client.post(&sessions(&task), new.clone()).await.status, 200);
    assert_eq!(client.post(&sessions(&other), new.clone()).await.problem(), "409");
    assert_eq!(client.post(&sessions(EVENT), new).await.problem(), "404");

    let path = format!("/api/v1/sessions/{SESSION}");
    assert_eq!(client.patch(&path, json!({"ended_at": "2026-01-31T09:30:00Z"})).await.problem(), "422 ended_at");
    let ended = client.patch(&path, json!({"status": "lost", "ended_at": "2026-01-31T09:30:00Z"})).await;
    assert_eq!((ended.status, ended.at("/ended_at")), (200, json!("2026-01-31T09:30:00.000Z")));
    let runs = client.patch(&path, json!({"status": "running"})).await;
    assert_eq!(runs.at("/ended_at"), json!(null));
    assert!(client.patch(&path, json!({"status": "errored"})).await.at("/ended_at").is_string());
    assert_eq!(client.patch(&format!("/api/v1/sessions/{EVENT}"), json!({})).await.problem(), "404");
}

#[tokio::test]
async fn a_batch_of_events_is_logged_whole_or_not_at_all() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("a", json!({})).await;
    let other = client.task("b", json!({})).await;
    let events = format!("/api/v1/tasks/{task}/events");
    let one = client.post(&events, json!({"event_id": EVENT, "kind": "tool", "family": "terminal"})).await;
    assert_eq!((one.status, one.at("/lane"), one.at("/metadata")), (201, json!("terminal"), json!({})));
    assert_eq!(client.post(&events, json!({"event_id": EVENT, "kind": "log"})).await.json(), one.json());

    let fresh = "0190b0a0-0000-7000-8000-0000000000f1";
    let batch = json!({"events": [{"kind": "log"}, {"event_id": EVENT, "kind": "log"}, {"event_id": fresh, "kind": "a"}, {"event_id": fresh, "kind": "a"}]});
    let logged = client.post(&events, batch.clone()).await;
    assert_eq!((logged.status, logged.at("/items").as_array().unwrap().len()), (201, 4), "{}", logged.text);
    assert_eq!(logged.at("/items/1"), one.json());
    assert_eq!(logged.at("/items/2"), logged.at("/items/3"));
    let again = client.post(&events, json!({"events": [{"event_id": EVENT, "kind": "log"}]})).await;
    assert_eq!(again.status, 200);
    assert_eq!(client.post(&events, json!({"events": []})).await.json(), json!({"items": []}));
    let count = || app.sql_seen("select count(*) from events");
    assert_eq!(count(), "3");

    let elsewhere = client
        .post(
            &format!("/api/v1/tasks/{other}/events"),
            json!({"events": [{"kind": "log"}, {"event_id": EVENT, "kind": "log"}]}),
        )
        .await;
    assert_eq!(elsewhere.problem(), "409");
    let wrong = json!({"events": [{"kind": "log"}, {"kind": "No"}, {"kind": "log", "session_id": SESSION}]});
    assert_eq!(client.post(&events, wrong).await.problem(), "422 events[1].kind");
    let wrong = json!({"events": [{"kind": "log"}, {"kind": "log", "session_id": SESSION}]});
    assert_eq!(client.post(&events, wrong).await.problem(), "422 events[1].session_id");
    let wrong = json!({"events": [{"kind": "log"}, {"kind": "log", "state": "odd"}]});
    assert_eq!(client.post(&events, wrong).await.problem(), "422 events[1].state");
    assert_eq!(client.post(&format!("/api/v1/tasks/{SESSION}/events"), batch).await.problem(), "404");
    assert_eq!(count(), "3");

    let many: Vec<_> = (0..1000).map(|at| json!({"kind": "log", "title": at.to_string()})).collect();
    let logged = client.post(&events, json!({ "events": many })).await;
    assert_eq!((logged.status, logged.at("/items/999/title")), (201, json!("999")));
    let many: Vec<_> = (0..1001).map(|_| json!({"kind": "log"})).collect();
    assert_eq!(client.post(&events, json!({ "events": many })).await.problem(), "422 events");
    assert_eq!(count(), "1003");
}

#[tokio::test]
async fn an_event_is_updated_and_is_deleted_with_its_bookmark() {
    let client = Client::of(&App::start().await);
    let task = client.task("a", json!({})).await;
    let long = "é".repeat(40_000);
    let new = json!({"event_id": EVENT, "kind": "log", "body": long});
    let logged = client.post(&format!("/api/v1/tasks/{task}/events"), new).await;
    assert_eq!((logged.at("/truncated"), logged.text_at("/body").len()), (json!(80_000), 65_536));
    let path = format!("/api/v1/events/{EVENT}");
    let patch = json!({"body": "short", "title": "t", "lane": "git", "metadata": {"a": "\u{0}"}});
    let changed = client.patch(&path, patch).await;
    assert_eq!((changed.at("/truncated"), changed.at("/lane")), (json!(null), json!("git")));
    assert_eq!(changed.at("/metadata/a"), "\u{fffd}");
    let marked = client.put("/api/v1/bookmarks", json!({"event_id": EVENT})).await;
    assert_eq!((marked.status, marked.at("/title"), marked.at("/task_id")), (201, json!("t"), json!(task)));
    let deleted = client.delete(&path).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    assert!(!deleted.header("requery-cursor").is_empty());
    assert_eq!(client.delete(&path).await.problem(), "404");
    assert_eq!(client.patch(&path, json!({})).await.problem(), "404");
    assert_eq!(client.get("/api/v1/bookmarks").await.at("/items"), json!([]));
}

#[tokio::test]
async fn a_task_or_event_has_at_most_one_bookmark() {
    let client = Client::of(&App::start().await);
    let task = client.task("a", json!({})).await;
    let other = client.task("b", json!({})).await;
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({"event_id": EVENT, "kind": "plan"})).await;
    let put = |body| client.put("/api/v1/bookmarks", body);
    let first = put(json!({"task_id": task, "note": "n"})).await;
    assert_eq!((first.status, first.at("/title"), first.at("/event_id")), (201, json!("a"), json!(null)));
    let again = put(json!({"task_id": task, "title": "mine", "bookmark_id": SESSION})).await;
    assert_eq!((again.status, again.at("/title"), again.at("/note")), (200, json!("mine"), json!("n")));
    assert_eq!(again.at("/bookmark_id"), first.at("/bookmark_id"));
    let of_event = put(json!({"task_id": task, "event_id": EVENT})).await;
    assert_eq!((of_event.status, of_event.at("/title")), (201, json!("plan")));
    assert_eq!(put(json!({"task_id": other, "bookmark_id": first.at("/bookmark_id")})).await.problem(), "409");
    assert_eq!(put(json!({"task_id": other, "event_id": EVENT})).await.problem(), "422 task_id");
    assert_eq!(put(json!({"task_id": SESSION})).await.problem(), "422 task_id");
    assert_eq!(put(json!({"event_id": SESSION})).await.problem(), "422 event_id");
    assert_eq!(put(json!({"title": "t"})).await.problem(), "422 task_id");
    let path = format!("/api/v1/bookmarks/{}", first.text_at("/bookmark_id"));
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.delete(&path).await.problem(), "404");
}

#[tokio::test]
async fn deleting_a_task_deletes_its_subtree() {
    let app = App::start().await;
    let client = Client::of(&app);
    let root = client.task("root", json!({})).await;
    let child = client.task("child", json!({"parent_task_id": root})).await;
    client.task("grandchild", json!({"parent_task_id": child})).await;
    client.post(&format!("/api/v1/tasks/{child}/events"), json!({"event_id": EVENT, "kind": "log"})).await;
    client.post(&format!("/api/v1/tasks/{child}/sessions"), json!({})).await;
    client.put("/api/v1/bookmarks", json!({"event_id": EVENT})).await;
    assert_eq!(client.delete(&format!("/api/v1/tasks/{root}")).await.status, 204);
    assert_eq!(client.delete(&format!("/api/v1/tasks/{root}")).await.problem(), "404");
    for table in ["tasks", "events", "sessions", "bookmarks"] {
        assert_eq!(app.sql_seen(&format!("select count(*) from {table}")), "0", "{table}");
    }
    assert_eq!(app.sql_seen("select count(*) from changes where kind = 'task.deleted'"), "3");
    assert_eq!(client.get("/api/v1/overview").await.at("/stats/total_events"), 0);
}

#[tokio::test]
async fn a_purge_deletes_only_finished_trees() {
    let app = App::start().await;
    let client = Client::of(&app);
    let done = |project: &str| json!({"status": "completed", "project": project});
    let below = |id: &str, status: &str| json!({"parent_task_id": id, "status": status});
    let whole = client.task("whole", done("p")).await;
    let part = client.task("part", below(&whole, "errored")).await;
    client.task("part of part", json!({"parent_task_id": part, "status": "completed"})).await;
    let busy = client.task("busy", done("p")).await;
    let part = client.task("done part", below(&busy, "completed")).await;
    client.task("still running", below(&part, "running")).await;
    client.task("failed", json!({"status": "errored", "project": "p"})).await;
    client.task("elsewhere", done("q")).await;
    client.task("running", json!({"project": "p"})).await;

    let purge = |body| client.post("/api/v1/tasks/purge", body);
    let counts = async |body| purge(body).await.at("/count");
    assert_eq!(counts(json!({"project": "nobody"})).await, 0);
    assert_eq!(counts(json!({"older_than": "2020-01-01T00:00:00Z"})).await, 0);
    assert_eq!(app.sql_seen("select count(*) from changes where kind = 'tasks.purged'"), "0");
    assert_eq!(counts(json!({"status": "completed"})).await, 4);
    assert_eq!(
        app.sql_seen("select project, count from changes where kind = 'tasks.purged' order by project"),
        "p|3\nq|1"
    );
    assert_eq!(app.sql_seen("select count(*) from changes where kind = 'task.deleted'"), "0");
    assert_eq!(counts(json!({})).await, 1);
    assert_eq!(counts(json!({})).await, 0);
    assert_eq!(app.sql_seen("select count(*) from purging"), "0");
    assert_eq!(app.sql_seen("select count(*) from tasks"), "4");
    assert_eq!(purge(json!({"status": "running"})).await.problem(), "422 status");
    assert_eq!(purge(json!({"older_than": "yesterday"})).await.problem(), "422 older_than");

    app.sql_seen(
        "update tasks set status = 'completed'; update tasks set status_since = 1000 where title <> 'still running'",
    );
    assert_eq!(counts(json!({"older_than": "2020-01-01T00:00:00Z"})).await, 1);
    assert_eq!(counts(json!({"older_than": "2126-01-01T00:00:00Z"})).await, 3);
}

/// SQL can insert a tree deeper than the triggers of one deletion can go. A purge still deletes it.
#[tokio::test]
async fn the_api_limits_a_tree_to_100_levels() {
    let app = App::start().await;
    let client = Client::of(&app);
    let mut parent = client.task("top", json!({})).await;
    let top = parent.clone();
    for _ in 1..100 {
        parent = client.task("below", json!({"parent_task_id": parent})).await;
    }
    let deeper = client.post("/api/v1/tasks", json!({"title": "deeper", "parent_task_id": parent})).await;
    assert_eq!(deeper.problem(), "422 parent_task_id");
    assert_eq!(client.delete(&format!("/api/v1/tasks/{top}")).await.status, 204);
    assert_eq!(app.sql_seen("select count(*) from tasks"), "0");

    let hex = |at: &str| by_engine(format!("printf('%08x', {at})"), format!("lpad(to_hex({at}), 8, '0')"));
    let id = |at: &str| format!("{} || '-0000-7000-8000-000000000001'", hex(at));
    app.sql_seen(&format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 1500)
        insert into tasks (id, title, status, parent_task_id)
            select {}, 't', 'completed', case when i > 1 then {} end from n",
        id("i"),
        id("i - 1")
    ));
    assert_eq!(client.post("/api/v1/tasks/purge", json!({})).await.at("/count"), 1500);
}

/// Short texts such as titles are limited in characters, long texts such as summaries in bytes.
#[tokio::test]
async fn texts_beyond_their_limits_are_refused() {
    let client = Client::of(&App::start().await);
    let task = |body| client.post("/api/v1/tasks", body);
    assert_eq!(task(json!({"title": "é".repeat(500), "project": "🐦".repeat(128)})).await.status, 201);
    assert_eq!(
        task(json!({"title": "é".repeat(501), "project": "🐦".repeat(129)})).await.problem(),
        "422 title project"
    );
    assert_eq!(task(json!({"title": "t", "project": "a\nb"})).await.problem(), "422 project");
    assert_eq!(task(json!({"title": "t", "source": ""})).await.problem(), "422 source");
    assert_eq!(task(json!({"title": "t", "summary": "s".repeat(65_537)})).await.problem(), "422 summary");
    assert_eq!(task(json!({"title": "t", "created_at": "yesterday"})).await.problem(), "422 created_at");
    assert_eq!(task(json!({"title": "t", "created_at": "1969-12-31T23:59:59.999Z"})).await.problem(), "422 created_at");
    assert_eq!(task(json!({"title": "t", "created_at": "9999-12-31T23:59:59.999Z"})).await.status, 201);
    let id = client.task("t", json!({})).await;
    let path = format!("/api/v1/tasks/{id}/events");
    let metadata = json!({"kind": "log", "metadata": {"a": "x".repeat(65_536)}});
    assert_eq!(client.post(&path, metadata).await.problem(), "422 metadata");
    assert_eq!(client.post(&path, json!({"kind": "a".repeat(65)})).await.problem(), "422 kind");
    assert_eq!(client.post(&path, json!({"kind": "log", "title": "x".repeat(501)})).await.problem(), "422 title");
}

#[tokio::test]
async fn null_in_a_patch_removes_the_value_and_is_refused_where_a_value_is_needed() {
    let app = App::start().await;
    let client = Client::of(&app);
    let id = client
        .task("a", json!({"status": "waiting", "status_reason": "question", "workspace": "/w", "summary": "s"}))
        .await;
    let path = format!("/api/v1/tasks/{id}");
    let same = client.patch(&path, json!({"title": "b"})).await;
    assert_eq!(
        (same.at("/workspace"), same.at("/summary"), same.at("/status_reason")),
        (json!("/w"), json!("s"), json!("question"))
    );
    let cleared = client.patch(&path, json!({"workspace": null, "summary": null, "status_reason": null})).await;
    assert_eq!(cleared.status, 200, "{}", cleared.text);
    for field in ["/workspace", "/summary", "/status_reason"] {
        assert_eq!(cleared.at(field), json!(null), "{field}");
    }
    let changes = app.sql_seen("select count(*) from changes");
    assert_eq!(client.patch(&path, json!({"workspace": null, "summary": null})).await.status, 200);
    assert_eq!(app.sql_seen("select count(*) from changes"), changes, "a value that is gone already is no change");
    let refused = client.patch(&path, json!({"title": null, "project": null, "status": null, "mode": null})).await;
    assert_eq!(refused.problem(), "422 title project status mode");
    assert_eq!(client.patch(&path, json!({"waiting_since": null})).await.problem(), "422 waiting_since");
    let runs = client.patch(&path, json!({"status": "running", "waiting_since": null})).await;
    assert_eq!((runs.status, runs.at("/waiting_since")), (200, json!(null)));

    let session = client.post(&format!("{path}/sessions"), json!({})).await.text_at("/session_id");
    let session = format!("/api/v1/sessions/{session}");
    assert_eq!(client.patch(&session, json!({"summary": "s", "ended_at": null})).await.at("/summary"), json!("s"));
    let cleared = client.patch(&session, json!({"status": "completed", "summary": null})).await;
    assert_eq!((cleared.status, cleared.at("/summary")), (200, json!(null)));
    assert_eq!(client.patch(&session, json!({"ended_at": null})).await.problem(), "422 ended_at");
    assert_eq!(client.patch(&session, json!({"status": null})).await.problem(), "422 status");
    let runs = client.patch(&session, json!({"status": "running", "ended_at": null})).await;
    assert_eq!((runs.status, runs.at("/ended_at")), (200, json!(null)));

    let long = "x".repeat(70_000);
    let event = json!({"kind": "tool", "family": "file", "lane": "git", "state": "ok", "body": long});
    let event = client.post(&format!("{path}/events"), event).await;
    assert_eq!(event.at("/truncated"), json!(70_000));
    let path = format!("/api/v1/events/{}", event.text_at("/event_id"));
    let cleared = client.patch(&path, json!({"lane": null, "state": null, "body": null})).await;
    assert_eq!((cleared.at("/lane"), cleared.at("/state")), (json!("implementation"), json!(null)));
    assert_eq!((cleared.at("/body"), cleared.at("/truncated")), (json!(null), json!(null)));
    let cleared = client.patch(&path, json!({"family": null})).await;
    assert_eq!((cleared.at("/family"), cleared.at("/lane")), (json!(null), json!("coordination")));
    assert_eq!(client.patch(&path, json!({"title": null, "metadata": null})).await.problem(), "422 title metadata");

    let note = |note: serde_json::Value| json!({"task_id": id, "event_id": null, "note": note});
    assert_eq!(client.put("/api/v1/bookmarks", note(json!("n"))).await.at("/note"), json!("n"));
    assert_eq!(client.put("/api/v1/bookmarks", json!({"task_id": id})).await.at("/note"), json!("n"));
    assert_eq!(client.put("/api/v1/bookmarks", note(json!(null))).await.at("/note"), json!(null));
}
