//! A feed that is not read: it loses its place, holds up nobody, and is told so when it is read again.

use std::time::Duration;

use requery::protocol::{BookmarkDeleted, Cursor, Frame, FrameKind, Notice};
use requery::server::change_log::Tailed;
use requery::server::database::Database;
use requery::server::feed::{Burst, Feed, Request, Source};
use requery::server::hub::{self, Hub};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::app::PATIENCE;

#[tokio::test]
async fn a_feed_that_lags_is_told_to_resync_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("requery.db").into()).await.unwrap();
    let began = database.begin_read().await.unwrap().cursor().clone();
    let hub = Hub::new(began.clone());
    let (tail, tailed) = mpsc::channel(1);
    tokio::spawn(hub::run(hub.clone(), tailed, Duration::ZERO, CancellationToken::new()));
    let source =
        Source { database, hub: hub.clone(), heartbeat: Duration::from_secs(3600), retry: Duration::from_secs(1) };
    let mut slow = Feed::open(source.clone(), Request::default()).await.unwrap();
    let mut quick = Feed::open(source, Request::default()).await.unwrap();
    assert!(matches!(next(&mut slow).await.kind, FrameKind::Snapshot(_)));
    next(&mut quick).await;

    let at = |number: u64| Cursor::counter(began.epoch(), began.snapshot().xmax() + number);
    let id = "0190b0a0-0000-7000-8000-000000000001";
    let change = |number| {
        let (bookmark_id, task_id) = (id.parse().unwrap(), id.parse().unwrap());
        let notice = BookmarkDeleted { bookmark_id, task_id, project: format!("change {number}") };
        Tailed::Changed(vec![Notice::BookmarkDeleted(notice)], at(number))
    };
    // More than the hub keeps for anyone.
    for number in 1..=600 {
        tail.send(change(number)).await.unwrap();
        assert_eq!(next(&mut quick).await.cursor, at(number));
    }
    let told = next(&mut slow).await;
    assert!(matches!(told.kind, FrameKind::Resync(_)), "{told:?}");
    assert_eq!(told.cursor, at(600));
    // What was kept of the past is contained in that, so the next is news.
    tail.send(change(601)).await.unwrap();
    let told = next(&mut slow).await;
    assert!(matches!(told.kind, FrameKind::Notice(Notice::BookmarkDeleted(_))), "{told:?}");
    assert_eq!(told.cursor, at(601));
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
