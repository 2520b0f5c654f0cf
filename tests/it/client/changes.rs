//! Refetches that cost as much as the change: the client asks for the changes since the held answer, and shows the same
//! as after a whole answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use requery::client::{Client, ClientConfig};
use requery::protocol::model::{BookmarkPage, TaskDetail, TaskPage};
use serde_json::json;

use super::gate::{Gate, Verdict};
use super::{quick, until, until_fresh};
use crate::app::App;
use crate::rest;

#[tokio::test]
async fn a_refetch_asks_for_the_changes_and_shows_the_whole_answer() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("busy", json!({})).await;
    let events = format!("/api/v1/tasks/{task}/events");
    let many: Vec<_> = (0..60).map(|number| json!({"kind": "log", "title": format!("event {number}")})).collect();
    rest.post(&events, json!({ "events": many })).await;
    let (asked, whole) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Gate::start(app.address, {
        let (asked, whole) = (asked.clone(), whole.clone());
        move |head| {
            let line = head.lines().next().unwrap_or_default();
            if line.contains("since=") && !line.contains("/ws") {
                asked.fetch_add(1, Ordering::SeqCst);
            } else if line.contains("/api/v1/tasks") || line.contains("/api/v1/bookmarks") {
                whole.fetch_add(1, Ordering::SeqCst);
            }
            Verdict::Pass
        }
    })
    .await;
    let client = Client::connect(ClientConfig::new(gate.url()).with_settings(quick())).unwrap();
    let (mut detail, mut overview) = (client.task(task.parse().unwrap()), client.overview());
    let mut bookmarks = client.bookmarks();
    let held = until_fresh(&mut detail).await.value.unwrap();
    assert_eq!((held.timeline.items.len(), held.task.event_count), (50, 60));
    until_fresh(&mut overview).await;
    until_fresh(&mut bookmarks).await;
    // The first answers are whole, apart from the one that came with the stream.
    let first = whole.load(Ordering::SeqCst);

    for round in 0..5_u64 {
        let title = format!("round {round}");
        rest.post(&events, json!({"kind": "log", "title": title})).await;
        rest.put("/api/v1/bookmarks", json!({"task_id": task, "title": title})).await;
        rest.patch(&format!("/api/v1/tasks/{task}"), json!({"title": title})).await;
        let shown = until(&mut detail, |view| {
            let detail = view.value.as_ref().filter(|_| view.is_fresh());
            detail.is_some_and(|detail| detail.task.title == title && detail.task.event_count == 61 + round)
        })
        .await;
        let fetched: TaskDetail = read(&rest, &format!("/api/v1/tasks/{task}")).await;
        assert_eq!(*shown.value.unwrap(), fetched);
        let shown = until(&mut overview, |view| {
            let overview = view.value.as_ref().filter(|_| view.is_fresh());
            overview.is_some_and(|overview| overview.tasks.items.first().is_some_and(|first| first.title == title))
        })
        .await;
        assert_eq!(shown.value.unwrap().tasks, read::<TaskPage>(&rest, "/api/v1/tasks").await);
        let shown = until(&mut bookmarks, |view| {
            let page = view.value.as_ref().filter(|_| view.is_fresh());
            page.is_some_and(|page| page.items.first().is_some_and(|first| first.title == title))
        })
        .await;
        assert_eq!(*shown.value.unwrap(), read::<BookmarkPage>(&rest, "/api/v1/bookmarks").await);
    }
    assert_eq!(whole.load(Ordering::SeqCst), first, "no answer had to be asked for as a whole");
    assert!(asked.load(Ordering::SeqCst) >= 15, "{asked:?}");
}

#[tokio::test]
async fn changes_that_do_not_fit_are_asked_for_as_a_whole() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("busy", json!({})).await;
    let gate = Gate::start(app.address, |_| Verdict::Pass).await;
    let client = Client::connect(ClientConfig::new(gate.url()).with_settings(quick())).unwrap();
    let mut bookmarks = client.bookmarks();
    let cursor = until_fresh(&mut bookmarks).await.cursor.unwrap();
    gate.set(move |head| {
        let line = head.lines().next().unwrap_or_default();
        if !line.contains("since=") || line.contains("/ws") {
            return Verdict::Pass;
        }
        // The answer of a server whose list had other rows.
        let body = r#"{"full":false,"changed":[],"removed":[],"length":7,"next":null,"previous":null}"#;
        let length = body.len();
        Verdict::Answer(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequery-cursor: {cursor}\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    });
    rest.put("/api/v1/bookmarks", json!({"task_id": task, "title": "b"})).await;
    let shown = until(&mut bookmarks, |view| view.value.as_ref().is_some_and(|page| page.items.len() == 1)).await;
    assert_eq!(*shown.value.unwrap(), read::<BookmarkPage>(&rest, "/api/v1/bookmarks").await);
}

async fn read<T: serde::de::DeserializeOwned>(rest: &rest::Client, path: &str) -> T {
    serde_json::from_value(rest.get(path).await.json()).unwrap()
}
