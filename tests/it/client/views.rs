//! What a handle shows, and when it wakes its owner.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use requery::client::{
    AgentBody, Client, ClientConfig, HeldState, PageQuery, RequestError, SearchQuery, Status, TaskQuery, WatchOptions,
};
use requery::engine::EngineSettings;
use requery::protocol::ReadModel;
use requery::protocol::model::{Lane, TaskStatus};
use serde_json::json;
use tokio::time::timeout;

use super::gate::{Gate, Verdict};
use super::{connect, cursor_of, quick, until, until_fresh};
use crate::app::{App, PATIENCE};
use crate::rest::{self, TASK};

/// The snapshot has the whole overview, so that a client that connects asks for none.
#[tokio::test]
async fn connecting_costs_no_fetch_of_the_overview() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let id = rest.task("in the snapshot", json!({})).await;
    rest.post(&format!("/api/v1/tasks/{id}/events"), json!({"events": [{"kind": "note", "title": "e"}]})).await;
    let gate = Gate::start(app.address, |_| Verdict::Pass).await;
    let client = connect(&gate.url(), quick());
    let mut overview = client.overview();
    let view = until_fresh(&mut overview).await;
    assert_eq!(gate.requests("GET /api/v1"), 0);
    let body = view.value.unwrap();
    assert_eq!(serde_json::to_value(&body.overview).unwrap(), rest.get("/api/v1/overview").await.json());
    assert_eq!(serde_json::to_value(&body.tasks).unwrap(), rest.get("/api/v1/tasks").await.json());
    assert_eq!(view.parts.len(), 2);

    // The next change is fetched, and the one after it conditionally.
    rest.task("later", json!({})).await;
    until(&mut overview, |view| view.value.as_ref().is_some_and(|body| body.tasks.items.len() == 2)).await;
    assert_eq!((gate.requests("GET /api/v1/overview"), gate.requests("GET /api/v1/tasks")), (1, 1));
}

#[tokio::test]
async fn equal_answers_wake_nobody() {
    let app = App::start().await;
    rest::Client::of(&app).task("the same", json!({})).await;
    // Without the condition each answer is a whole body.
    let gate = Gate::start(app.address, |_| Verdict::PassWithout("if-none-match")).await;
    let mut settings = EngineSettings::default();
    settings.safety = Duration::from_millis(100);
    let client = connect(&gate.url(), settings);
    let mut overview = client.overview();
    let first = until_fresh(&mut overview).await;
    let mut same = 0;
    timeout(PATIENCE, async {
        while gate.requests("GET /api/v1/overview") < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            same += usize::from(overview.view_if_changed().is_none());
        }
    })
    .await
    .expect("the safety refetch runs");
    assert!(same > 5 && overview.changed().now_or_never().is_none());
    let last = overview.view();
    assert!(std::sync::Arc::ptr_eq(&first.value.unwrap(), &last.value.unwrap()), "the body is parsed and kept once");
}

/// A wish makes a view stale and fresh again. That changes its state and not its value.
#[tokio::test]
async fn a_new_value_is_told_apart_from_a_new_state() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let client = connect(&app.url(""), quick());
    let mut bookmarks = client.bookmarks();
    until_fresh(&mut bookmarks).await;
    assert!(timeout(PATIENCE, bookmarks.value_changed()).await.unwrap().is_some(), "the first value");
    let mut other = client.bookmarks();
    client.refresh(&ReadModel::Bookmarks);
    assert_eq!(other.view().state, HeldState::Stale);
    until_fresh(&mut other).await;
    assert!(bookmarks.value_changed().now_or_never().is_none());
    let task = rest.task("marked", json!({})).await;
    rest.put("/api/v1/bookmarks", json!({"task_id": task, "title": "b"})).await;
    let view = timeout(PATIENCE, bookmarks.value_changed()).await.unwrap().unwrap();
    assert_eq!(view.value.unwrap().items[0].title, "b");
}

#[tokio::test]
async fn a_handle_is_a_stream_that_begins_with_the_newest_view() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let client = connect(&app.url(""), quick());
    let mut overview = client.overview();
    until_fresh(&mut overview).await;
    let mut views = overview.clone();
    drop(overview);
    assert_eq!(views.next().now_or_never().flatten().unwrap().state, HeldState::Fresh);
    assert!(views.next().now_or_never().is_none(), "no change has happened");
    rest.task("streamed", json!({})).await;
    let titles = |view: &requery::client::View<requery::client::OverviewBody>| -> Vec<String> {
        view.value.iter().flat_map(|body| body.tasks.items.iter().map(|task| task.title.clone())).collect()
    };
    let mut seen = Vec::new();
    while seen != ["streamed"] {
        seen = titles(&timeout(PATIENCE, views.next()).await.unwrap().unwrap());
    }
    client.close().await;
    let ended = async { while views.next().await.is_some() {} };
    timeout(PATIENCE, ended).await.expect("the stream ends");
    assert!(views.next().await.is_none(), "a stream may be polled after its end");
}

/// A change that one wait of a handle has reported is not reported by another one.
#[tokio::test]
async fn a_change_is_reported_once_by_the_stream_and_the_calls_of_a_handle() {
    let app = App::start().await;
    let client = connect(&app.url(""), quick());
    let mut bookmarks = client.bookmarks();
    until_fresh(&mut bookmarks).await;
    timeout(PATIENCE, client.wait_for_status(|status| *status == Status::Live)).await.unwrap();
    assert!(bookmarks.next().now_or_never().is_some(), "the newest view");
    client.refresh(&ReadModel::Bookmarks);
    assert!(bookmarks.changed().now_or_never().is_some(), "the view is stale");
    assert!(bookmarks.next().now_or_never().is_none(), "the stream does not report it again");
    until_fresh(&mut bookmarks).await;
    client.refresh(&ReadModel::Bookmarks);
    assert_eq!(bookmarks.next().now_or_never().flatten().unwrap().state, HeldState::Stale);
    assert!(bookmarks.changed().now_or_never().is_none(), "the call does not report it again");
}

#[tokio::test]
async fn a_task_that_is_gone_is_a_change_of_its_value() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let client = connect(&app.url(""), quick());
    let mut missing = client.task(TASK.parse().unwrap());
    let view = timeout(PATIENCE, missing.value_changed()).await.unwrap().unwrap();
    assert_eq!((view.state, view.value), (HeldState::Gone, None));
    let task = rest.task("deleted", json!({})).await;
    let mut watch = client.task(task.parse().unwrap());
    assert!(timeout(PATIENCE, watch.value_changed()).await.unwrap().unwrap().value.is_some());
    rest.delete(&format!("/api/v1/tasks/{task}")).await;
    let view = timeout(PATIENCE, watch.value_changed()).await.unwrap().unwrap();
    assert_eq!((view.state, view.value.is_some()), (HeldState::Gone, true));
}

#[tokio::test]
async fn a_watch_of_some_kinds_leaves_the_other_events_alone() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("busy", json!({})).await;
    let gate = Gate::start(app.address, |_| Verdict::Pass).await;
    let client = connect(&gate.url(), quick());
    let model = ReadModel::Task(task.parse().unwrap());
    let mut plans = client.task(task.parse().unwrap()).only(WatchOptions::lanes([Lane::Planning]));
    until_fresh(&mut plans).await;
    let path = format!("GET /api/v1/tasks/{task}");
    let before = gate.requests(&path);
    let log = async |kind: &str| {
        let answer = rest.post(&format!("/api/v1/tasks/{task}/events"), json!({"events": [{"kind": kind}]})).await;
        assert!(answer.status < 300, "{}", answer.text);
        cursor_of(&answer)
    };
    // The bookmarks see the stream's cursor too: a watch that begins later proves that the notice was read.
    log("user.message").await;
    log("assistant.response").await;
    let cursor = log("plan").await;
    let view = until(&mut plans, |view| view.cursor.as_ref().is_some_and(|held| held.covers(&cursor))).await;
    assert_eq!(view.value.unwrap().task.event_count, 3, "the answer to the plan is whole");
    assert_eq!(gate.requests(&path), before + 1);

    // A change that was left out is fetched for a watch that wants it.
    let cursor = log("user.message").await;
    let mut bookmarks = client.bookmarks();
    until_fresh(&mut bookmarks).await;
    rest.put("/api/v1/bookmarks", json!({"task_id": task, "title": "b"})).await;
    until(&mut bookmarks, |view| view.value.as_ref().is_some_and(|page| page.items.len() == 1)).await;
    assert_eq!((plans.view().state, gate.requests(&path)), (HeldState::Fresh, before + 1));
    let mut all = client.watch::<AgentBody>(model);
    until(&mut all, |view| view.is_fresh() && view.cursor.as_ref().is_some_and(|held| held.covers(&cursor))).await;
    assert_eq!(plans.view().value.unwrap().task.event_count, 4);
}

#[tokio::test]
async fn a_watch_of_the_status_ignores_a_new_title() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("first", json!({})).await;
    let gate = Gate::start(app.address, |_| Verdict::Pass).await;
    let client = connect(&gate.url(), quick());
    let mut watch = client.task(task.parse().unwrap()).only(WatchOptions::status_only());
    until_fresh(&mut watch).await;
    let path = format!("/api/v1/tasks/{task}");
    let before = gate.requests(&format!("GET {path}"));
    rest.patch(&path, json!({"title": "second"})).await;
    rest.patch(&path, json!({"status": "waiting"})).await;
    let waiting = |status| status == Some(TaskStatus::Waiting);
    until(&mut watch, |view| waiting(view.value.as_ref().map(|detail| detail.task.status))).await;
    assert_eq!(gate.requests(&format!("GET {path}")), before + 1);
}

#[tokio::test]
async fn bytes_bound_what_is_remembered() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("remembered", json!({})).await;
    for (bytes, remembered) in [(16 * 1024 * 1024, true), (10, false)] {
        let mut config = ClientConfig::new(app.url("")).with_settings(quick());
        config.remembered_bytes = bytes;
        let client = Client::connect(config).unwrap();
        let mut watch = client.task(task.parse().unwrap());
        until_fresh(&mut watch).await;
        let model = watch.model().clone();
        drop(watch);
        // The driver forgets after the call of the application.
        let settled = async {
            while client.explain(&model).is_some() != remembered {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, settled).await.expect("the driver runs");
        assert_eq!(client.task(task.parse().unwrap()).view().value.is_some(), remembered);
    }
}

#[tokio::test]
async fn pages_filters_and_searches_are_plain_calls() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let parent = rest.task("parent", json!({"project": "p"})).await;
    for title in ["first", "second", "third"] {
        rest.task(title, json!({"project": "p", "parent_task_id": parent})).await;
    }
    rest.task("elsewhere", json!({"project": "q"})).await;
    rest.post(&format!("/api/v1/tasks/{parent}/events"), json!({"events": [{"kind": "note"}, {"kind": "plan"}]})).await;
    let config = ClientConfig::new(app.url("")).with_project("p").with_settings(quick());
    let client = Client::connect(config).unwrap();
    let titles = |page: requery::protocol::model::TaskPage| -> Vec<String> {
        page.items.into_iter().map(|task| task.title).collect()
    };

    let query = TaskQuery::children_of(parent.parse().unwrap());
    let page = client.tasks(&query.clone().on_page(PageQuery::default().limited_to(2))).await.unwrap();
    let next = page.next.clone().unwrap();
    assert_eq!(titles(page), ["third", "second"]);
    let page = client.tasks(&query.clone().on_page(PageQuery::before(next))).await.unwrap();
    let previous = page.previous.clone().unwrap();
    assert_eq!(titles(page), ["first"]);
    assert_eq!(titles(client.tasks(&query.on_page(PageQuery::after(previous))).await.unwrap()), ["third", "second"]);
    assert_eq!(titles(client.tasks(&TaskQuery::with_status(TaskStatus::Errored)).await.unwrap()), [""; 0]);
    assert_eq!(client.tasks(&TaskQuery::default()).await.unwrap().items.len(), 4, "the tasks of the project");

    let events = client.timeline(&parent.parse().unwrap(), &PageQuery::default().limited_to(1)).await.unwrap();
    assert_eq!((events.items.len(), events.next.is_some()), (1, true));
    let missing = client.timeline(&TASK.parse().unwrap(), &PageQuery::default()).await.unwrap_err();
    assert!(matches!(missing, RequestError::NotFound(_)), "{missing}");
    assert_eq!(client.bookmark_page(&PageQuery::default()).await.unwrap().items, []);
    // The index follows the writes within moments, and an answer says whether it has all of them.
    let search = async |query: SearchQuery| loop {
        let found = client.search(&query).await.unwrap();
        if found.complete {
            return found;
        }
    };
    let found = timeout(PATIENCE, search(SearchQuery::new("sec*"))).await.unwrap();
    assert_eq!(found.items.iter().map(|hit| &*hit.title).collect::<Vec<_>>(), ["second"]);
    let query = SearchQuery::new("sec*").in_task(parent.parse().unwrap());
    let in_task = timeout(PATIENCE, search(query)).await.unwrap();
    assert_eq!(in_task.items, []);

    let wrong = client.tasks(&TaskQuery::default().on_page(PageQuery::default().limited_to(1000))).await.unwrap_err();
    let RequestError::Status { status: 422, detail: Some(detail), .. } = &wrong else { panic!("{wrong}") };
    assert!(detail.contains("limit"), "{detail}");
    app.stop().await;
    let gone = client.tasks(&TaskQuery::default()).await.unwrap_err();
    assert!(matches!(gone, RequestError::NotReached(_)), "{gone}");
    timeout(PATIENCE, client.wait_for_status(|status| !matches!(status, Status::Live))).await.unwrap();
}
