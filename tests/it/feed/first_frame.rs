//! The first frames of feeds: how often they are read from the database, and how long they are kept.

use std::collections::BTreeSet;

use futures_util::{FutureExt, StreamExt};
use requery::protocol::FrameKind;
use requery::server::access::scope::Scope;
use requery::server::feed::{Feed, FeedRequest, Outgoing};
use requery::server::metrics::Operation;

use super::{HubFixture, frame, next};
use crate::app::sqlite3;
use crate::engine::notice;

/// All clients come back at once, and nothing has changed: the database is read once, for the first of them.
#[tokio::test]
async fn ten_thousand_streams_that_begin_in_one_state_read_it_once() {
    let fixture = HubFixture::start().await;
    let metrics = fixture.source.database.metrics();
    let since = Some(fixture.initial_cursor.to_string());
    let mut feeds = Vec::new();
    for _ in 0..10_000 {
        let request = FeedRequest { scope: Scope::All, since: since.clone() };
        let mut feed = Feed::open(fixture.source.clone(), request).await.unwrap();
        let first = next(&mut feed).await;
        assert!(matches!(&first.kind, FrameKind::Resumed(resumed) if resumed.stale.is_empty()), "{first:?}");
        feeds.push(feed);
    }
    assert_eq!(metrics.first_frames_read.get(), 1);
    assert_eq!(metrics.queries.get_or_create(&Operation { operation: "overview" }).get(), 0);
    // A stream of a project, and a stream that starts afresh, need another frame.
    let mut all = BTreeSet::new();
    for since in [None, since] {
        for scope in [Scope::All, Scope::Of("p".to_owned())] {
            for _ in 0..3 {
                let request = FeedRequest { scope: scope.clone(), since: since.clone() };
                let mut feed = Feed::open(fixture.source.clone(), request).await.unwrap();
                let first = next(&mut feed).await;
                all.insert((first.kind.kind().to_owned(), scope == Scope::All));
                let known = match first.kind {
                    FrameKind::Snapshot(snapshot) => snapshot.known,
                    FrameKind::Resumed(resumed) => resumed.known,
                    other => panic!("{other:?}"),
                };
                assert_eq!(known, scope == Scope::All);
            }
        }
    }
    assert_eq!((metrics.first_frames_read.get(), all.len()), (4, 4));
}

/// The streams share the bytes of a first frame. Only the time of the server is their own.
#[tokio::test]
async fn the_first_frames_of_streams_are_the_same_memory() {
    let fixture = HubFixture::start().await;
    let (mut places, mut held) = (BTreeSet::new(), Vec::new());
    for _ in 0..100 {
        let Some(Outgoing::First(first)) = fixture.open().await.next().await else { panic!("no first frame") };
        let (parts, line) = (first.parts(), first.line());
        assert_eq!(parts.concat(), line.text.as_bytes());
        assert_eq!((parts[1].len(), first.text_bytes()), (24, line.text.len()));
        let FrameKind::Snapshot(snapshot) = frame(&line).kind else { panic!("{line:?}") };
        assert_eq!(snapshot.server_time.to_string().as_bytes(), parts[1]);
        places.insert((parts[0].as_ptr() as usize, parts[2].as_ptr() as usize));
        held.push(parts);
    }
    assert_eq!(places.len(), 1);
}

/// The frames for many other cursors do not displace the frame that streams ask for again and again, and a text that is
/// no cursor is no key of its own.
#[tokio::test]
async fn a_first_frame_in_use_stays_kept_and_texts_that_are_no_cursor_share_one() {
    let fixture = HubFixture::start().await;
    let reads = || fixture.source.database.metrics().first_frames_read.get();
    let open = async |since: String| {
        let request = FeedRequest { scope: Scope::All, since: Some(since) };
        next(&mut Feed::open(fixture.source.clone(), request).await.unwrap()).await.kind.kind().to_owned()
    };
    for number in 0..300 {
        assert_eq!(open(format!("no cursor {number}")).await, "snapshot");
    }
    assert_eq!(reads(), 1);
    let current = fixture.initial_cursor.to_string();
    for number in 0..300 {
        assert_eq!(open(format!("another-epoch:{number}:{number}:")).await, "snapshot");
        assert_eq!(open(current.clone()).await, "resumed");
    }
    assert_eq!(reads(), 1 + 300 + 1);
    // The newest cursors are kept, the oldest are not.
    assert_eq!((open("another-epoch:299:299:".to_owned()).await, reads()), ("snapshot".to_owned(), 302));
    assert_eq!((open("another-epoch:0:0:".to_owned()).await, reads()), ("snapshot".to_owned(), 303));
}

/// A stream begins with a kept frame without the database. The frame lacks a commit of another program that the server
/// has not noticed, and the commit comes as a notice. A change that the server has shown is in the frame.
#[tokio::test]
async fn a_kept_first_frame_needs_no_connection_and_lacks_only_what_comes_as_a_notice() {
    let fixture = HubFixture::start().await;
    let reads = || fixture.source.database.metrics().first_frames_read.get();
    let mut first = fixture.open().await;
    assert_eq!(next(&mut first).await.cursor, fixture.initial_cursor);
    sqlite3(&fixture.path(), "insert into tasks (title) values ('foreign')");
    let mut second = fixture.open().now_or_never().expect("no connection and no turn");
    assert_eq!((next(&mut second).await.cursor, reads()), (fixture.initial_cursor.clone(), 1));
    fixture.publish_all(vec![notice("task.started", &["t1"])], 1).await;
    assert_eq!(next(&mut second).await.cursor, fixture.cursor_after(1));
    // The hub has handed out a change that the kept frame lacks.
    let mut third = fixture.open().await;
    assert_eq!((next(&mut third).await.cursor, reads()), (fixture.cursor_after(1), 2));

    // Only an answer has shown the next change.
    sqlite3(&fixture.path(), "insert into tasks (title) values ('shown')");
    fixture.source.database.snapshot(Scope::All).await.unwrap();
    let mut fourth = fixture.open().await;
    assert_eq!((next(&mut fourth).await.cursor, reads()), (fixture.cursor_after(2), 3));

    // No stream begins while the database is away.
    fixture.source.database.close("by the test").await;
    assert!(Feed::open(fixture.source.clone(), FeedRequest::default()).await.is_err());
}
