//! Transports, refusals, waits that a server demands, and the end of a client.

use std::future::ready;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use requery::client::{AgentBody, Client, ClientConfig, CloseReason, HeldState, LossReason, Status};
use requery::engine::EngineSettings;
use requery::protocol::ReadModel;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::gate::{Gate, Verdict};
use super::{connect, quick, until, until_fresh};
use crate::app::{App, PATIENCE};
use crate::rest;

fn is_upgrade(head: &str) -> bool {
    head.starts_with("GET /ws")
}

fn is_stream(head: &str) -> bool {
    is_upgrade(head) || head.starts_with("GET /api/v1/stream")
}

async fn until_status(client: &Client, property: impl FnMut(&Status) -> bool) -> Status {
    let status = timeout(PATIENCE, client.wait_for_status(property)).await;
    status.unwrap_or_else(|_| panic!("the status is {:?}", client.status())).expect("the client has not ended")
}

/// A middlebox resets the upgrade, swallows it, or lets it through and swallows the frames.
#[tokio::test]
async fn a_websocket_that_never_speaks_is_replaced_by_server_sent_events() {
    let app = App::start().await;
    for verdict in [|| Verdict::Reset, || Verdict::Mute, || Verdict::MuteSocket] {
        let gate = Gate::start(app.address, move |head| if is_upgrade(head) { verdict() } else { Verdict::Pass }).await;
        let mut settings = quick();
        settings.patience = Duration::from_millis(200);
        let client = connect(&gate.url(), settings);
        let _overview = client.overview();
        until_status(&client, |status| *status == Status::Live).await;
        assert_eq!((gate.requests("GET /ws"), gate.requests("GET /api/v1/stream")), (2, 1));
    }
}

#[tokio::test]
async fn without_any_stream_the_watched_read_models_are_polled() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let gate = Gate::start(app.address, |head| if is_stream(head) { Verdict::Reset } else { Verdict::Pass }).await;
    let mut settings = quick();
    settings.poll_interval = Duration::from_millis(300);
    let client = connect(&gate.url(), settings);
    let mut overview = client.overview();
    until_status(&client, |status| *status == Status::Polling).await;
    rest.task("seen by polling", json!({})).await;
    let view = until(&mut overview, |view| view.value.as_ref().is_some_and(|body| body.tasks.items.len() == 1)).await;
    assert_eq!(view.why.as_deref(), Some("polled"));
    assert!(view.state == HeldState::Fresh && view.age().unwrap() <= Duration::from_millis(300), "{view:?}");

    // Without an answer in time the view is not fresh any more, and the status says so too.
    gate.set(|_| Verdict::Reset);
    until(&mut overview, |view| view.state == HeldState::Unconfirmed).await;
    let status = until_status(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
    assert!(matches!(status, Status::Reconnecting { reason: LossReason::Ended, .. }), "{status:?}");
}

#[tokio::test]
async fn an_upgrade_waits_for_the_time_that_a_busy_server_names() {
    let app = App::start().await;
    let busy = |retry_after: &str| {
        Verdict::Answer(format!(
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: {retry_after}\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        ))
    };
    for retry_after in ["1", "Sun, 06 Nov 1994 08:49:38 GMT"] {
        let mut first = true;
        let gate = Gate::start(app.address, move |head| match is_upgrade(head) && std::mem::take(&mut first) {
            true => busy(retry_after),
            false => Verdict::Pass,
        });
        let gate = gate.await;
        let began = Instant::now();
        let client = connect(&gate.url(), quick());
        let status = until_status(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
        assert!(matches!(status, Status::Reconnecting { reason: LossReason::Busy, .. }), "{status:?}");
        assert_eq!(client.loss().as_deref(), Some("the server answered 503 Service Unavailable"));
        until_status(&client, |status| *status == Status::Live).await;
        assert!(began.elapsed() >= Duration::from_secs(1), "{retry_after}: {:?}", began.elapsed());
        // A busy server says nothing about the transport.
        assert_eq!((gate.requests("GET /ws"), gate.requests("GET /api/v1/stream")), (2, 0));
    }
}

#[tokio::test]
async fn a_404_without_a_cursor_is_a_failure_and_not_the_end_of_a_task() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let task = rest.task("behind a balancer", json!({})).await;
    let gate = Gate::start(app.address, |head| match head.starts_with("GET /api/v1/tasks/") {
        true => Verdict::Answer(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\nconnection: close\r\n\r\nno backend".to_owned(),
        ),
        false => Verdict::Pass,
    });
    let gate = gate.await;
    let client = connect(&gate.url(), quick());
    let mut watch = client.task(task.parse().unwrap());
    let view = until(&mut watch, |view| view.failures > 1).await;
    assert_eq!((view.state, view.value), (HeldState::Loading, None));
    let error = format!("could not load task:{task}: the server answered 404");
    assert_eq!(view.error.as_deref(), Some(error.as_str()));
    gate.set(|_| Verdict::Pass);
    assert_eq!(until_fresh(&mut watch).await.value.unwrap().task.title, "behind a balancer");
    rest.delete(&format!("/api/v1/tasks/{task}")).await;
    until(&mut watch, |view| view.state == HeldState::Gone).await;
}

#[tokio::test]
async fn errors_name_their_causes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = connect(&format!("http://{address}"), quick());
    let mut overview = client.overview();
    let view = until(&mut overview, |view| view.error.is_some()).await;
    let error = view.error.unwrap();
    assert!(error.starts_with("could not load overview: could not reach the server: "), "{error}");
    assert!(error.ends_with("Connection refused (os error 111)"), "{error}");
    let refused = format!("could not connect to {address}: Connection refused (os error 111)");
    until_status(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
    assert_eq!(client.loss().as_deref(), Some(refused.as_str()));

    let client = connect("http://no-such-host.invalid", quick());
    until_status(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
    let loss = client.loss().unwrap();
    assert!(loss.contains("failed to lookup address information"), "{loss}");
}

/// The words of a loss are those of the last loss, also if the client itself found it.
#[tokio::test]
async fn a_loss_that_the_client_finds_has_words_of_its_own() {
    let app = App::start().await;
    let gate = Gate::start(app.address, |head| if is_stream(head) { Verdict::Reset } else { Verdict::Pass }).await;
    let mut settings = quick();
    settings.patience = Duration::from_millis(100);
    let client = connect(&gate.url(), settings);
    until_status(&client, |status| matches!(status, Status::Reconnecting { reason: LossReason::Ended, .. })).await;
    assert!(client.loss().is_some());
    gate.set(|head| if is_stream(head) { Verdict::Mute } else { Verdict::Pass });
    let silent = |status: &Status| matches!(status, Status::Reconnecting { reason: LossReason::NoFirstMessage, .. });
    until_status(&client, silent).await;
    assert_eq!(client.loss().as_deref(), Some("the server sent no first message in time"));
    gate.set(|_| Verdict::Pass);
    until_status(&client, |status| *status == Status::Live).await;
    client.reconnect_now();
    assert_eq!(client.loss().as_deref(), Some("the application asked for a new connection"));
}

#[tokio::test]
async fn the_server_gets_a_close_frame_when_the_client_ends() {
    for dropped in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = connect(&format!("http://{}", listener.local_addr().unwrap()), quick());
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let first = r#"{"type":"resync","payload":{"reason":"a first frame"},"cursor":"e:1:1:"}"#;
        socket.send(Message::text(first)).await.unwrap();
        until_status(&client, |status| *status == Status::Live).await;
        let mut changes = client.changes();
        let close_frame = async {
            let mut messages = socket.by_ref().filter(|message| ready(!matches!(message, Ok(Message::Text(_)))));
            timeout(PATIENCE, messages.next()).await.expect("the connection ends")
        };
        let (received, ()) =
            tokio::join!(close_frame, async { if dropped { drop(client) } else { client.close().await } });
        let Some(Ok(Message::Close(Some(frame)))) = received else { panic!("{received:?} instead of a close frame") };
        assert_eq!(u16::from(frame.code), 1000);
        while timeout(PATIENCE, changes.next()).await.expect("the wait ends") {}
    }
}

#[tokio::test]
async fn the_end_of_a_client_waits_for_a_second_at_most() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = connect(&format!("http://{}", listener.local_addr().unwrap()), quick());
    let (stream, _) = listener.accept().await.unwrap();
    let _never_read = tokio_tungstenite::accept_async(stream).await.unwrap();
    let mut overview = client.overview();
    let clone = client.clone();
    let began = Instant::now();
    client.close().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(clone.is_closed() && clone.status() == Status::Disabled);
    assert!(!timeout(PATIENCE, overview.changed()).await.unwrap(), "the handle has ended");
    assert!(!timeout(PATIENCE, clone.overview().changed()).await.unwrap(), "a new handle has ended");
    assert!(!clone.changes().next().await);
    assert_eq!(clone.wait_for_status(|status| *status == Status::Live).await, None);
    clone.refresh(&ReadModel::Overview);
    clone.close().await;
}

/// A runtime that ends takes the driver along. A handle that another runtime waits for must not wait for ever.
#[tokio::test]
async fn every_wait_ends_when_the_driver_dies() {
    let app = App::start().await;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (url, _entered) = (app.url(""), runtime.enter());
    let client = connect(&url, quick());
    drop(_entered);
    let mut overview = client.overview();
    until_fresh(&mut overview).await;
    let mut changes = client.changes();
    runtime.shutdown_background();
    timeout(PATIENCE, async { while changes.next().await {} }).await.expect("the wait ends");
    timeout(PATIENCE, async { while overview.changed().await {} }).await.expect("the wait ends");
    assert_eq!(overview.view().state, HeldState::Unconfirmed);
    assert_eq!((client.is_closed(), client.status()), (true, Status::Disabled));
    client.close().await;
}

#[tokio::test]
async fn extreme_settings_neither_panic_nor_stall() {
    let app = App::start().await;
    for wait in [Duration::ZERO, Duration::MAX] {
        let mut settings = EngineSettings::default();
        for field in [
            &mut settings.safety,
            &mut settings.poll_interval,
            &mut settings.backoff_first,
            &mut settings.backoff_most,
            &mut settings.remembered_for,
            &mut settings.websocket_retry,
            &mut settings.stable,
            &mut settings.longest_wait,
            &mut settings.first_message_wait,
        ] {
            *field = wait;
        }
        if wait == Duration::MAX {
            (settings.fetch_timeout, settings.patience) = (wait, wait);
        } else {
            // A safety refetch without a pause would never let the view rest.
            (settings.safety, settings.quiet, settings.max_wait) = (Duration::from_secs(60), wait, wait);
        }
        let client = connect(&app.url(""), settings);
        let mut overview = client.overview();
        until(&mut overview, |view| view.value.is_some()).await;
        drop(overview);
        client.close().await;
    }
}

#[tokio::test]
async fn a_refused_client_can_try_again() {
    let app = App::start().await;
    let forbidden = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let gate = Gate::start(app.address, move |head| match is_stream(head) {
        true => Verdict::Answer(forbidden.to_owned()),
        false => Verdict::Pass,
    });
    let gate = gate.await;
    let client = connect(&gate.url(), quick());
    for again in [Client::resume, Client::reconnect_now] {
        let status = until_status(&client, |status| matches!(status, Status::Closed { .. })).await;
        assert_eq!(status, Status::Closed { reason: CloseReason::Refused("403 Forbidden".to_owned()) });
        again(&client);
        assert!(!matches!(client.status(), Status::Closed { .. }));
    }
    gate.set(|_| Verdict::Pass);
    until_status(&client, |status| matches!(status, Status::Closed { .. } | Status::Live)).await;
    client.reconnect_now();
    until_status(&client, |status| *status == Status::Live).await;
}

#[tokio::test]
async fn the_attempts_can_be_limited() {
    let app = App::start().await;
    let gate = Gate::start(app.address, |_| Verdict::Reset).await;
    let mut settings = quick();
    settings.attempts = std::num::NonZeroU32::new(3);
    let client = connect(&gate.url(), settings);
    let status = until_status(&client, |status| matches!(status, Status::Closed { .. })).await;
    assert_eq!(status, Status::Closed { reason: CloseReason::Attempts });
    assert_eq!(gate.requests("GET /ws") + gate.requests("GET /api/v1/stream"), 3);
}

/// A task of another project does not exist for a client of one project.
#[tokio::test]
async fn a_task_outside_the_project_is_gone() {
    let app = App::start().await;
    let rest = rest::Client::of(&app);
    let inside = rest.task("inside", json!({"project": "p"})).await;
    let outside = rest.task("outside", json!({"project": "q"})).await;
    let config = ClientConfig::new(app.url("")).with_project("p").with_settings(quick());
    let client = Client::connect(config).unwrap();
    let (mut inside, mut outside) = (client.task(inside.parse().unwrap()), client.task(outside.parse().unwrap()));
    assert_eq!(until_fresh(&mut inside).await.value.unwrap().task.title, "inside");
    assert_eq!(until(&mut outside, |view| view.state == HeldState::Gone).await.value, None);
    let id = outside.model().to_string().trim_start_matches("task:").to_owned();
    rest.patch(&format!("/api/v1/tasks/{id}"), json!({"project": "p"})).await;
    assert_eq!(until_fresh(&mut outside).await.value.unwrap().task.title, "outside");
}

#[tokio::test]
async fn a_fetch_that_no_screen_waits_for_is_cancelled() {
    let app = App::start().await;
    let gate = Gate::start(app.address, |head| match head.starts_with("GET /api/v1/bookmarks") {
        true => Verdict::Mute,
        false => Verdict::Pass,
    });
    let gate = gate.await;
    let client = connect(&gate.url(), quick());
    let bookmarks = client.watch::<AgentBody>(ReadModel::Bookmarks);
    let asked = async {
        while gate.requests("GET /api/v1/bookmarks") == 0 {
            tokio::task::yield_now().await;
        }
        drop(bookmarks);
        while gate.given_up("GET /api/v1/bookmarks") == 0 {
            tokio::task::yield_now().await;
        }
    };
    // The timeout of the request itself is 10 s.
    timeout(Duration::from_secs(5), asked).await.expect("the client gives the request up");
}
