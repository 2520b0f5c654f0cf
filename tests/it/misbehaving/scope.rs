//! What a stream speaks of, and what is held while it is lost; the end of a client.

use requery::client::{HeldState, LossReason, Status, WatchOptions};
use requery::protocol::model::Lane;
use requery::protocol::{ReadModel, TaskId};
use serde_json::json;

use super::peer::{Answer, Part, Peer, Step, page};
use super::{
    BOOKMARKS, TASK, TASK_ID, connect, frame, fresh_at, good, heartbeat, live, ms, quick, resumed, shows, snapshot,
    until, whole_snapshot,
};

fn task_id() -> TaskId {
    TASK_ID.parse().unwrap()
}

fn task_path() -> String {
    format!("/api/v1/tasks/{TASK_ID}")
}

/// The body of a task is of no interest here: it is gone at this cursor.
fn no_task(at: u64) -> Answer {
    Answer { at: Some(at), ..Answer::error(404, "") }
}

#[tokio::test]
async fn a_read_model_that_the_server_does_not_confirm_is_not_called_fresh() {
    let partly = vec![Step::Say(snapshot(1)), Step::Confirm(Some(vec![TASK])), Step::Confirm(Some(vec![TASK]))];
    let peer = Peer::start([Part::Stream(partly)], [Part::Reset]).await;
    peer.answer(&task_path(), [no_task(1)]);
    let mut settings = quick();
    settings.patience = std::time::Duration::from_secs(10);
    let client = connect(&peer, settings);
    let (mut bookmarks, mut task) = (client.bookmarks(), client.task(task_id()));
    shows(&mut task, |view| view.state == HeldState::Gone).await;
    let view = shows(&mut bookmarks, |view| view.state == HeldState::Unconfirmed).await;
    assert!(view.value.is_some());
    assert_eq!(client.status(), Status::Live);
}

#[tokio::test]
async fn a_resumed_stream_certifies_no_read_model_that_it_did_not_confirm() {
    let first = vec![
        Step::Say(snapshot(1)),
        Step::Confirm(Some(vec![])),
        Step::Wait(std::time::Duration::from_millis(300)),
        Step::Say(heartbeat(9)),
        Step::Cut,
    ];
    let second = Part::Stream(vec![Step::Say(resumed(9, &[])), Step::Confirm(Some(vec![]))]);
    let peer = Peer::start([Part::Stream(first), second], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let _bookmarks = client.bookmarks();
    peer.until("ws", 2).await;
    assert_eq!(peer.seen("ws")[1].detail, "9");
    let before = peer.seen(BOOKMARKS).iter().filter(|seen| seen.at < peer.seen("ws")[1].at).count();
    peer.until(BOOKMARKS, before + 1).await;
}

#[tokio::test]
async fn what_is_held_is_not_called_fresh_while_the_stream_is_lost() {
    let lost =
        vec![Step::Say(snapshot(1)), Step::Confirm(None), Step::Wait(std::time::Duration::from_millis(300)), Step::Cut];
    let peer = Peer::start([Part::Stream(lost), Part::Reset], [Part::Reset]).await;
    let mut settings = quick();
    settings.backoff_first = std::time::Duration::from_secs(20);
    settings.backoff_most = std::time::Duration::from_secs(20);
    let client = connect(&peer, settings);
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    until(&client, |status| matches!(status, Status::Reconnecting { reason: LossReason::Ended, .. })).await;
    let view = bookmarks.view();
    assert_eq!(view.state, HeldState::Unconfirmed);
    assert!(view.value.is_some());
    let loss = client.loss().unwrap();
    assert!(loss.to_lowercase().contains("reset"), "the loss has no cause: {loss}");
    assert!(client.lost_for().is_some() && client.until_next_try().is_some());
}

#[tokio::test]
async fn the_error_of_a_fetch_has_its_causes() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    live(&client).await;
    peer.answer(BOOKMARKS, [Answer { headers: "content-length: 9\r\n".to_owned(), ..Answer::fresh(1, page(1)) }]);
    let mut bookmarks = client.bookmarks();
    let error = shows(&mut bookmarks, |view| view.error.is_some()).await.error.unwrap();
    assert!(error.matches(": ").count() >= 2, "no causes: {error}");
}

#[tokio::test]
async fn events_of_other_lanes_cost_a_narrow_watch_no_fetch() {
    let peer = Peer::start([Part::Stream(vec![Step::Say(whole_snapshot(1)), Step::Serve])], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let mut overview = client.overview().only(WatchOptions::lanes([Lane::Planning]));
    shows(&mut overview, fresh_at(1)).await;
    live(&client).await;
    let logged = |at: u64, lanes: serde_json::Value| {
        let event = "00000000-0000-7000-8000-00000000000e";
        let payload = json!({
            "task_id": TASK_ID, "parent_task_id": null, "project": "p", "event_id": event, "session_id": null,
            "kinds": ["note"], "lanes": lanes,
        });
        frame("event.logged", at, payload)
    };
    peer.say(logged(2, json!(["user"])));
    ms(400).await;
    assert_eq!(peer.count("/api/v1/overview"), 0, "an event of another lane");
    peer.say(logged(3, json!(["planning", "user"])));
    peer.until("/api/v1/overview", 1).await;
}

#[tokio::test]
async fn the_end_of_a_client_is_a_close_frame() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    client.close().await;
    peer.until("close", 1).await;
    assert_eq!(peer.seen("close")[0].detail, "1000");
    assert!(client.is_closed());
    while bookmarks.changed().await {}

    let client = connect(&peer, quick());
    live(&client).await;
    drop(client);
    peer.until("close", 2).await;
    assert_eq!(peer.seen("close")[1].detail, "1000");
}

/// A refused client asks for no more streams, and fetches no more.
async fn stays_closed(peer: Peer, streams: usize) {
    let client = connect(&peer, quick());
    until(&client, |status| matches!(status, Status::Closed { .. })).await;
    let before = peer.count(BOOKMARKS);
    let _bookmarks = client.bookmarks();
    ms(300).await;
    assert_eq!((peer.count("ws") + peer.count("sse"), peer.count(BOOKMARKS)), (streams, before));
    client.resume();
    peer.until("ws", 2).await;
}

#[tokio::test]
async fn a_client_that_gets_403_or_the_close_code_1008_stops_until_it_is_enabled() {
    stays_closed(Peer::start([Part::Refused(403, String::new())], [good(1)]).await, 1).await;
    let policy = Part::Stream(vec![Step::Say(snapshot(1)), Step::CloseWith(1008)]);
    stays_closed(Peer::start([policy], [good(1)]).await, 1).await;
}

#[tokio::test]
async fn a_paused_client_and_one_without_network_ask_for_no_stream_and_no_read_model() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    client.pause();
    peer.until("close", 1).await;
    let before = (peer.count("ws"), peer.count(BOOKMARKS));
    client.refresh(&ReadModel::Bookmarks);
    ms(300).await;
    assert_eq!((peer.count("ws"), peer.count(BOOKMARKS)), before);
    client.set_online(false);
    client.resume();
    ms(300).await;
    assert_eq!((peer.count("ws"), peer.count(BOOKMARKS)), before);
    assert_eq!(client.status(), Status::Offline);
    client.set_online(true);
    live(&client).await;
    shows(&mut bookmarks, fresh_at(1)).await;
}
