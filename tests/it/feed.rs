//! A feed between the hub and one client. It joins the hub before it reads its first frame. A feed that is not polled
//! gets one frame `stale` in place of the frames that it did not take, and the hub never waits for it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use requery::protocol::{Cursor, EveryTask, Frame, FrameKind, Notice, NoticeKind, Watch, Watched};
use requery::server::access::scope::Scope;
use requery::server::database::Database;
use requery::server::feed::{Feed, FeedRequest, FeedSource, Outgoing};
use requery::server::hub::{self, FeedLine, Hub, HubInput};
use requery::server::metrics::StreamTransportName;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::{PATIENCE, sqlite3};
use crate::engine::{notice, watched};

mod first_frame;

/// A change that passes the hub during the read of the first frame is sent after the first frame.
#[tokio::test]
async fn a_feed_joins_before_it_reads() {
    let mut changes = 0;
    // The test publishes a change at each step of the opening. The database may be so quick that there is no step. A
    // server keeps the first frame then, so the next try needs a new one.
    let (fixture, mut feed) = loop {
        let fixture = HubFixture::start().await;
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
        drop(open);
        if changes > 0 {
            break (fixture, feed);
        }
    };
    let first = next(&mut feed).await;
    assert!(matches!(first.kind, FrameKind::Snapshot(_)), "{first:?}");
    assert_eq!(first.cursor, fixture.initial_cursor);
    let second = next(&mut feed).await;
    let lagged = matches!(second.kind, FrameKind::Stale(_));
    assert_eq!(second.cursor, fixture.cursor_after(if lagged { changes } else { 1 }), "{second:?}");
}

#[tokio::test]
async fn a_feed_that_is_behind_gets_one_stale_frame_and_continues() {
    let fixture = HubFixture::start().await;
    let mut slow = Feed::open(fixture.source.clone(), FeedRequest::default()).await.unwrap();
    assert!(matches!(next(&mut slow).await.kind, FrameKind::Snapshot(_)));
    // More frames than wait for one stream.
    for number in 1..=600 {
        fixture.publish(number).await;
    }
    let frame = next(&mut slow).await;
    let FrameKind::Stale(stale) = &frame.kind else { panic!("{frame:?}") };
    assert_eq!(stale.read_models, [watched("bookmarks")]);
    assert_eq!(frame.cursor, fixture.cursor_after(600));
    assert!(futures_util::poll!(slow.next()).is_pending());
    fixture.publish(601).await;
    let frame = next(&mut slow).await;
    assert!(matches!(frame.kind, FrameKind::Notice(Notice::BookmarkDeleted(_))), "{frame:?}");
    assert_eq!(frame.cursor, fixture.cursor_after(601));
}

/// A feed is behind by the flushes in its seat, merged or not, and by the one that its client is taking.
#[tokio::test]
async fn a_feed_counts_every_flush_that_its_client_did_not_take() {
    let fixture = HubFixture::start().await;
    let mut feed = fixture.watching(["bookmarks"]).await;
    feed.sent_by(StreamTransportName::WebSocket);
    let behind = || fixture.source.hub.statistics()[0].flushes_behind;
    assert_eq!(behind(), 0);
    for number in 1..=3 {
        fixture.publish(number).await;
        assert_eq!(behind() as u64, number);
    }
    next(&mut feed).await;
    assert_eq!(behind(), 3, "two wait, and one is being sent");
    // More than wait for one stream: they are merged into one frame.
    for number in 4..=600 {
        fixture.publish(number).await;
    }
    assert_eq!(behind(), 600);
    assert!(matches!(next(&mut feed).await.kind, FrameKind::Stale(_)));
    assert_eq!(behind(), 1);
    assert!(futures_util::poll!(feed.next()).is_pending());
    assert_eq!(behind(), 0);
}

/// A feed that is a little behind gets each notice: only notices have the details.
#[tokio::test]
async fn a_feed_that_is_a_little_behind_gets_every_notice() {
    let fixture = HubFixture::start().await;
    let mut slow = fixture.watching(["bookmarks"]).await;
    for number in 1..=5 {
        fixture.publish(number).await;
    }
    for number in 1..=5 {
        let frame = next(&mut slow).await;
        assert!(matches!(frame.kind, FrameKind::Notice(_)), "{frame:?}");
        assert_eq!(frame.cursor, fixture.cursor_after(number));
    }
}

/// The read models of the frames that a feed did not take are too many for one frame.
#[tokio::test]
async fn a_feed_that_is_behind_by_too_many_read_models_gets_a_resync() {
    let fixture = HubFixture::start().await;
    let mut slow = fixture.watching(["task:*"]).await;
    for number in 1..=300 {
        fixture.publish_all(vec![notice("task.updated", &[&format!("t{number}")])], number).await;
    }
    let frame = next(&mut slow).await;
    assert!(matches!(frame.kind, FrameKind::Resync(_)), "{frame:?}");
    assert_eq!(frame.cursor, fixture.cursor_after(300));
}

/// A client may send `watch` together with its request for the stream.
#[tokio::test]
async fn the_first_frame_precedes_the_answer_to_an_early_watch() {
    let fixture = HubFixture::start().await;
    let mut feed = Feed::open(fixture.source.clone(), FeedRequest::default()).await.unwrap();
    let watch = || Watch { read_models: vec![Watched::Group(EveryTask)] };
    assert_eq!(kinds(&feed.watch(watch()).await), ["snapshot", "watching"]);
    assert_eq!(kinds(&feed.watch(watch()).await), ["watching"]);
    assert!(futures_util::poll!(feed.next()).is_pending(), "the first frame is sent once");
}

/// The tasks of `watch` cannot be looked up. The cursor of the last frame contains the changes that waited, so their
/// frames go out before it.
#[tokio::test]
async fn a_watch_that_fails_loses_no_change_that_waits() {
    let fixture = HubFixture::start().await;
    let request = FeedRequest { scope: Scope::Of("p".to_owned()), since: None };
    let mut feed = Feed::open(fixture.source.clone(), request).await.unwrap();
    fixture.publish_all(vec![notice("task.updated", &["t1"])], 1).await;
    fixture.publish_all(vec![notice("task.deleted", &["t2"])], 2).await;
    sqlite3(&fixture.path(), "drop table tasks");
    let parts = feed.watch(Watch { read_models: vec![watched("task:t1")] }).await;
    assert_eq!(kinds(&parts), ["snapshot", "task.updated", "task.deleted", "closing"]);
    let Some(Outgoing::Last(closing, _)) = parts.last() else { panic!("{parts:?}") };
    assert_eq!(closing.cursor, Some(fixture.cursor_after(2)));
    assert!(feed.next().await.is_none());
}

/// The hub ends the streams before it gets the message.
#[tokio::test]
async fn a_watch_that_meets_the_end_is_answered_with_the_last_frame() {
    let fixture = HubFixture::start().await;
    let mut feed = fixture.watching(["task:*"]).await;
    fixture.publish_all(vec![notice("task.updated", &["t1"])], 1).await;
    fixture.source.hub.close();
    let parts = feed.watch(Watch { read_models: vec![watched("bookmarks")] }).await;
    assert_eq!(kinds(&parts), ["task.updated", "closing"]);
    assert!(matches!(parts.last(), Some(Outgoing::Last(..))), "the transport ends the stream as at every last frame");
}

/// The frames that wait for all feeds together are above the bound on memory, though no feed alone is above its own. A
/// feed that is read loses no notice.
#[tokio::test]
async fn feeds_that_are_not_read_hold_a_bounded_number_of_bytes() {
    const FEEDS: u64 = 2_000;
    const FRAMES: u64 = 12;
    let fixture = HubFixture::start().await;
    let name = |feed: u64| format!("task:t{}", 100_000 + feed);
    let mut stalled = Vec::new();
    for feed in 0..FEEDS {
        stalled.push(fixture.watching([name(feed).as_str()]).await);
    }
    let mut read = fixture.watching(["task:t1"]).await;
    for number in 1..=FRAMES {
        let all = (0..FEEDS).map(|feed| format!("t{}", 100_000 + feed)).chain(["t1".to_owned()]);
        fixture.publish_all(all.map(|task| notice("task.updated", &[&task])).collect(), number).await;
        assert!(matches!(next(&mut read).await.kind, FrameKind::Notice(_)), "a feed that is read loses no notice");
    }
    let mut resynced = 0;
    for feed in &mut stalled {
        let first = next(feed).await;
        resynced += u64::from(matches!(first.kind, FrameKind::Resync(_)));
    }
    assert_eq!(resynced, FEEDS);
    fixture.publish_all(vec![notice("task.updated", &["t100007"])], FRAMES + 1).await;
    while next(&mut stalled[7]).await.cursor != fixture.cursor_after(FRAMES + 1) {}
}

/// A feed that watches other read models is not woken, and costs no work.
#[tokio::test]
async fn a_change_wakes_the_feeds_that_watch_it_and_no_other() {
    let fixture = HubFixture::start().await;
    let woken = || fixture.source.database.metrics().streams_woken.get();
    let mut feeds = Vec::new();
    for feed in 0..1_000 {
        feeds.push(fixture.watching(["bookmarks", format!("task:t{}", 100_000 + feed).as_str()]).await);
    }
    let before = woken();
    fixture.publish_all(vec![notice("event.updated", &["t1"])], 1).await;
    fixture.publish_all(vec![notice("event.updated", &["t100007"])], 2).await;
    assert_eq!(next(&mut feeds[7]).await.cursor, fixture.cursor_after(2));
    assert!(futures_util::poll!(feeds[8].next()).is_pending());
    assert_eq!(woken() - before, 1);
    fixture.publish(3).await;
    assert_eq!(next(&mut feeds[8]).await.cursor, fixture.cursor_after(3));
    assert_eq!(fixture.source.database.metrics().frames_encoded.get(), 2);
}

/// The bytes of a burst are made once for each transport.
#[tokio::test]
async fn the_streams_of_a_transport_share_the_bytes_of_a_burst() {
    let fixture = HubFixture::start().await;
    let mut made = Vec::new();
    for transport in [StreamTransportName::WebSocket, StreamTransportName::Events].repeat(10) {
        made.push((transport, fixture.watching(["bookmarks"]).await));
    }
    fixture.publish(1).await;
    let (mut times, mut places) = (0, BTreeSet::new());
    for (transport, mut feed) in made {
        let Some(Outgoing::Burst(burst)) = feed.next().await else { panic!("no burst") };
        let bytes = burst.wire(transport, |lines| {
            times += 1;
            lines[0].text.clone().into()
        });
        places.insert(bytes.as_ptr() as usize);
    }
    // Here both transports take the bytes of the text itself.
    assert_eq!((times, places.len()), (2, 1));
}

/// A hub that is busy takes a change long after the server read it. The whole time counts.
#[tokio::test]
async fn the_delay_of_a_frame_begins_when_its_change_is_read() {
    let fixture = HubFixture::start().await;
    let sum = || {
        let text = fixture.source.database.metrics().text();
        let sum = text.lines().find_map(|line| line.strip_prefix("requery_send_delay_seconds_sum "));
        sum.unwrap().parse::<f64>().unwrap()
    };
    for (number, seconds) in [(1, 20), (2, 40)] {
        let read_at = Instant::now().checked_sub(Duration::from_secs(seconds)).expect("a time");
        fixture.publish_read_at(vec![notice("task.updated", &["t1"])], read_at, number).await;
    }
    // The second flush was measured when the hub takes the third.
    fixture.publish(3).await;
    assert!(sum() >= 60.0, "{}", sum());
}

/// The counters of sent frames contain every frame: the first one, `watching`, `stale`, `heartbeat` and `closing` too.
#[tokio::test]
async fn every_frame_that_is_sent_counts() {
    let fixture = HubFixture::start().await;
    let metrics = fixture.source.database.metrics();
    let source = FeedSource { heartbeat: Duration::from_millis(1), ..fixture.source.clone() };
    let mut feed = Feed::open(source, FeedRequest::default()).await.unwrap();
    let mut parts = feed.watch(Watch { read_models: vec![watched("bookmarks")] }).await;
    for number in 1..=600 {
        fixture.publish(number).await;
    }
    let encoded = metrics.frames_encoded.get();
    for _ in 0..2 {
        parts.push(timeout(PATIENCE, feed.next()).await.expect("a part in time").expect("a part"));
    }
    assert_eq!(metrics.frames_encoded.get() - encoded, 1, "the frame in place of the notices");
    fixture.source.hub.close();
    parts.push(feed.next().await.expect("the last part"));
    assert_eq!(kinds(&parts), ["snapshot", "watching", "stale", "heartbeat", "closing"]);
    let bytes: u64 = lines(&parts).iter().map(|line| line.text.len() as u64).sum();
    assert_eq!((metrics.frames_sent.get(), metrics.bytes_sent.get()), (5, bytes));
}

/// The hub hands a burst out under a lock, for which streams that join and narrow wait. A frame is encoded afterwards,
/// for the first stream that takes it.
#[tokio::test]
async fn a_frame_is_encoded_when_the_first_stream_takes_it() {
    let fixture = HubFixture::start().await;
    let encoded = || fixture.source.database.metrics().frames_encoded.get();
    let (mut first, mut second) = (fixture.watching(["task:*"]).await, fixture.watching(["overview"]).await);
    fixture.publish_all(vec![notice("task.updated", &["t1"])], 1).await;
    assert_eq!(encoded(), 0);
    next(&mut first).await;
    assert_eq!(encoded(), 1);
    next(&mut second).await;
    assert_eq!(encoded(), 1, "the streams share the frame");
    // The frame in place of too many notices too.
    let many = (0..100).map(|number| notice("task.updated", &[&format!("t{number}")])).collect();
    fixture.publish_all(many, 2).await;
    assert_eq!(encoded(), 1);
    next(&mut second).await;
    assert_eq!(encoded(), 2);
}

/// A hub that gets its changes from the test. They are not in the database.
struct HubFixture {
    source: FeedSource,
    initial_cursor: Cursor,
    inputs: mpsc::Sender<HubInput>,
    folder: TempDir,
}

impl HubFixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("requery.db").into()).await.unwrap();
        let initial_cursor = database.snapshot(Scope::All).await.unwrap().cursor().clone();
        let hub = Hub::new(initial_cursor.clone(), database.metrics());
        let (inputs, receiver) = mpsc::channel(1);
        tokio::spawn(hub::run(hub.clone(), receiver, Duration::ZERO, CancellationToken::new()));
        let source = FeedSource {
            database,
            hub,
            first_frames: Arc::default(),
            heartbeat: Duration::from_secs(3600),
            retry: Duration::from_secs(1),
        };
        Self { source, initial_cursor, inputs, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("requery.db")
    }

    /// The cursor after so many changes.
    fn cursor_after(&self, number: u64) -> Cursor {
        Cursor::counter(self.initial_cursor.epoch(), self.initial_cursor.snapshot().xmax() + number)
    }

    async fn open(&self) -> Feed {
        Feed::open(self.source.clone(), FeedRequest::default()).await.unwrap()
    }

    /// A feed that has sent its first frame and is narrowed to these read models.
    async fn watching<'a>(&self, models: impl IntoIterator<Item = &'a str>) -> Feed {
        let mut feed = Feed::open(self.source.clone(), FeedRequest::default()).await.unwrap();
        let parts = feed.watch(Watch { read_models: models.into_iter().map(watched).collect() }).await;
        assert_eq!(kinds(&parts), ["snapshot", "watching"]);
        feed
    }

    /// Gives a change to the hub and waits until the hub has sent it to its subscribers.
    async fn publish(&self, number: u64) {
        self.publish_all(vec![NoticeKind::BookmarkDeleted.sample()], number).await;
    }

    async fn publish_all(&self, notices: Vec<Notice>, number: u64) {
        self.publish_read_at(notices, Instant::now(), number).await;
    }

    async fn publish_read_at(&self, notices: Vec<Notice>, read_at: Instant, number: u64) {
        self.inputs.send(HubInput::Notices { notices, read_at }).await.unwrap();
        self.inputs.send(HubInput::Complete(self.cursor_after(number))).await.unwrap();
        while !self.source.hub.latest().covers(&self.cursor_after(number)) {
            tokio::task::yield_now().await;
        }
    }
}

/// The next frame, which must be the only one of its burst.
async fn next(feed: &mut Feed) -> Frame {
    match timeout(PATIENCE, feed.next()).await.expect("no frame in time").expect("the feed ended") {
        Outgoing::First(first) => frame(&first.line()),
        Outgoing::Line(line) => frame(&line),
        Outgoing::Burst(burst) => only(burst.lines()),
        other => panic!("{other:?}"),
    }
}

fn only(lines: &[FeedLine]) -> Frame {
    assert_eq!(lines.len(), 1);
    frame(&lines[0])
}

fn frame(line: &FeedLine) -> Frame {
    serde_json::from_str(&line.text).unwrap()
}

/// The kinds of the frames of these parts.
fn kinds(parts: &[Outgoing]) -> Vec<String> {
    lines(parts).iter().map(|line| frame(line).kind.kind().to_owned()).collect()
}

fn lines(parts: &[Outgoing]) -> Vec<FeedLine> {
    let lines = parts.iter().flat_map(|part| match part {
        Outgoing::First(first) => vec![first.line()],
        Outgoing::Line(line) | Outgoing::Heartbeat(line) | Outgoing::Last(line, _) => vec![line.clone()],
        Outgoing::Burst(burst) => burst.lines().to_vec(),
        Outgoing::Rest => Vec::new(),
    });
    lines.collect()
}
