//! The real client and a server that breaks the contract: mute, reset, refused and closed streams, wrong and late
//! answers, unknown frames. The tests count connections and fetches, and look at the states of the views.

mod answers;
mod peer;
mod scope;
mod transports;
mod waits;

use std::time::Duration;

use requery::client::{BodyValue, Client, ClientConfig, HeldState, Status, View, WatchHandle};
use requery::engine::EngineSettings;
use requery::protocol::model::{Stats, Usage};
use serde_json::json;

use peer::{Part, Peer, Step, cursor};

const BOOKMARKS: &str = "/api/v1/bookmarks";
const TASK: &str = "task:00000000-0000-7000-8000-000000000001";
const TASK_ID: &str = "00000000-0000-7000-8000-000000000001";

/// The settings of a client whose waits after faults are short.
fn quick() -> EngineSettings {
    let mut settings = EngineSettings::default();
    settings.backoff_first = Duration::from_millis(10);
    settings.backoff_most = Duration::from_millis(40);
    settings.patience = Duration::from_millis(200);
    settings.poll_interval = Duration::from_millis(200);
    settings
}

fn connect(peer: &Peer, settings: EngineSettings) -> Client {
    Client::connect(ClientConfig::new(peer.url()).with_settings(settings)).unwrap()
}

async fn live(client: &Client) {
    until(client, |status| *status == Status::Live).await;
}

async fn until(client: &Client, property: impl FnMut(&Status) -> bool) {
    let reached = tokio::time::timeout(Duration::from_secs(10), client.wait_for_status(property)).await;
    assert!(reached.is_ok(), "the status is {:?} after ten seconds", client.status());
}

/// Waits for a view with this property.
async fn shows<T: BodyValue<requery::client::AgentSource>>(
    watch: &mut WatchHandle<T>,
    property: impl FnMut(&View<T>) -> bool,
) -> View<T> {
    let shown = tokio::time::timeout(Duration::from_secs(10), watch.wait_for(property)).await;
    let view = watch.view();
    shown
        .unwrap_or_else(|_| panic!("after ten seconds: {:?}, failures {}, {:?}", view.state, view.failures, view.error))
        .unwrap()
}

/// The view is fresh at this cursor.
fn fresh_at<T>(at: u64) -> impl FnMut(&View<T>) -> bool {
    move |view| {
        view.state == HeldState::Fresh && view.cursor.as_ref().is_some_and(|held| held.to_string() == cursor(at))
    }
}

async fn ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A stream that keeps the contract.
fn good(at: u64) -> Part {
    Part::Stream(vec![Step::Say(snapshot(at)), Step::Serve])
}

fn frame(kind: &str, at: u64, payload: serde_json::Value) -> String {
    json!({"type": kind, "cursor": cursor(at), "payload": payload}).to_string()
}

/// A snapshot without the rest of the overview, as an older server sends it.
fn snapshot(at: u64) -> String {
    let payload = json!({
        "stats": Stats::default(), "tasks": [], "server_time": "2026-01-01T00:00:00Z", "heartbeat_ms": 25000,
        "version": "1.0",
    });
    frame("snapshot", at, payload)
}

/// A snapshot with the whole overview.
fn whole_snapshot(at: u64) -> String {
    let payload = json!({
        "stats": Stats::default(), "tasks": [], "next": null, "needs_you": [], "activity": [], "sources": [],
        "usage": Usage::default(), "server_time": "2026-01-01T00:00:00Z", "heartbeat_ms": 25000, "version": "1.0",
    });
    frame("snapshot", at, payload)
}

fn resumed(at: u64, stale: &[&str]) -> String {
    let payload =
        json!({"server_time": "2026-01-01T00:00:00Z", "heartbeat_ms": 25000, "version": "1.0", "stale": stale});
    frame("resumed", at, payload)
}

fn stale(at: u64, list: &[&str]) -> String {
    frame("stale", at, json!({"read_models": list}))
}

fn heartbeat(at: u64) -> String {
    frame("heartbeat", at, json!({"server_time": "2026-01-01T00:00:00Z"}))
}

fn closing(at: u64, retry_ms: u32) -> String {
    frame("closing", at, json!({"retry_ms": retry_ms}))
}
