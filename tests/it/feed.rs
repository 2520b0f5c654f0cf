//! A feed between the hub and one client. It subscribes to the hub before it reads its first frame. A feed that is not
//! polled falls behind the hub's buffer and gets a resync, and the hub never waits for it.

use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use requery::protocol::{Cursor, EveryTask, Frame, FrameKind, Notice, NoticeKind, Watch, Watched};
use requery::server::access::scope::Scope;
use requery::server::database::Database;
use requery::server::feed::{Burst, Feed, FeedLine, FeedRequest, FeedSource};
use requery::server::hub::{self, Hub, HubInput};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::PATIENCE;
use crate::engine::{notice, watched};

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

/// A client may send `watch` together with its request for the stream.
#[tokio::test]
async fn the_first_frame_precedes_the_answer_to_an_early_watch() {
    let fixture = HubFixture::start().await;
    let mut feed = Feed::open(fixture.source.clone(), FeedRequest::default()).await.unwrap();
    let kinds = |lines: Vec<FeedLine>| -> Vec<String> {
        lines.iter().map(|line| serde_json::from_str::<Frame>(&line.text).unwrap().kind.kind().to_owned()).collect()
    };
    let watch = || Watch { read_models: vec![Watched::Group(EveryTask)] };
    assert_eq!(kinds(feed.watch(watch()).await.unwrap()), ["snapshot", "watching"]);
    assert_eq!(kinds(feed.watch(watch()).await.unwrap()), ["watching"]);
    assert!(futures_util::poll!(feed.next()).is_pending(), "the first frame is sent once");
}

/// Each flush is far below the bound on memory, and the flushes together are above it.
#[tokio::test]
async fn a_stalled_feed_holds_a_bounded_number_of_bytes() {
    const FLUSHES: u64 = 60;
    let fixture = HubFixture::start().await;
    let (mut stalled, mut read) = (fixture.watching(["task:t1"]).await, fixture.watching(["task:t1"]).await);
    for number in 1..=FLUSHES {
        fixture
            .publish_all((1..=1_000).map(|task| notice("task.updated", &[&format!("t{task}")])).collect(), number)
            .await;
        assert!(matches!(next(&mut read).await.kind, FrameKind::Notice(_)), "a feed that is read loses no notice");
    }
    let frame = next(&mut stalled).await;
    assert!(matches!(frame.kind, FrameKind::Resync(_)), "{frame:?}");
    assert_eq!(frame.cursor, fixture.cursor_after(FLUSHES));
    assert!(futures_util::poll!(stalled.next()).is_pending());
    fixture.publish_all(vec![notice("task.updated", &["t1"])], FLUSHES + 1).await;
    assert!(matches!(next(&mut stalled).await.kind, FrameKind::Notice(_)));
}

/// A feed does its work for a flush in one step, and other tasks of the thread wait meanwhile. So the time of a feed that
/// watches many read models must not grow with the number of notices.
#[tokio::test]
async fn many_watched_read_models_do_not_hold_a_thread() {
    let fixture = HubFixture::start().await;
    let models: Vec<String> = (0..256).map(|task| format!("task:t{}", 100_000 + task)).collect();
    let mut feeds = Vec::new();
    for _ in 0..20 {
        feeds.push(fixture.watching(models.iter().map(String::as_str)).await);
    }
    let mut published = 0;
    let mut quickest = async |notices: u64| {
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            published += 1;
            let notices = (1..notices).chain([100_007]).map(|task| notice("task.updated", &[&format!("t{task}")]));
            fixture.publish_all(notices.collect(), published).await;
            // The first feed makes the index of the flush, and all others use the index.
            for (at, feed) in feeds.iter_mut().enumerate() {
                let began = Instant::now();
                assert!(matches!(next(feed).await.kind, FrameKind::Notice(_)));
                quickest = if at == 0 { quickest } else { quickest.min(began.elapsed()) };
            }
        }
        quickest
    };
    let (few, many) = (quickest(300).await, quickest(6_000).await);
    assert!(many < 5 * few, "20 times the notices took {many:?} in place of {few:?}");
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
        let hub = Hub::new(initial_cursor.clone(), database.metrics());
        let (inputs, receiver) = mpsc::channel(1);
        tokio::spawn(hub::run(hub.clone(), receiver, Duration::ZERO, CancellationToken::new()));
        let source = FeedSource { database, hub, heartbeat: Duration::from_secs(3600), retry: Duration::from_secs(1) };
        Self { source, initial_cursor, inputs, _folder: folder }
    }

    /// The cursor after so many changes.
    fn cursor_after(&self, number: u64) -> Cursor {
        Cursor::counter(self.initial_cursor.epoch(), self.initial_cursor.snapshot().xmax() + number)
    }

    /// A feed that has sent its first frame and is narrowed to these read models.
    async fn watching<'a>(&self, models: impl IntoIterator<Item = &'a str>) -> Feed {
        let mut feed = Feed::open(self.source.clone(), FeedRequest::default()).await.unwrap();
        feed.watch(Watch { read_models: models.into_iter().map(watched).collect() }).await.unwrap();
        feed
    }

    /// Gives a change to the hub and waits until the hub has sent it to its subscribers.
    async fn publish(&self, number: u64) {
        self.publish_all(vec![NoticeKind::BookmarkDeleted.sample()], number).await;
    }

    async fn publish_all(&self, notices: Vec<Notice>, number: u64) {
        self.inputs.send(HubInput::Notices(notices)).await.unwrap();
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
