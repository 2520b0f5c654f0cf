//! Networks and servers that let one way of transport through, or none.

use std::time::Duration;

use requery::client::{HeldState, Status};

use super::peer::{Answer, Part, Peer, Step, page};
use super::{BOOKMARKS, connect, good, live, ms, quick, shows, snapshot, until};

/// Two attempts by WebSocket, and then a stream of server-sent events.
async fn gives_way_to_server_sent_events(websocket: Part) {
    let peer = Peer::start([websocket], [good(1)]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    peer.until("sse", 1).await;
    live(&client).await;
    shows(&mut bookmarks, |view| view.is_fresh()).await;
    assert_eq!((peer.count("ws"), peer.count("sse")), (2, 1));
}

#[tokio::test]
async fn a_websocket_that_is_mute_after_the_upgrade_gives_way() {
    gives_way_to_server_sent_events(Part::Stream(Vec::new())).await;
}

#[tokio::test]
async fn a_websocket_that_is_reset_in_the_handshake_gives_way() {
    gives_way_to_server_sent_events(Part::Reset).await;
}

#[tokio::test]
async fn a_websocket_that_ends_before_its_first_frame_gives_way() {
    gives_way_to_server_sent_events(Part::Stream(vec![Step::Close])).await;
}

#[tokio::test]
async fn a_websocket_whose_watch_is_never_answered_gives_way() {
    gives_way_to_server_sent_events(Part::Stream(vec![Step::Say(snapshot(1))])).await;
}

#[tokio::test]
async fn an_upgrade_that_a_proxy_refuses_gives_way() {
    gives_way_to_server_sent_events(Part::Refused(502, String::new())).await;
}

#[tokio::test]
async fn without_any_stream_watched_read_models_are_polled_and_hidden_ones_are_not() {
    let peer = Peer::start([Part::Reset], [Part::Refused(502, String::new())]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    until(&client, |status| *status == Status::Polling).await;
    shows(&mut bookmarks, |view| view.is_fresh()).await;
    // The answers are one after the other, each with a wait of 150 to 200 ms.
    let before = peer.count(BOOKMARKS);
    ms(1500).await;
    let fetched = peer.count(BOOKMARKS) - before;
    assert!((5..=11).contains(&fetched), "{fetched} fetches in 1.5 s with an interval of 200 ms");
    assert!(peer.count("ws") > 2 && peer.count("sse") > 2, "streams are tried on");

    client.set_visible(false);
    ms(300).await;
    let before = peer.count(BOOKMARKS);
    ms(800).await;
    assert_eq!(peer.count(BOOKMARKS), before, "a hidden screen polls");
}

#[tokio::test]
async fn a_polled_answer_becomes_unconfirmed_without_any_other_input() {
    let mute = Part::Stream(Vec::new());
    let peer = Peer::start([Part::Reset, Part::Reset, mute.clone()], [Part::Reset, Part::Reset, mute]).await;
    let mut settings = quick();
    settings.poll_interval = Duration::from_millis(600);
    settings.first_message_wait = Duration::from_secs(60);
    let client = connect(&peer, settings);
    let mut bookmarks = client.bookmarks();
    until(&client, |status| *status == Status::Polling).await;
    shows(&mut bookmarks, |view| view.is_fresh()).await;
    // The next attempt to open a stream waits for its first message, and a hidden screen fetches no answer.
    client.set_visible(false);
    shows(&mut bookmarks, |view| view.state == HeldState::Unconfirmed).await;
}

#[tokio::test]
async fn a_polled_answer_is_fresh_for_one_interval_after_it_was_asked_for() {
    let peer = Peer::start([Part::Reset], [Part::Reset]).await;
    let late = Answer::fresh(1, page(1)).after(Duration::from_secs(5));
    peer.answer(BOOKMARKS, [Answer::fresh(1, page(1)), Answer::fresh(1, page(1)), late]);
    let mut settings = quick();
    settings.poll_interval = Duration::from_millis(600);
    let client = connect(&peer, settings);
    let mut bookmarks = client.bookmarks();
    until(&client, |status| *status == Status::Polling).await;
    // The third answer does not come in time.
    peer.until(BOOKMARKS, 3).await;
    let asked = peer.seen(BOOKMARKS)[1].at;
    shows(&mut bookmarks, |view| view.state == HeldState::Unconfirmed).await;
    let lasted = asked.elapsed();
    assert!((450..900).contains(&lasted.as_millis()), "fresh for {lasted:?} after it was asked for");
}

#[tokio::test]
async fn the_transport_that_worked_is_remembered_and_websocket_is_tried_again() {
    let short = Part::Stream(vec![Step::Say(snapshot(1)), Step::Wait(Duration::from_millis(50)), Step::Cut]);
    let long = Part::Stream(vec![Step::Say(snapshot(1)), Step::Wait(Duration::from_millis(1000)), Step::Cut]);
    let peer = Peer::start([Part::Reset], [short.clone(), short, long, good(1)]).await;
    let mut settings = quick();
    settings.websocket_retry = Duration::from_millis(700);
    let client = connect(&peer, settings);
    let _bookmarks = client.bookmarks();
    peer.until("sse", 3).await;
    assert_eq!(peer.count("ws"), 2, "each lost stream of events began with WebSocket");
    // The stream ends after the time of the next attempt by WebSocket, which fails.
    peer.until("sse", 4).await;
    live(&client).await;
    assert_eq!(peer.count("ws"), 3, "one attempt by WebSocket, and then the way that works");
}

#[tokio::test]
async fn a_websocket_that_works_again_is_kept() {
    let short = Part::Stream(vec![Step::Say(snapshot(1)), Step::Wait(Duration::from_millis(200)), Step::Cut]);
    let peer = Peer::start([Part::Reset, Part::Reset, good(1)], [short]).await;
    let mut settings = quick();
    settings.websocket_retry = Duration::from_millis(100);
    let client = connect(&peer, settings);
    let mut bookmarks = client.bookmarks();
    peer.until("ws", 3).await;
    shows(&mut bookmarks, |view| view.is_fresh()).await;
    ms(400).await;
    assert_eq!((peer.count("ws"), peer.count("sse")), (3, 1));
    assert_eq!(client.status(), Status::Live);
}
