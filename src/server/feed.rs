//! A feed: the frames of one stream, whatever carries them.
//!
//! It listens **before** it reads its first frame, and drops what that frame covers: a notice may repeat, none is
//! missed. A feed that lags is told to resync. One feed waits for nobody and holds nothing but its place: what it sends
//! was encoded once for all.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::access::scope::Scope;
use super::change_log;
use super::database::{Database, DatabaseError, ReadTransaction};
use super::hub::{Broadcast, Encoded, Flush, Hub, encode};
use super::read;
use crate::engine::invalidation;
use crate::protocol::limits;
use crate::protocol::model::Timestamp;
use crate::protocol::{
    Closing, Cursor, Frame, FrameKind, Heartbeat, Resumed, Resync, SnapshotPayload, Stale, VERSION, Watch, Watched,
    Watching,
};

/// What every feed needs.
#[derive(Clone)]
pub struct FeedSource {
    /// Where the first frame is read.
    pub database: Database,
    /// Where the others come from.
    pub hub: Hub,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// The most a client waits before it comes back when the server goes away.
    pub retry: Duration,
}

/// What a client asks a stream for.
#[derive(Clone, Debug, Default)]
pub struct FeedRequest {
    /// The projects whose changes are sent.
    pub scope: Scope,
    /// Continue from here. A text that is no cursor starts afresh.
    pub since: Option<String>,
}

/// The frames of one stream.
pub struct Feed {
    source: FeedSource,
    listener: BroadcastStream<Arc<Broadcast>>,
    heartbeat: Interval,
    scope: Scope,
    /// What the client narrowed it to; none: everything.
    watched: Option<Vec<Watched>>,
    /// Contains all that was sent, and all that was left out because it is not watched.
    cursor: Cursor,
    first: Option<FeedLine>,
    ended: bool,
}

/// A frame ready to be sent.
#[derive(Clone, Debug)]
pub struct FeedLine {
    /// The frame.
    pub text: Utf8Bytes,
    /// The cursor a client may come back with; none while more frames with the same cursor follow.
    pub cursor: Option<Cursor>,
}

/// What is sent at once.
#[derive(Debug)]
pub enum Burst {
    /// These frames, then the socket is flushed.
    Lines(Vec<FeedLine>),
    /// This frame, then the stream ends: the client is to come back.
    Last(FeedLine),
}

impl Feed {
    /// Listens, then reads the first frame.
    pub async fn open(source: FeedSource, request: FeedRequest) -> Result<Self, DatabaseError> {
        let listener = BroadcastStream::new(source.hub.subscribe());
        let read = source.database.snapshot().await?;
        let scope = request.scope;
        let kind = match resumed(&source, &read, request.since.as_deref(), &scope).await? {
            Some(resumed) => FrameKind::Resumed(resumed),
            None => FrameKind::Snapshot(Box::new(snapshot(&source, &read, &scope).await?)),
        };
        let cursor = read.cursor().clone();
        let first = Some(line(&Frame::new(kind, cursor.clone())));
        let mut heartbeat = interval_at(tokio::time::Instant::now() + source.heartbeat, source.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { source, listener, heartbeat, scope, watched: None, cursor, first, ended: false })
    }

    /// Narrows what is sent, and says so.
    pub fn watch(&mut self, watch: Watch) -> FeedLine {
        self.watched = Some(watch.read_models.clone());
        self.line(FrameKind::Watching(Watching { read_models: watch.read_models }))
    }

    /// What to send when the server goes away.
    pub fn closing(&self) -> FeedLine {
        let retry_ms = u32::try_from(self.source.retry.as_millis()).unwrap_or(u32::MAX);
        self.line(FrameKind::Closing(Closing { retry_ms }))
    }

    fn line(&self, kind: FrameKind) -> FeedLine {
        line(&Frame::new(kind, self.cursor.clone()))
    }

    fn hear(&mut self, heard: Result<Arc<Broadcast>, BroadcastStreamRecvError>) -> Option<Burst> {
        match heard.as_deref() {
            Ok(Broadcast::Flush(flush)) => self.flush(flush),
            Ok(Broadcast::Resync { reason, cursor }) => self.resync(reason, cursor.clone()),
            Ok(Broadcast::Closing) => {
                self.ended = true;
                Some(Burst::Last(self.closing()))
            }
            // What was lost is at most what the hub has sent by now; what of that still comes is covered and dropped.
            Err(BroadcastStreamRecvError::Lagged(_)) => {
                self.resync("this stream was read too slowly", self.source.hub.latest())
            }
        }
    }

    fn flush(&mut self, flush: &Flush) -> Option<Burst> {
        if self.cursor.covers(&flush.cursor) {
            return None;
        }
        self.cursor = flush.cursor.clone();
        let wanted: Vec<_> = flush.notices.iter().filter(|encoded| self.wants(encoded)).collect();
        let last = wanted.len().checked_sub(1)?;
        if wanted.len() > limits::NOTICES_PER_FLUSH {
            return Some(Burst::Lines(vec![self.merge(&wanted)]));
        }
        let lines = wanted.iter().enumerate().map(|(at, encoded)| FeedLine {
            text: encoded.text(&flush.cursor, at < last),
            cursor: (at == last).then(|| flush.cursor.clone()),
        });
        Some(Burst::Lines(lines.collect()))
    }

    fn merge(&self, notices: &[&Encoded]) -> FeedLine {
        let stale: BTreeSet<Watched> = notices.iter().flat_map(|encoded| encoded.stale()).cloned().collect();
        if stale.len() > limits::WATCHED_READ_MODELS {
            return self.line(FrameKind::Resync(Resync { reason: "too much changed at once".to_owned() }));
        }
        self.line(FrameKind::Stale(Stale { read_models: stale.into_iter().collect() }))
    }

    fn resync(&mut self, reason: &str, cursor: Cursor) -> Option<Burst> {
        if self.cursor.covers(&cursor) {
            return None;
        }
        self.cursor = cursor;
        Some(Burst::Lines(vec![self.line(FrameKind::Resync(Resync { reason: reason.to_owned() }))]))
    }

    fn wants(&self, encoded: &Encoded) -> bool {
        self.scope.contains(encoded.notice.project())
            && self.watched.as_ref().is_none_or(|watched| {
                encoded.stale().iter().any(|stale| watched.iter().any(|watched| watched.meets(stale)))
            })
    }
}

impl Stream for Feed {
    type Item = Burst;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Burst>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Burst::Lines(vec![first])));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut self.listener).poll_next(context) {
                Poll::Ready(Some(heard)) => {
                    if let Some(burst) = self.hear(heard) {
                        return Poll::Ready(Some(burst));
                    }
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    return Poll::Ready(Some(Burst::Last(self.closing())));
                }
                Poll::Pending => break,
            }
        }
        self.heartbeat
            .poll_tick(context)
            .map(|_| Some(Burst::Lines(vec![self.line(FrameKind::Heartbeat(Heartbeat { server_time: now() }))])))
    }
}

/// How a stream continues, if it can: every notice since, as what it makes stale.
async fn resumed(
    source: &FeedSource,
    read: &ReadTransaction,
    since: Option<&str>,
    scope: &Scope,
) -> Result<Option<Resumed>, DatabaseError> {
    let Some(since) = since.and_then(|text| text.parse::<Cursor>().ok()) else { return Ok(None) };
    let Some(notices) = change_log::since(read, &since, scope, limits::RESUMED_NOTICES).await? else { return Ok(None) };
    let stale: BTreeSet<Watched> = notices.iter().flat_map(invalidation::stale).collect();
    if stale.len() > limits::RESUMED_READ_MODELS {
        return Ok(None);
    }
    Ok(Some(Resumed {
        server_time: now(),
        heartbeat_ms: heartbeat_ms(source),
        version: VERSION.to_owned(),
        stale: stale.into_iter().collect(),
    }))
}

async fn snapshot(
    source: &FeedSource,
    read: &ReadTransaction,
    scope: &Scope,
) -> Result<SnapshotPayload, DatabaseError> {
    let (stats, tasks) = read::first_screen(read, scope).await?;
    Ok(SnapshotPayload {
        stats,
        tasks,
        server_time: now(),
        heartbeat_ms: heartbeat_ms(source),
        version: VERSION.to_owned(),
    })
}

fn line(frame: &Frame) -> FeedLine {
    FeedLine { text: encode(frame), cursor: Some(frame.cursor.clone()) }
}

fn heartbeat_ms(source: &FeedSource) -> u32 {
    u32::try_from(source.heartbeat.as_millis()).unwrap_or(u32::MAX)
}

fn now() -> Timestamp {
    Timestamp::from_ms(chrono::Utc::now().timestamp_millis())
}
