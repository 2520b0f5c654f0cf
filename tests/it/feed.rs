//! A feed between a hub and a reader: it listens before it reads its first frame, and one that is not read loses its
//! place, holds up nobody, and is told so.

use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use requery::protocol::{Cursor, Frame, FrameKind, Notice, NoticeKind};
use requery::server::database::Database;
use requery::server::feed::{Burst, Feed, FeedRequest, FeedSource};
use requery::server::hub::{self, Hub, HubInput};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::PATIENCE;

/// Whatever passes the hub while the first frame is being read comes after it.
#[tokio::test]
async fn a_feed_subscribes_before_it_reads() {
    let stage = Stage::set().await;
    let mut changes = 0;
    // Something changes at every step of the way; now and then the database is too quick for there to be any.
    let mut feed = loop {
        let mut open = Box::pin(Feed::open(stage.source.clone(), FeedRequest::default()));
        let feed = loop {
            match futures_util::poll!(&mut open) {
                Poll::Ready(feed) => break feed.unwrap(),
                Poll::Pending => {
                    changes += 1;
                    stage.change(changes).await;
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
    assert_eq!(first.cursor, stage.began);
    let heard = next(&mut feed).await;
    let lagged = matches!(heard.kind, FrameKind::Resync(_));
    assert_eq!(heard.cursor, stage.at(if lagged { changes } else { 1 }), "{heard:?}");
}

#[tokio::test]
async fn a_lagging_feed_gets_a_resync_and_continues() {
    let stage = Stage::set().await;
    let mut slow = Feed::open(stage.source.clone(), FeedRequest::default()).await.unwrap();
    assert!(matches!(next(&mut slow).await.kind, FrameKind::Snapshot(_)));
    // More than the hub keeps for anyone.
    for number in 1..=600 {
        stage.change(number).await;
    }
    let told = next(&mut slow).await;
    assert!(matches!(told.kind, FrameKind::Resync(_)), "{told:?}");
    assert_eq!(told.cursor, stage.at(600));
    // What was kept of the past is contained in that, so it is passed over and the next is news.
    assert!(futures_util::poll!(slow.next()).is_pending());
    stage.change(601).await;
    let told = next(&mut slow).await;
    assert!(matches!(told.kind, FrameKind::Notice(Notice::BookmarkDeleted(_))), "{told:?}");
    assert_eq!(told.cursor, stage.at(601));
}

/// A hub that is handed changes which the database knows nothing of.
struct Stage {
    source: FeedSource,
    began: Cursor,
    inputs: mpsc::Sender<HubInput>,
    _folder: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("requery.db").into()).await.unwrap();
        let began = database.snapshot().await.unwrap().cursor().clone();
        let hub = Hub::new(began.clone());
        let (inputs, receiver) = mpsc::channel(1);
        tokio::spawn(hub::run(hub.clone(), receiver, Duration::ZERO, CancellationToken::new()));
        let source = FeedSource { database, hub, heartbeat: Duration::from_secs(3600), retry: Duration::from_secs(1) };
        Self { source, began, inputs, _folder: folder }
    }

    fn at(&self, number: u64) -> Cursor {
        Cursor::counter(self.began.epoch(), self.began.snapshot().xmax() + number)
    }

    /// Hands on a change and waits until it was sent to whoever listens.
    async fn change(&self, number: u64) {
        let notice = NoticeKind::BookmarkDeleted.sample();
        self.inputs.send(HubInput::Notices(vec![notice])).await.unwrap();
        self.inputs.send(HubInput::Complete(self.at(number))).await.unwrap();
        while !self.source.hub.latest().covers(&self.at(number)) {
            tokio::task::yield_now().await;
        }
    }
}

/// The next frame, which comes alone.
async fn next(feed: &mut Feed) -> Frame {
    match timeout(PATIENCE, feed.next()).await.expect("nothing came").expect("the end") {
        Burst::Lines(lines) => {
            assert_eq!(lines.len(), 1);
            serde_json::from_str(&lines[0].text).unwrap()
        }
        Burst::Last(line) => panic!("the end: {}", line.text),
    }
}
