//! Optimistic writes: an overlay is shown until the held answer contains the write.

use futures_util::FutureExt;
use requery::client::{AgentBody, Client, HeldState, WatchHandle};
use requery::protocol::ReadModel;
use requery::protocol::model::TaskDetail;
use serde_json::json;

use super::gate::{Gate, Verdict};
use super::{connect, cursor_of, quick, until, until_fresh};
use crate::app::App;
use crate::rest;

struct Scene {
    rest: rest::Client,
    gate: Gate,
    client: Client,
    task: String,
    watch: WatchHandle<TaskDetail>,
}

impl Scene {
    async fn start(app: &App) -> Self {
        let rest = rest::Client::of(app);
        let task = rest.task("old", json!({})).await;
        let gate = Gate::start(app.address, |_| Verdict::Pass).await;
        let client = connect(&gate.url(), quick());
        let mut watch = client.task(task.parse().unwrap());
        until_fresh(&mut watch).await;
        Self { rest, gate, client, task, watch }
    }

    fn title(&self) -> String {
        self.watch.view().value.unwrap().task.title.clone()
    }
}

fn renamed(title: &'static str) -> impl Fn(&TaskDetail) -> TaskDetail {
    move |detail| {
        let mut detail = detail.clone();
        detail.task.title = title.to_owned();
        detail
    }
}

#[tokio::test]
async fn an_overlay_lasts_until_the_answer_contains_the_write() {
    let app = App::start().await;
    let mut scene = Scene::start(&app).await;
    let overlay = scene.watch.overlay(renamed("new"));
    assert!(scene.watch.view().is_overlaid);
    assert_eq!(scene.title(), "new");
    let body = scene.client.watch::<AgentBody>(ReadModel::Task(scene.task.parse().unwrap())).view().value.unwrap();
    let AgentBody::Task(detail) = &*body else { panic!("{body:?}") };
    assert_eq!(detail.task.title, "new", "every handle shows the overlay");

    // The answers of the server do not come through for now, so the overlay has to stay.
    scene.gate.set(|_| Verdict::Mute);
    let answer = scene.rest.patch(&format!("/api/v1/tasks/{}", scene.task), json!({"title": "new, as saved"})).await;
    overlay.committed(&cursor_of(&answer));
    until(&mut scene.watch, |view| view.state == HeldState::Stale).await;
    assert_eq!(scene.title(), "new");
    scene.gate.set(|_| Verdict::Pass);
    scene.client.refresh(&ReadModel::Task(scene.task.parse().unwrap()));
    scene.client.reconnect_now();
    let view = until(&mut scene.watch, |view| !view.is_overlaid).await;
    assert_eq!(view.value.unwrap().task.title, "new, as saved");
    assert!(view.cursor.unwrap().covers(&cursor_of(&answer)));
}

#[tokio::test]
async fn an_overlay_of_a_failed_write_is_rolled_back() {
    let app = App::start().await;
    let mut scene = Scene::start(&app).await;
    let (first, second) = (scene.watch.overlay(renamed("first")), scene.watch.overlay(renamed("second")));
    assert_eq!(scene.title(), "second");
    drop(second);
    assert_eq!(scene.title(), "first");
    drop(first);
    assert_eq!((scene.title().as_str(), scene.watch.view().is_overlaid), ("old", false));

    // A newer answer goes below the overlay.
    let overlay = scene.watch.overlay(|detail| {
        let mut detail = detail.clone();
        detail.task.title += ", edited";
        detail
    });
    scene.rest.patch(&format!("/api/v1/tasks/{}", scene.task), json!({"title": "by another person"})).await;
    let edited = |title: &str| title == "by another person, edited";
    until(&mut scene.watch, |view| view.value.as_ref().is_some_and(|detail| edited(&detail.task.title))).await;
    drop(overlay);
    assert_eq!(scene.title(), "by another person");
}

/// Overlays that never end take a bounded part of the memory.
#[tokio::test]
async fn the_oldest_of_too_many_overlays_ends() {
    let app = App::start().await;
    let scene = Scene::start(&app).await;
    let append = |detail: &TaskDetail| {
        let mut detail = detail.clone();
        detail.task.title += "+";
        detail
    };
    let overlays: Vec<_> = (0..40).map(|_| scene.watch.overlay(append)).collect();
    assert_eq!(scene.title(), format!("old{}", "+".repeat(32)));
    drop(overlays);
    assert_eq!(scene.title(), "old");
}

/// An overlay is code of the application: it may use the client, and its end may drop a part of the client.
#[tokio::test]
async fn an_overlay_may_hold_a_handle_and_the_client() {
    let app = App::start().await;
    let mut scene = Scene::start(&app).await;
    let held = || (scene.client.task(scene.task.parse().unwrap()), scene.client.clone());
    let change = |(handle, client): (WatchHandle<TaskDetail>, Client)| {
        move |detail: &TaskDetail| {
            client.refresh(handle.model());
            let mut detail = detail.clone();
            detail.task.title += &format!(", not {}", handle.view().value.unwrap().task.title);
            detail
        }
    };
    let overlay = scene.watch.overlay(change(held()));
    assert_eq!(scene.title(), "old, not old");
    drop(overlay);
    assert_eq!(scene.title(), "old");
    // The overlay ends by an answer, and by the end of the client.
    let overlay = scene.watch.overlay(change(held()));
    let answer = scene.rest.patch(&format!("/api/v1/tasks/{}", scene.task), json!({"title": "new"})).await;
    overlay.committed(&cursor_of(&answer));
    let view = until(&mut scene.watch, |view| !view.is_overlaid).await;
    assert_eq!(view.value.unwrap().task.title, "new");
    let _overlay = scene.watch.overlay(change(held()));
    scene.client.close().await;
}

#[tokio::test]
async fn an_overlay_that_changes_no_value_is_no_new_value() {
    let app = App::start().await;
    let mut scene = Scene::start(&app).await;
    assert!(scene.watch.value_changed().now_or_never().is_some(), "the first value");
    let overlay = scene.watch.overlay(TaskDetail::clone);
    assert!(scene.watch.view().is_overlaid);
    assert!(scene.watch.value_changed().now_or_never().is_none());
    drop(overlay);
    assert!(scene.watch.value_changed().now_or_never().is_none());
}
