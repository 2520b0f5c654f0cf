//! A feed: the frames of one stream, for any transport.
//!
//! A feed joins the hub **before** it reads its first frame. It drops each burst that the first frame covers. So a
//! notice may repeat, but none is missed. A feed that is behind gets one `stale` frame or a `resync`. No feed waits for
//! another feed. A feed keeps no frames of its own: the hub encodes each notice once for all feeds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_stream::Stream;

use super::access::scope::Scope;
use super::database::{Database, DatabaseError, ReadTransaction};
use super::hub::{Burst, DirectWriter, FeedLine, Hub, HubStream, Taken};
use super::metrics::StreamTransportName;
use super::read;
use crate::protocol::limits;
use crate::protocol::model::Timestamp;
use crate::protocol::{
    Closing, Cursor, EveryTask, Frame, FrameKind, Heartbeat, ReadModel, TaskId, Watch, Watched, Watching,
};

mod first_frame;
pub use first_frame::{FirstFrames, FirstLine};

/// The parts of the server that every feed uses.
#[derive(Clone)]
pub struct FeedSource {
    /// The source of the first frame.
    pub database: Database,
    /// The source of all later frames.
    pub hub: Hub,
    /// The first frames of the current state.
    pub first_frames: Arc<FirstFrames>,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// The longest time a client waits before it reconnects to a server that ended, beside the time for each stream.
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
    stream: HubStream,
    heartbeat: Interval,
    scope: Scope,
    first: Option<FirstLine>,
    ended: bool,
}

/// The next part of a feed.
#[derive(Debug)]
pub enum Outgoing {
    /// The first frame of the stream.
    First(FirstLine),
    /// A frame of this stream alone.
    Line(FeedLine),
    /// The frames of a flush, which many streams share.
    Burst(Arc<Burst>),
    /// The hub began a burst on the socket, and the socket did not take it whole.
    Rest,
    /// The frame that shows that the connection works.
    Heartbeat(FeedLine),
    /// This frame, then the stream ends. The client reconnects after a random share of the time.
    Last(FeedLine, Duration),
}

impl Feed {
    /// Joins the hub, then reads the first frame.
    pub async fn open(source: FeedSource, request: FeedRequest) -> Result<Self, DatabaseError> {
        let stream = source.hub.join(&request.scope);
        let first = source.first_frames.read(&source, &request, &stream.cursor()).await?;
        stream.begin(first.cursor().clone());
        let mut heartbeat = interval_at(tokio::time::Instant::now() + source.heartbeat, source.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first = Some(first.line(now()));
        Ok(Self { source, stream, heartbeat, scope: request.scope, first, ended: false })
    }

    /// Narrows the stream to the read models of `watch`. Returns the parts that come next: the first frame of the
    /// stream if that one was not taken yet (a client may send `watch` together with its request for the stream), the
    /// changes before the narrowing, and the frame that confirms it. If the tasks of `watch` cannot be looked up, the
    /// last part is [`Outgoing::Last`], behind the same changes: the cursor of that part contains them.
    ///
    /// The confirming frame leaves out each task that exists in another project than the stream: the stream reports no
    /// change of that task. The stream keeps the task's id all the same, so it reports when the task comes into its
    /// project.
    pub async fn watch(&mut self, watch: Watch) -> Vec<Outgoing> {
        let (before, cursor) = self.stream.watch(watch.read_models.iter().cloned().collect());
        let mut parts: Vec<Outgoing> = self.take_first().into_iter().collect();
        for taken in before {
            match taken {
                Taken::Burst(burst) => parts.push(Outgoing::Burst(burst)),
                Taken::Rest => parts.push(Outgoing::Rest),
                Taken::Closing(streams) => {
                    parts.push(self.last(streams));
                    return parts;
                }
            }
        }
        parts.push(match self.certified(watch.read_models).await {
            Ok(read_models) => Outgoing::Line(self.own(FrameKind::Watching(Watching { read_models }), cursor)),
            Err(error) => {
                tracing::warn!(%error, "could not look up the tasks that a stream watches");
                self.last(1)
            }
        });
        parts
    }

    /// The read models whose every change this stream reports from its cursor on. The rows are read after that cursor:
    /// a task that moved in between is reported, because both projects of a move have a notice.
    async fn certified(&self, mut read_models: Vec<Watched>) -> Result<Vec<Watched>, DatabaseError> {
        let tasks: Vec<_> = read_models.iter().filter_map(task_of).collect();
        if self.scope == Scope::All || tasks.is_empty() {
            return Ok(read_models);
        }
        let queries = async |read: &ReadTransaction| read::task::out_of_scope(read, &tasks).await;
        self.source.database.metrics().task_look_ups.inc();
        let others = self.source.database.look_up(self.scope.clone(), queries).await?;
        read_models.retain(|entry| task_of(entry).is_none_or(|task| !others.contains(task)));
        Ok(read_models)
    }

    /// The feed is sent by this transport. From now on the statistics of the streams list it.
    pub fn sent_by(&self, transport: StreamTransportName) {
        self.stream.open(transport);
    }

    /// From now on the hub writes to the socket while the feed waits for its next part.
    pub fn write_directly(&self, direct: Box<dyn DirectWriter>) {
        self.stream.write_directly(direct);
    }

    fn take_first(&mut self) -> Option<Outgoing> {
        let first = self.first.take()?;
        self.stream.note_own(first.text_bytes());
        Some(Outgoing::First(first))
    }

    /// The last part of the feed, when so many streams end. The longest time a client waits before it reconnects grows
    /// with the number of streams, so that clients that come back together do not wait for each other.
    fn last(&mut self, streams: usize) -> Outgoing {
        self.ended = true;
        let streams = u32::try_from(streams).unwrap_or(u32::MAX);
        let retry = self.source.retry + Duration::from_millis((streams / limits::STREAMS_PER_RETRY_MS).into());
        let retry_ms = u32::try_from(retry.as_millis()).unwrap_or(u32::MAX);
        let closing = self.own(FrameKind::Closing(Closing { retry_ms }), self.stream.cursor());
        Outgoing::Last(closing, retry)
    }

    /// A frame that this stream alone sends.
    fn own(&self, kind: FrameKind, cursor: Cursor) -> FeedLine {
        let line = FeedLine::of(&Frame::new(kind, cursor));
        self.stream.note_own(line.text.len());
        line
    }
}

impl Stream for Feed {
    type Item = Outgoing;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        if let Some(first) = self.take_first() {
            return Poll::Ready(Some(first));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match self.stream.poll_take(context) {
            Poll::Ready(Taken::Burst(burst)) => return Poll::Ready(Some(Outgoing::Burst(burst))),
            Poll::Ready(Taken::Rest) => return Poll::Ready(Some(Outgoing::Rest)),
            Poll::Ready(Taken::Closing(streams)) => return Poll::Ready(Some(self.last(streams))),
            Poll::Pending => {}
        }
        if self.heartbeat.poll_tick(context).is_pending() {
            return Poll::Pending;
        }
        // The hub writes no frame between the cursor of the heartbeat and the heartbeat.
        self.stream.hold();
        let heartbeat = self.own(FrameKind::Heartbeat(Heartbeat { server_time: now() }), self.stream.cursor());
        Poll::Ready(Some(Outgoing::Heartbeat(heartbeat)))
    }
}

fn task_of(entry: &Watched) -> Option<&TaskId> {
    match entry {
        Watched::One(ReadModel::Task(task)) => Some(task),
        Watched::One(ReadModel::Overview | ReadModel::Bookmarks | ReadModel::Agents) | Watched::Group(EveryTask) => {
            None
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_ms(chrono::Utc::now().timestamp_millis())
}
