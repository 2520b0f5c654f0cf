//! The calls of an application to its client.

use std::time::Duration;

use requery::client::{Client, HeldState, Status, TaskQuery};
use requery::protocol::ReadModel;
use serde_json::json;
use tokio::time::timeout;

use super::gate::{Gate, Verdict};
use super::{connect, cursor_of, quick, until, until_fresh};
use crate::app::{App, PATIENCE};
use crate::rest;

async fn until_live(client: &Client) {
    let live = client.wait_for_status(|status| *status == Status::Live);
    timeout(PATIENCE, live).await.expect("the client connects").expect("the client has not ended");
}

#[tokio::test]
async fn a_paused_client_keeps_its_views_and_fetches_none() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let gate = Gate::start(app.address, |_| Verdict::Pass).await;
    let client = connect(&gate.url(), quick());
    let mut overview = client.overview();
    until_fresh(&mut overview).await;
    client.pause();
    assert_eq!((client.status(), overview.view().state), (Status::Disabled, HeldState::Unconfirmed));
    let before = gate.requests("GET ");
    rest.task("while paused", json!({})).await;
    client.refresh(&ReadModel::Overview);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((overview.view().value.unwrap().tasks.items.len(), gate.requests("GET ")), (0, before));
    client.resume();
    until(&mut overview, |view| view.is_fresh() && view.value.as_ref().unwrap().tasks.items.len() == 1).await;
}

#[tokio::test]
async fn a_hidden_screen_fetches_once_when_it_is_visible_again() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let gate = Gate::start(app.address, |_| Verdict::Pass).await;
    let client = connect(&gate.url(), quick());
    let mut overview = client.overview();
    until_fresh(&mut overview).await;
    client.set_visible(false);
    for title in ["a", "b", "c"] {
        rest.task(title, json!({})).await;
    }
    until(&mut overview, |view| view.state == HeldState::Stale).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(gate.requests("GET /api/v1/overview"), 0);
    client.set_visible(true);
    until(&mut overview, |view| view.is_fresh() && view.value.as_ref().unwrap().tasks.items.len() == 3).await;
    assert_eq!(gate.requests("GET /api/v1/overview"), 1);
}

#[tokio::test]
async fn a_device_without_network_tries_no_connection() {
    let app = App::start().await;
    let gate = Gate::start(app.address, |_| Verdict::Pass).await;
    let client = connect(&gate.url(), quick());
    let mut overview = client.overview();
    until_fresh(&mut overview).await;
    client.set_online(false);
    // An open stream stays: the report of the device may be wrong.
    assert_eq!(client.status(), Status::Live);
    client.reconnect_now();
    assert_eq!((client.status(), overview.view().state), (Status::Offline, HeldState::Unconfirmed));
    client.set_online(true);
    until_live(&client).await;
    until_fresh(&mut overview).await;
    assert_eq!(gate.requests("GET /ws"), 2);
}

#[tokio::test]
async fn a_wish_ends_the_wait_that_a_server_demands() {
    let app = App::start().await;
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 60\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let gate = Gate::start(app.address, move |head| match head.starts_with("GET /api/v1/bookmarks") {
        true => Verdict::Answer(busy.to_owned()),
        false => Verdict::Pass,
    });
    let gate = gate.await;
    let client = connect(&gate.url(), quick());
    until_live(&client).await;
    let mut bookmarks = client.bookmarks();
    until(&mut bookmarks, |view| view.failures == 1).await;
    let text = client.explain_in_words(&ReadModel::Bookmarks).unwrap();
    assert!(text.starts_with("loading since ") && text.contains("waits for the retry until "), "{text}");
    gate.set(|_| Verdict::Pass);
    client.refresh(&ReadModel::Bookmarks);
    until_fresh(&mut bookmarks).await;
    assert_eq!(client.explain(&ReadModel::Overview), None);
}

/// A write that the stream has not reported yet is a floor for every later answer, also of a read model that no screen
/// showed at the time of the write.
#[tokio::test]
async fn own_writes_are_in_every_later_answer() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("old", json!({})).await;
    let mut demanded = Vec::new();
    let (sender, mut heads) = tokio::sync::mpsc::channel(64);
    let gate = Gate::start(app.address, move |head| {
        sender.try_send(head.to_owned()).unwrap();
        Verdict::Pass
    });
    let gate = gate.await;
    let client = connect(&gate.url(), quick());
    let mut watch = client.task(task.parse().unwrap());
    until_fresh(&mut watch).await;
    let answer = rest.patch(&format!("/api/v1/tasks/{task}"), json!({"title": "new"})).await;
    client.wrote(watch.model(), &cursor_of(&answer));
    assert_eq!(watch.view().state, HeldState::Stale);
    let view = until_fresh(&mut watch).await;
    assert_eq!(view.value.unwrap().task.title, "new");
    let mut bookmarks = client.bookmarks();
    until_fresh(&mut bookmarks).await;
    while let Ok(head) = heads.try_recv() {
        demanded.extend(head.lines().find(|line| line.starts_with("requery-at-least")).map(str::to_owned));
    }
    let floor = format!("requery-at-least: {}", cursor_of(&answer));
    assert!(demanded.contains(&floor), "{demanded:?}");
    // A single read contains the write too.
    client.tasks(&TaskQuery::default()).await.unwrap();
    let head = heads.try_recv().unwrap();
    assert!(head.starts_with("GET /api/v1/tasks ") && head.contains(&floor), "{head}");
}

/// The property is code of the application: it may call the client, and drop a handle.
#[tokio::test]
async fn a_wait_for_the_status_may_use_the_client() {
    let app = App::start().await;
    let client = connect(&app.url(""), quick());
    let mut handles = vec![client.overview(), client.overview()];
    let live = client.wait_for_status(|status| {
        client.refresh(&ReadModel::Overview);
        client.set_visible(true);
        handles.pop();
        assert!(client.loss().is_none() && client.until_next_try().is_none());
        *status == Status::Live && client.status() == Status::Live
    });
    timeout(PATIENCE, live).await.expect("the client connects").expect("the client has not ended");
}

#[tokio::test]
async fn a_clone_keeps_the_client_alive() {
    let app = App::start().await;
    let client = connect(&app.url(""), quick());
    let clone = client.clone();
    let mut overview = client.overview();
    drop(client);
    until_fresh(&mut overview).await;
    let mut changes = clone.changes();
    drop(clone);
    timeout(PATIENCE, async { while changes.next().await {} }).await.expect("the last clone ends the client");
    timeout(PATIENCE, async { while overview.changed().await {} }).await.expect("the wait ends");
    assert_eq!(overview.view().state, HeldState::Unconfirmed);
    assert!(overview.view().value.is_some(), "the last view stays");
}
