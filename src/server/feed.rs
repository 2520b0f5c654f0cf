//! A feed: the frames of one stream, for any transport.
//!
//! A feed subscribes to the hub **before** it reads its first frame. It drops each broadcast that the first frame
//! covers. So a notice may repeat, but none is missed. A feed that lags behind the hub sends a resync. No feed waits
//! for another feed. A feed keeps no frames of its own: the hub encodes each notice once for all feeds.

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
    Closing, Cursor, EveryTask, Frame, FrameKind, Heartbeat, ReadModel, Resumed, Resync, SnapshotPayload, Stale,
    TaskId, VERSION, Watch, Watched, Watching,
};

mod watched_set;
use watched_set::WatchedSet;

/// The parts of the server that every feed uses.
#[derive(Clone)]
pub struct FeedSource {
    /// The source of the first frame.
    pub database: Database,
    /// The source of all later frames.
    pub hub: Hub,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// The longest time a client waits before it reconnects to a server that ended.
    pub retry: Duration,
}

/// The parameters with which a client opens a stream.
#[derive(Clone, Debug, Default)]
pub struct FeedRequest {
    /// The projects whose changes are sent.
    pub scope: Scope,
    /// The cursor to resume from. Without a valid cursor the stream starts with a snapshot.
    pub since: Option<String>,
}

/// The frames of one stream.
pub struct Feed {
    source: FeedSource,
    listener: BroadcastStream<Arc<Broadcast>>,
    heartbeat: Interval,
    scope: Scope,
    /// The read models that the client watches. None: the client has not narrowed the stream.
    watched: Option<WatchedSet>,
    /// Contains every change that was sent, and every change that was left out because the client does not watch it.
    cursor: Cursor,
    first: Option<FeedLine>,
    ended: bool,
}

/// A frame that is ready to be sent.
#[derive(Clone, Debug)]
pub struct FeedLine {
    /// The JSON of the frame.
    pub text: Utf8Bytes,
    /// The cursor from which a client may resume. None while more frames with the same cursor follow.
    pub cursor: Option<Cursor>,
}

/// Frames that are sent in one go.
#[derive(Debug)]
pub enum Burst {
    /// These frames, then the socket is flushed.
    Lines(Vec<FeedLine>),
    /// This frame, then the stream ends. The client reconnects later.
    Last(FeedLine),
}

impl Feed {
    /// Subscribes to the hub, then reads the first frame.
    pub async fn open(source: FeedSource, request: FeedRequest) -> Result<Self, DatabaseError> {
        let listener = BroadcastStream::new(source.hub.subscribe());
        let read = source.database.snapshot(request.scope).await?;
        let known = read::project_is_known(&read).await?;
        let (cursor, scope) = (read.cursor().clone(), read.scope().clone());
        let first = Some(match resumed(&source, &read, request.since.as_deref(), known).await? {
            Some(resumed) => line(&Frame::new(FrameKind::Resumed(resumed), cursor.clone())),
            None => first_line(snapshot(&source, &read, known).await?, &cursor),
        });
        let mut heartbeat = interval_at(tokio::time::Instant::now() + source.heartbeat, source.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { source, listener, heartbeat, scope, watched: None, cursor, first, ended: false })
    }

    /// Narrows the stream to the read models of `watch`. Returns the frame that confirms it, behind the first frame of
    /// the stream if that one was not taken yet: a client may send `watch` together with its request for the stream.
    ///
    /// The frame leaves out each task that exists in another project than the stream: the stream reports no change of
    /// that task. The stream keeps the task's id all the same, so it reports when the task comes into its project.
    pub async fn watch(&mut self, watch: Watch) -> Result<Vec<FeedLine>, DatabaseError> {
        self.watched = Some(WatchedSet::of(&watch.read_models));
        let read_models = self.certified(watch.read_models).await?;
        let watching = self.line(FrameKind::Watching(Watching { read_models }));
        Ok(self.first.take().into_iter().chain([watching]).collect())
    }

    /// The read models whose every change this stream reports from its cursor on. The rows are read after that cursor: a
    /// task that moved in between is reported, because both projects of a move have a notice.
    async fn certified(&self, mut read_models: Vec<Watched>) -> Result<Vec<Watched>, DatabaseError> {
        let tasks: Vec<_> = read_models.iter().filter_map(task_of).collect();
        if self.scope == Scope::All || tasks.is_empty() {
            return Ok(read_models);
        }
        let queries = async |read: &ReadTransaction| read::task::out_of_scope(read, &tasks).await;
        let others = self.source.database.look_up(self.scope.clone(), queries).await?;
        read_models.retain(|entry| task_of(entry).is_none_or(|task| !others.contains(task)));
        Ok(read_models)
    }

    /// The frame to send when the server ends.
    pub fn closing(&self) -> FeedLine {
        let retry_ms = u32::try_from(self.source.retry.as_millis()).unwrap_or(u32::MAX);
        self.line(FrameKind::Closing(Closing { retry_ms }))
    }

    fn line(&self, kind: FrameKind) -> FeedLine {
        line(&Frame::new(kind, self.cursor.clone()))
    }

    fn handle_broadcast(&mut self, received: Result<Arc<Broadcast>, BroadcastStreamRecvError>) -> Option<Burst> {
        match received.as_deref() {
            Ok(Broadcast::Flush(waiting)) => match waiting.flush() {
                Some(flush) => self.flush(&flush),
                None => self.lagged(),
            },
            Ok(Broadcast::Resync { reason, cursor }) => self.resync(reason, cursor.clone()),
            Ok(Broadcast::Closing) => {
                self.ended = true;
                Some(Burst::Last(self.closing()))
            }
            Err(BroadcastStreamRecvError::Lagged(_)) => self.lagged(),
        }
    }

    fn lagged(&mut self) -> Option<Burst> {
        // The hub's latest cursor covers every lost broadcast. Broadcasts in the queue that it covers too are dropped
        // when they arrive.
        self.resync("this stream was read too slowly", self.source.hub.latest())
    }

    fn flush(&mut self, flush: &Flush) -> Option<Burst> {
        if self.cursor.covers(&flush.cursor) {
            return None;
        }
        self.cursor = flush.cursor.clone();
        let relevant = self.relevant(flush);
        let last = relevant.len().checked_sub(1)?;
        if relevant.len() > limits::NOTICES_PER_FLUSH {
            return Some(Burst::Lines(vec![self.merge(&relevant)]));
        }
        let lines = relevant.iter().enumerate().map(|(at, encoded)| FeedLine {
            text: encoded.text(&flush.cursor, at < last),
            cursor: (at == last).then(|| flush.cursor.clone()),
        });
        Some(Burst::Lines(lines.collect()))
    }

    fn merge(&self, notices: &[&Encoded]) -> FeedLine {
        let mut stale = BTreeSet::new();
        for read_model in notices.iter().flat_map(|encoded| encoded.stale()) {
            stale.insert(read_model);
            if stale.len() > limits::WATCHED_READ_MODELS {
                return self.line(FrameKind::Resync(Resync { reason: "too much changed at once".to_owned() }));
            }
        }
        self.line(FrameKind::Stale(Stale { read_models: stale.into_iter().cloned().collect() }))
    }

    fn resync(&mut self, reason: &str, cursor: Cursor) -> Option<Burst> {
        if self.cursor.covers(&cursor) {
            return None;
        }
        self.cursor = cursor;
        Some(Burst::Lines(vec![self.line(FrameKind::Resync(Resync { reason: reason.to_owned() }))]))
    }

    /// The notices of `flush` that this stream gets. The cost grows with the shorter of the two lists: the notices, and
    /// the watched read models.
    fn relevant<'a>(&self, flush: &'a Flush) -> Vec<&'a Encoded> {
        let in_scope = |encoded: &&Encoded| self.scope.contains(encoded.notice.project());
        let Some(watched) = &self.watched else { return flush.notices.iter().filter(in_scope).collect() };
        if watched.len() < flush.notices.len()
            && let Some(names) = watched.names()
        {
            return flush.notices_that_name(names).into_iter().filter(in_scope).collect();
        }
        let is_watched = |encoded: &&Encoded| encoded.stale().iter().any(|stale| watched.meets(stale));
        flush.notices.iter().filter(in_scope).filter(is_watched).collect()
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
                Poll::Ready(Some(received)) => {
                    if let Some(burst) = self.handle_broadcast(received) {
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

/// The frame of a stream that resumes: the read models that the missed notices make stale. None if the stream has to
/// start with a snapshot.
async fn resumed(
    source: &FeedSource,
    read: &ReadTransaction,
    since: Option<&str>,
    known: bool,
) -> Result<Option<Resumed>, DatabaseError> {
    let Some(since) = since.and_then(|text| text.parse::<Cursor>().ok()) else { return Ok(None) };
    let Some(notices) = change_log::since(read, &since, limits::RESUMED_NOTICES).await? else { return Ok(None) };
    let stale: BTreeSet<Watched> = notices.iter().flat_map(invalidation::stale).collect();
    if stale.len() > limits::RESUMED_READ_MODELS {
        return Ok(None);
    }
    Ok(Some(Resumed {
        server_time: now(),
        heartbeat_ms: heartbeat_ms(source),
        version: VERSION.to_owned(),
        known,
        stale: stale.into_iter().collect(),
    }))
}

async fn snapshot(source: &FeedSource, read: &ReadTransaction, known: bool) -> Result<SnapshotPayload, DatabaseError> {
    let (overview, tasks) = read::first_screen(read).await?;
    Ok(SnapshotPayload {
        stats: overview.stats,
        tasks: tasks.items,
        next: tasks.next,
        needs_you: Some(overview.needs_you),
        activity: Some(overview.activity),
        sources: Some(overview.sources),
        usage: Some(overview.usage),
        server_time: now(),
        heartbeat_ms: heartbeat_ms(source),
        version: VERSION.to_owned(),
        known,
    })
}

/// The line of a snapshot. A snapshot that is too large is sent without the read model `overview`.
fn first_line(snapshot: SnapshotPayload, cursor: &Cursor) -> FeedLine {
    let line = |snapshot| line(&Frame::new(FrameKind::Snapshot(Box::new(snapshot)), cursor.clone()));
    let small = snapshot.figures_alone();
    let whole = line(snapshot);
    if whole.text.len() > limits::SNAPSHOT_BYTES { line(small) } else { whole }
}

fn task_of(entry: &Watched) -> Option<&TaskId> {
    match entry {
        Watched::One(ReadModel::Task(task)) => Some(task),
        Watched::One(ReadModel::Overview | ReadModel::Bookmarks | ReadModel::Agents) | Watched::Group(EveryTask) => {
            None
        }
    }
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
