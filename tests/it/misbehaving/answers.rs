//! Answers that are older than the notices, in the wrong order, or from another server.

use std::time::Duration;

use requery::client::{HeldState, Status};
use requery::protocol::{Cursor, ReadModel};
use serde_json::json;

use super::peer::{Answer, Part, Peer, Step, cursor, page};
use super::{BOOKMARKS, connect, frame, fresh_at, good, live, ms, quick, shows, snapshot, stale, whole_snapshot};

#[tokio::test]
async fn a_404_without_a_cursor_is_a_failure_and_one_with_a_cursor_says_that_the_read_model_is_gone() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let mut gone = Answer::error(404, "");
    peer.answer(BOOKMARKS, [gone.clone()]);
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    let view = shows(&mut bookmarks, |view| view.failures > 1).await;
    assert_eq!(view.state, HeldState::Loading);
    let error = view.error.unwrap();
    assert!(error.contains("404"), "{error}");
    gone.at = Some(1);
    peer.answer(BOOKMARKS, [gone]);
    shows(&mut bookmarks, |view| view.state == HeldState::Gone).await;
}

#[tokio::test]
async fn a_cached_answer_does_not_settle_an_unknown_frame() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    let fetched = peer.count(BOOKMARKS);
    peer.answer(BOOKMARKS, [Answer::fresh(1, page(1)), Answer::fresh(1, page(1)), Answer::fresh(3, page(3))]);
    peer.say(frame("weather.changed", 3, json!({"rain": true})));
    peer.until(BOOKMARKS, fetched + 2).await;
    assert!(!bookmarks.view().is_fresh(), "the answer is older than the frame");
    shows(&mut bookmarks, fresh_at(3)).await;
    let asked: Vec<String> = peer.seen(BOOKMARKS)[fetched..].iter().map(|seen| seen.detail.clone()).collect();
    assert_eq!(asked, ["3", "3", "3"], "each fetch demands the cursor of the frame");
}

#[tokio::test]
async fn the_next_stream_continues_at_the_cursor_of_an_unknown_frame() {
    let first = vec![
        Step::Say(snapshot(1)),
        Step::Confirm(None),
        Step::Say(frame("weather.changed", 3, json!(null))),
        Step::Cut,
    ];
    let peer = Peer::start([Part::Stream(first), good(3)], [Part::Reset]).await;
    peer.set_cursor(3);
    let client = connect(&peer, quick());
    let _bookmarks = client.bookmarks();
    peer.until("ws", 2).await;
    assert_eq!(peer.seen("ws")[1].detail, "3");
}

#[tokio::test]
async fn a_message_that_is_no_json_makes_every_read_model_stale() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    let fetched = peer.count(BOOKMARKS);
    peer.say("<html>no stream</html>");
    peer.until(BOOKMARKS, fetched + 1).await;
    shows(&mut bookmarks, fresh_at(1)).await;
    assert_eq!(client.status(), Status::Live);
}

#[tokio::test]
async fn an_older_answer_does_not_replace_a_newer_one() {
    let peer = Peer::start([good(10)], [Part::Reset]).await;
    peer.set_cursor(10);
    peer.answer(BOOKMARKS, [Answer::fresh(10, page(10)), Answer::fresh(5, page(5)), Answer::fresh(12, page(12))]);
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(10)).await;
    peer.say(stale(12, &["bookmarks"]));
    let mut seen = Vec::new();
    loop {
        let view = bookmarks.view();
        seen.push(view.value.unwrap().next.clone());
        if view.state == HeldState::Fresh && view.cursor.unwrap().to_string() == cursor(12) {
            break;
        }
        assert!(bookmarks.changed().await);
    }
    seen.dedup();
    assert_eq!(seen, [Some("10".to_owned()), Some("12".to_owned())]);
    assert_eq!(peer.seen(BOOKMARKS).last().unwrap().detail, "12");
}

#[tokio::test]
async fn an_answer_of_another_history_after_the_notices_of_this_one_is_asked_for_again() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
    // Two streams of one server, and one notice with a hole in it.
    peer.say(json!({"type": "stale", "cursor": "run:5:9:5,7", "payload": {"read_models": ["bookmarks"]}}).to_string());
    peer.answer(BOOKMARKS, [Answer::fresh(5, page(5)), Answer::fresh(9, page(9))]);
    shows(&mut bookmarks, fresh_at(9)).await;
}

#[tokio::test]
async fn a_snapshot_with_the_whole_overview_costs_no_fetch() {
    let peer = Peer::start([Part::Stream(vec![Step::Say(whole_snapshot(4)), Step::Serve])], [Part::Reset]).await;
    peer.set_cursor(4);
    let client = connect(&peer, quick());
    let mut overview = client.overview();
    let view = shows(&mut overview, fresh_at(4)).await;
    assert!(view.value.is_some());
    ms(300).await;
    assert_eq!((peer.count("/api/v1/overview"), peer.count("/api/v1/tasks")), (0, 0));
    assert_eq!(client.status(), Status::Live);
}

#[tokio::test]
async fn an_overview_is_as_old_as_the_older_of_its_two_answers() {
    let peer = Peer::start([Part::Stream(vec![Step::Say(whole_snapshot(4)), Step::Serve])], [Part::Reset]).await;
    peer.set_cursor(4);
    let client = connect(&peer, quick());
    let mut overview = client.overview();
    let body = shows(&mut overview, fresh_at(4)).await.value.unwrap();
    let (figures, tasks) = (json!(body.overview), json!(body.tasks));
    peer.answer("/api/v1/overview", [Answer::fresh(9, figures)]);
    peer.answer("/api/v1/tasks", [Answer::fresh(7, tasks.clone()), Answer::fresh(9, tasks)]);
    peer.say(stale(9, &["overview"]));
    shows(&mut overview, fresh_at(9)).await;
    assert_eq!((peer.count("/api/v1/overview"), peer.count("/api/v1/tasks")), (2, 2));
}

#[tokio::test]
async fn without_a_first_frame_the_overview_is_fetched_after_a_second() {
    let peer = Peer::start([Part::Stream(vec![])], [Part::Reset]).await;
    let mut settings = quick();
    settings.patience = Duration::from_secs(10);
    let client = connect(&peer, settings);
    let _overview = client.overview();
    peer.until("/api/v1/overview", 1).await;
    let waited = peer.seen("/api/v1/overview")[0].at - peer.seen("ws")[0].at;
    assert!((900..2500).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(client.status(), Status::Connecting);
}

#[tokio::test]
async fn a_read_model_that_is_watched_after_an_own_write_demands_the_write() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    let client = connect(&peer, quick());
    live(&client).await;
    let written: Cursor = cursor(7).parse().unwrap();
    client.wrote(&ReadModel::Overview, &written);
    peer.answer(BOOKMARKS, [Answer::fresh(1, page(1)), Answer::fresh(7, page(7))]);
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(7)).await;
    let asked: Vec<String> = peer.seen(BOOKMARKS).iter().map(|seen| seen.detail.clone()).collect();
    assert_eq!(asked, ["7", "7"]);
}

#[tokio::test]
async fn a_fetch_that_no_screen_waits_for_is_given_up() {
    let peer = Peer::start([good(1)], [Part::Reset]).await;
    peer.answer(BOOKMARKS, [Answer::fresh(1, page(1)).after(Duration::from_secs(30))]);
    let client = connect(&peer, quick());
    live(&client).await;
    let bookmarks = client.bookmarks();
    peer.until(BOOKMARKS, 1).await;
    drop(bookmarks);
    peer.until("given up", 1).await;
    peer.answer(BOOKMARKS, [Answer::fresh(1, page(1))]);
    let mut bookmarks = client.bookmarks();
    shows(&mut bookmarks, fresh_at(1)).await;
}
