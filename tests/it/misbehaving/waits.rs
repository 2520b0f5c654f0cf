//! Servers that demand waits, or that close again and again.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use requery::client::{HeldState, Status};
use requery::engine::EngineSettings;
use requery::protocol::ReadModel;

use super::peer::{Answer, Part, Peer, Step, page};
use super::{BOOKMARKS, closing, connect, fresh_at, good, live, ms, quick, shows, snapshot, stale};

#[tokio::test]
async fn a_server_that_closes_again_and_again_is_not_stormed() {
    let closes = Part::Stream(vec![Step::Say(snapshot(1)), Step::Confirm(None), Step::Say(closing(1, 0))]);
    let peer = Peer::start([closes], [Part::Reset]).await;
    let client = connect(&peer, EngineSettings::default());
    let _bookmarks = client.bookmarks();
    ms(3000).await;
    let connections = peer.count("ws") + peer.count("sse");
    assert!((2..=25).contains(&connections), "{connections} connections in three seconds");
}

#[tokio::test]
async fn the_first_closing_costs_no_wait_of_the_client() {
    let closes = Part::Stream(vec![Step::Say(snapshot(1)), Step::Confirm(None), Step::Say(closing(1, 0))]);
    let peer = Peer::start([closes, good(1)], [Part::Reset]).await;
    let mut settings = quick();
    settings.backoff_first = Duration::from_secs(30);
    settings.backoff_most = Duration::from_secs(30);
    let client = connect(&peer, settings);
    let mut bookmarks = client.bookmarks();
    peer.until("ws", 2).await;
    shows(&mut bookmarks, |view| view.is_fresh()).await;
}

/// The time between the first two attempts if the server answers the first one with 503 and this header.
async fn wait_after_busy(header: String) -> Duration {
    let peer = Peer::start([Part::Refused(503, header), good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    live(&client).await;
    let attempts = peer.seen("ws");
    assert_eq!((attempts.len(), peer.count("sse")), (2, 0));
    attempts[1].at - attempts[0].at
}

#[tokio::test]
async fn retry_after_of_a_busy_server_counts_in_seconds() {
    let waited = wait_after_busy("retry-after: 1\r\n".to_owned()).await;
    assert!((1000..2000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn retry_after_of_a_busy_server_counts_as_a_date() {
    let at: DateTime<Utc> = (SystemTime::now() + Duration::from_secs(3)).into();
    let waited = wait_after_busy(format!("retry-after: {}\r\n", at.format("%a, %d %b %Y %H:%M:%S GMT"))).await;
    // A date has whole seconds.
    assert!((1500..4500).contains(&waited.as_millis()), "{waited:?}");
}

/// A client whose fetch was answered with a long wait.
async fn told_to_wait() -> (Peer, requery::client::Client) {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    live(&client).await;
    let busy = Answer::error(503, "retry-after: 30\r\n");
    peer.answer(BOOKMARKS, [busy.clone(), busy, Answer::fresh(1, page(1))]);
    (peer, client)
}

#[tokio::test]
async fn a_person_who_refreshes_does_not_wait_for_the_server_but_only_once() {
    let (peer, client) = told_to_wait().await;
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, |view| view.failures == 1).await;
    client.refresh(&ReadModel::Bookmarks);
    shows(&mut bookmarks, |view| view.failures == 2).await;
    for _ in 0..5 {
        client.refresh(&ReadModel::Bookmarks);
        client.set_visible(true);
        ms(50).await;
    }
    assert_eq!(peer.count(BOOKMARKS), 2, "the second wait is kept");
}

#[tokio::test]
async fn a_person_who_looks_does_not_wait_for_the_server() {
    let (peer, client) = told_to_wait().await;
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, |view| view.failures == 1).await;
    client.set_visible(true);
    peer.until(BOOKMARKS, 2).await;
}

#[tokio::test]
async fn a_new_screen_does_not_wait_for_the_server() {
    let (peer, client) = told_to_wait().await;
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, |view| view.failures == 1).await;
    drop(bookmarks);
    let _again = client.bookmarks();
    peer.until(BOOKMARKS, 2).await;
}

#[tokio::test]
async fn a_person_does_not_wait_for_the_spread() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    peer.set_cursor(2);
    let mut frame: serde_json::Value = serde_json::from_str(&stale(2, &["bookmarks"])).unwrap();
    frame["spread_ms"] = 60_000.into();
    peer.say(frame.to_string());
    shows(&mut bookmarks, |view| view.state == HeldState::Stale).await;
    client.refresh(&ReadModel::Bookmarks);
    shows(&mut bookmarks, fresh_at(2)).await;
}

#[tokio::test]
async fn a_steady_stream_of_notices_costs_few_fetches() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, EngineSettings::default());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    ms(1100).await;
    let begin = tokio::time::Instant::now();
    let first = peer.count(BOOKMARKS);
    // Longer apart than quiet.
    for number in 0..57 {
        peer.set_cursor(2 + number);
        peer.say(stale(2 + number, &["bookmarks"]));
        tokio::time::sleep_until(begin + Duration::from_millis(70 * (number + 1))).await;
    }
    shows(&mut bookmarks, fresh_at(58)).await;
    let times: Vec<Duration> =
        peer.seen(BOOKMARKS)[first..].iter().map(|seen| seen.at.duration_since(begin.into_std())).collect();
    let within =
        |from: Duration| times.iter().filter(|at| **at >= from && **at < from + Duration::from_secs(1)).count();
    for from in &times {
        assert!(within(*from) <= 5, "more than five fetches in a second: {times:?}");
        assert!(*from < Duration::from_secs(1) || within(*from) <= 4, "more than four later on: {times:?}");
    }
}

/// Every wait of the settings at its end.
fn settings_with(wait: Duration) -> EngineSettings {
    let mut settings = EngineSettings::default();
    settings.quiet = wait;
    settings.max_wait = wait;
    settings.safety = wait;
    settings.poll_interval = wait;
    settings.backoff_first = wait;
    settings.backoff_most = wait;
    settings.fetch_timeout = wait;
    settings.remembered_for = wait;
    settings.patience = wait;
    settings.first_message_wait = wait;
    settings.websocket_retry = wait;
    settings.stable = wait;
    settings.longest_wait = wait;
    settings
}

#[tokio::test]
async fn waits_without_end_neither_panic_nor_stall() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, settings_with(Duration::MAX));
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    drop(bookmarks);
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    client.refresh(&ReadModel::Bookmarks);
    peer.until(BOOKMARKS, 2).await;
    client.reconnect_now();
    peer.until("ws", 2).await;
    live(&client).await;
}

#[tokio::test]
async fn waits_of_zero_neither_panic_nor_stall() {
    let peer = Peer::start([good(1)], [good(1)]).await;
    let client = connect(&peer, settings_with(Duration::ZERO));
    let _bookmarks = client.bookmarks();
    ms(500).await;
    assert_ne!(client.status(), Status::Disabled, "the driver ended");
    client.close().await;
}
