//! A feed between the hub and one client. It subscribes to the hub before it reads its first frame. A feed that is not
//! polled falls behind the hub's buffer and gets a resync, and the hub never waits for it.

use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use requery::protocol::{Cursor, Frame, FrameKind, Notice, NoticeKind};
use requery::server::access::scope::Scope;
use requery::server::database::Database;
use requery::server::feed::{Burst, Feed, FeedRequest, FeedSource};
use requery::server::hub::{self, Hub, HubInput};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::PATIENCE;

/// A change that passes the hub during the read of the first frame is sent after the first frame.
#[tokio::test]
async fn a_feed_subscribes_before_it_reads() {
    let fixture = HubFixture::start().await;
    let mut changes = 0;
    // The test publishes a change at each step of the opening. The database may be so quick that there is no step.
    let mut feed = loop {
        let mut open = Box::pin(Feed::open(fixture.source.clone(), FeedRequest::default()));
        let feed = loop {
            match futures_util::poll!(&mut open) {
                Poll::Ready(feed) => break feed.unwrap(),
                Poll::Pending => {
                    changes += 1;
                    fixture.publish(changes).await;
                    tokio::task::yield_now().await;
                }
            }
        };
        if changes > 0 {
            break feed;
        }
    };
    let first = next(&mut feed).await;
    assert!(matches!(first.kind, FrameKind::Snapshot(_)), "{first:?}");
    assert_eq!(first.cursor, fixture.initial_cursor);
    let second = next(&mut feed).await;
    let lagged = matches!(second.kind, FrameKind::Resync(_));
    assert_eq!(second.cursor, fixture.cursor_after(if lagged { changes } else { 1 }), "{second:?}");
}

#[tokio::test]
async fn a_lagging_feed_gets_a_resync_and_continues() {
    let fixture = HubFixture::start().await;
    let mut slow = Feed::open(fixture.source.clone(), FeedRequest::default()).await.unwrap();
    assert!(matches!(next(&mut slow).await.kind, FrameKind::Snapshot(_)));
    // More changes than the hub's buffer holds.
    for number in 1..=600 {
        fixture.publish(number).await;
    }
    let frame = next(&mut slow).await;
    assert!(matches!(frame.kind, FrameKind::Resync(_)), "{frame:?}");
    assert_eq!(frame.cursor, fixture.cursor_after(600));
    // The cursor of the resync covers the buffered changes, so the feed skips them. The next frame is a new change.
    assert!(futures_util::poll!(slow.next()).is_pending());
    fixture.publish(601).await;
    let frame = next(&mut slow).await;
    assert!(matches!(frame.kind, FrameKind::Notice(Notice::BookmarkDeleted(_))), "{frame:?}");
    assert_eq!(frame.cursor, fixture.cursor_after(601));
}

/// A hub that gets its changes from the test. They are not in the database.
struct HubFixture {
    source: FeedSource,
    initial_cursor: Cursor,
    inputs: mpsc::Sender<HubInput>,
    _folder: TempDir,
}

impl HubFixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("requery.db").into()).await.unwrap();
        let initial_cursor = database.snapshot(Scope::All).await.unwrap().cursor().clone();
        let hub = Hub::new(initial_cursor.clone());
        let (inputs, receiver) = mpsc::channel(1);
        tokio::spawn(hub::run(hub.clone(), receiver, Duration::ZERO, CancellationToken::new()));
        let source = FeedSource { database, hub, heartbeat: Duration::from_secs(3600), retry: Duration::from_secs(1) };
        Self { source, initial_cursor, inputs, _folder: folder }
    }

    /// The cursor after so many changes.
    fn cursor_after(&self, number: u64) -> Cursor {
        Cursor::counter(self.initial_cursor.epoch(), self.initial_cursor.snapshot().xmax() + number)
    }

    /// Gives a change to the hub and waits until the hub has sent it to its subscribers.
    async fn publish(&self, number: u64) {
        let notice = NoticeKind::BookmarkDeleted.sample();
        self.inputs.send(HubInput::Notices(vec![notice])).await.unwrap();
        self.inputs.send(HubInput::Complete(self.cursor_after(number))).await.unwrap();
        while !self.source.hub.latest().covers(&self.cursor_after(number)) {
            tokio::task::yield_now().await;
        }
    }
}

/// The next frame, which must be the only one of its burst.
async fn next(feed: &mut Feed) -> Frame {
    match timeout(PATIENCE, feed.next()).await.expect("no frame in time").expect("the feed ended") {
        Burst::Lines(lines) => {
            assert_eq!(lines.len(), 1);
            serde_json::from_str(&lines[0].text).unwrap()
        }
        Burst::Last(line) => panic!("the feed ended: {}", line.text),
    }
}
