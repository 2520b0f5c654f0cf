//! Watches of a part of the changes: a change that was left out is never forgotten, and a move is never left out.

use std::time::Duration;

use requery::client::{AgentBody, Client, ClientConfig, HeldState, Status, WatchHandle, WatchOptions};
use requery::protocol::model::{Lane, TaskDetail};
use requery::protocol::{Cursor, ReadModel};
use serde_json::json;
use tokio::time::timeout;

use super::gate::{Gate, Verdict};
use super::{cursor_of, quick, until, until_fresh};
use crate::app::{App, PATIENCE};
use crate::rest;

struct Scene {
    rest: rest::Client,
    gate: Gate,
    client: Client,
    task: String,
    plans: WatchHandle<TaskDetail>,
}

impl Scene {
    /// A watch of the plans of a task, which has left out an event. Returns the cursor of the event too.
    async fn start(app: &App) -> (Self, Cursor) {
        let rest = rest::Client::of(app);
        let task = rest.task("busy", json!({})).await;
        let gate = Gate::start(app.address, |_| Verdict::Pass).await;
        let client = Client::connect(ClientConfig::new(gate.url()).with_settings(quick())).unwrap();
        let mut plans = client.task(task.parse().unwrap()).only(WatchOptions::lanes([Lane::Planning]));
        until_fresh(&mut plans).await;
        timeout(PATIENCE, client.wait_for_status(|status| *status == Status::Live)).await.unwrap();
        let scene = Self { rest, gate, client, task, plans };
        let path = format!("/api/v1/tasks/{}/events", scene.task);
        let skipped = cursor_of(&scene.rest.post(&path, json!({"events": [{"kind": "user.message"}]})).await);
        // The stream reports in the order of the changes: the bookmark shows that the event was reported.
        let mut bookmarks = scene.client.bookmarks();
        until_fresh(&mut bookmarks).await;
        scene.rest.put("/api/v1/bookmarks", json!({"task_id": scene.task, "title": "b"})).await;
        until(&mut bookmarks, |view| view.value.as_ref().is_some_and(|page| page.items.len() == 1)).await;
        let view = scene.plans.view();
        assert!(view.is_fresh() && view.value.unwrap().task.event_count == 0 && !view.cursor.unwrap().covers(&skipped));
        (scene, skipped)
    }

    /// The stream is lost and resumes: the read models that it does not list have not changed since.
    async fn resume(&mut self) {
        let before = self.gate.requests("GET /ws");
        self.client.reconnect_now();
        until(&mut self.plans, |view| view.state == HeldState::Unconfirmed).await;
        until_fresh(&mut self.plans).await;
        assert_eq!(self.gate.requests("GET /ws"), before + 1);
    }

    fn model(&self) -> ReadModel {
        ReadModel::Task(self.task.parse().unwrap())
    }
}

#[tokio::test]
async fn a_change_that_was_left_out_is_fetched_for_a_watch_that_begins_after_a_resume() {
    let app = App::start().await;
    let (mut scene, skipped) = Scene::start(&app).await;
    scene.resume().await;
    assert!(!scene.plans.view().cursor.unwrap().covers(&skipped), "the body does not contain the event");
    let mut all = scene.client.watch::<AgentBody>(scene.model());
    let view = until_fresh(&mut all).await;
    let Some(AgentBody::Task(detail)) = view.value.as_deref() else { panic!("{view:?}") };
    assert_eq!(detail.task.event_count, 1);
    assert!(view.cursor.unwrap().covers(&skipped));
}

#[tokio::test]
async fn an_own_write_that_was_left_out_is_fetched_after_a_resume() {
    let app = App::start().await;
    let (mut scene, skipped) = Scene::start(&app).await;
    scene.resume().await;
    let overlay = scene.plans.overlay(|detail| {
        let mut detail = detail.clone();
        detail.task.event_count += 1;
        detail
    });
    overlay.committed(&skipped);
    assert!(scene.plans.view().is_overlaid, "the held body does not contain the write");
    let view = until(&mut scene.plans, |view| view.is_fresh() && !view.is_overlaid).await;
    assert_eq!(view.value.unwrap().task.event_count, 1);
}

#[tokio::test]
async fn a_watch_of_the_status_sees_that_the_task_leaves_the_project_and_comes_back() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("moving", json!({"project": "p"})).await;
    let config = ClientConfig::new(app.url("")).with_project("p").with_settings(quick());
    let client = Client::connect(config).unwrap();
    let mut watch = client.task(task.parse().unwrap()).only(WatchOptions::status_only());
    until_fresh(&mut watch).await;
    timeout(PATIENCE, client.wait_for_status(|status| *status == Status::Live)).await.unwrap();
    for _ in 0..2 {
        rest.patch(&format!("/api/v1/tasks/{task}"), json!({"project": "q"})).await;
        until(&mut watch, |view| view.state == HeldState::Gone).await;
        rest.patch(&format!("/api/v1/tasks/{task}"), json!({"project": "p"})).await;
        until_fresh(&mut watch).await;
        // A pause, so that the pace of a steady stream of notices does not count.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
