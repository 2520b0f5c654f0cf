//! The first frames of streams. A first frame is read once for each state of the database, however many streams begin.
//!
//! A stream joins the hub before its first frame is read, and gets every later change as a notice. So a frame that was
//! read earlier serves the stream too, as long as the frame contains every change that the hub had handed out when the
//! stream joined. It also contains every change that the server has shown: a program that writes and then opens a
//! stream finds its write. A change that the server has not noticed yet comes as a notice.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::engine::invalidation;
use crate::protocol::limits;
use crate::protocol::model::Timestamp;
use crate::protocol::{Cursor, Frame, FrameKind, Resumed, SnapshotPayload, VERSION, Watched};
use crate::server::access::scope::Scope;
use crate::server::change_log;
use crate::server::database::{DatabaseError, ReadTransaction, Turns};
use crate::server::hub::{FeedLine, encode};
use crate::server::read;

use super::{FeedRequest, FeedSource};

/// The requests whose first frame is kept. A server has few projects at a time, and clients that come back together
/// come from few cursors. Past it the request that was not repeated for the longest time is read again.
const KEPT: usize = 256;
/// The bytes of all kept frames. Past it the same happens.
const KEPT_BYTES: usize = 4 * limits::SNAPSHOT_BYTES;
/// Stands in a frame for the time of the server, which each stream fills in.
const TIME_TO_FILL_IN: i64 = 253_402_300_799_999;

/// The first frames of the current state.
pub struct FirstFrames {
    kept: Mutex<KeptFrames>,
    /// A turn for each stream that is reading its first frame.
    turns: Turns,
}

/// The scope, and the cursor to resume from. None: a text that is no cursor starts afresh, as no text does.
type Wanted = (Scope, Option<Cursor>);

#[derive(Default)]
struct KeptFrames {
    frames: HashMap<Wanted, Kept>,
    /// The number of uses so far.
    uses: u64,
}

struct Kept {
    frame: Arc<FirstFrame>,
    /// The number of the last use.
    used: u64,
}

/// A first frame without the time of the server. All streams share its bytes.
#[derive(PartialEq)]
pub(super) struct FirstFrame {
    cursor: Cursor,
    text: Utf8Bytes,
    /// The place of the time in the text, which has the same width for every time.
    time: Option<Range<usize>>,
}

/// The first frame of one stream.
#[derive(Debug)]
pub struct FirstLine {
    frame: Arc<FirstFrame>,
    time: String,
}

impl Default for FirstFrames {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Turns::new(limits::STREAM_BEGINNINGS) }
    }
}

impl FirstFrames {
    /// The first frame of a stream that has joined the hub. `joined` contains every change that the hub had handed out
    /// then.
    ///
    /// A stream whose frame is kept begins at once: it takes no connection to the database and waits for no turn. After
    /// a restart all clients come back together: the others wait for each other here, and not in the queue of the
    /// reads.
    pub(super) async fn read(
        &self,
        source: &FeedSource,
        request: &FeedRequest,
        joined: &Cursor,
    ) -> Result<Arc<FirstFrame>, DatabaseError> {
        let needed = [joined, &source.database.shown()?];
        let since = request.since.as_deref().and_then(|text| text.parse::<Cursor>().ok());
        let wanted = (request.scope.clone(), since);
        if let Some(frame) = self.kept().find(&wanted, needed) {
            return Ok(frame);
        }
        let _turn = self.turns.take().await?;
        // Another stream can have read the frame meanwhile.
        if let Some(frame) = self.kept().find(&wanted, needed) {
            return Ok(frame);
        }
        source.database.metrics().first_frames_read.inc();
        let read = source.database.snapshot(request.scope.clone()).await?;
        let frame = FirstFrame::read(&read, wanted.1.as_ref(), source.heartbeat).await?;
        Ok(self.kept().keep(wanted, frame))
    }

    fn kept(&self) -> MutexGuard<'_, KeptFrames> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptFrames {
    fn find(&mut self, wanted: &Wanted, needed: [&Cursor; 2]) -> Option<Arc<FirstFrame>> {
        let kept = self.frames.get_mut(wanted)?;
        if !needed.iter().all(|cursor| kept.frame.cursor.covers(cursor)) {
            return None;
        }
        self.uses += 1;
        kept.used = self.uses;
        Some(kept.frame.clone())
    }

    /// Keeps the frame, and drops the frames that are older or were not used for the longest time.
    fn keep(&mut self, wanted: Wanted, frame: FirstFrame) -> Arc<FirstFrame> {
        self.frames.retain(|_, kept| kept.frame.cursor.covers(&frame.cursor));
        // Clients that come back from different cursors have often missed the same.
        let same = self.frames.values().find(|kept| *kept.frame == frame).map(|kept| kept.frame.clone());
        let frame = same.unwrap_or_else(|| Arc::new(frame));
        self.uses += 1;
        self.frames.insert(wanted, Kept { frame: frame.clone(), used: self.uses });
        while self.frames.len() > KEPT || self.bytes() > KEPT_BYTES {
            let last_used = self.frames.iter().min_by_key(|(_, kept)| kept.used);
            let Some(wanted) = last_used.map(|(wanted, _)| wanted.clone()) else { break };
            self.frames.remove(&wanted);
        }
        frame
    }

    /// The bytes of the different frames.
    fn bytes(&self) -> usize {
        let frames = self.frames.values().map(|kept| (Arc::as_ptr(&kept.frame), kept.frame.text.len()));
        frames.collect::<HashMap<_, _>>().values().sum()
    }
}

impl FirstFrame {
    async fn read(read: &ReadTransaction, since: Option<&Cursor>, heartbeat: Duration) -> Result<Self, DatabaseError> {
        let known = read::project_is_known(read).await?;
        let (cursor, heartbeat_ms) = (read.cursor(), u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX));
        let text = match resumed(read, since, known, heartbeat_ms).await? {
            Some(resumed) => encode(&Frame::new(FrameKind::Resumed(resumed), cursor.clone())),
            None => snapshot_text(snapshot(read, known, heartbeat_ms).await?, cursor),
        };
        let name = "\"server_time\":\"";
        let time = Timestamp::from_ms(TIME_TO_FILL_IN).to_string();
        let at = text.find(&format!("{name}{time}")).map(|at| at + name.len());
        Ok(Self { cursor: cursor.clone(), text, time: at.map(|at| at..at + time.len()) })
    }

    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The frame at a time of the server.
    pub(super) fn line(self: Arc<Self>, now: Timestamp) -> FirstLine {
        FirstLine { frame: self, time: now.to_string() }
    }
}

impl std::fmt::Debug for FirstFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FirstLine {
    /// The JSON of the frame in parts: only the time of the server, in the middle, is not shared with other streams.
    pub fn parts(&self) -> [Bytes; 3] {
        let text = Bytes::from(self.frame.text.clone());
        match self.frame.time.clone() {
            Some(Range { start, end }) => {
                [text.slice(..start), Bytes::copy_from_slice(self.time.as_bytes()), text.slice(end..)]
            }
            None => [text, Bytes::new(), Bytes::new()],
        }
    }

    /// The length of the JSON in bytes.
    pub fn text_bytes(&self) -> usize {
        self.frame.text.len()
    }

    /// The frame as one text of its own.
    pub fn line(&self) -> FeedLine {
        let mut text = self.frame.text.to_string();
        if let Some(place) = self.frame.time.clone() {
            text.replace_range(place, &self.time);
        }
        FeedLine { text: text.into(), cursor: Some(self.frame.cursor.clone()) }
    }
}

/// The frame of a stream that resumes: the read models that the missed notices make stale. None if the stream has to
/// start with a snapshot.
async fn resumed(
    read: &ReadTransaction,
    since: Option<&Cursor>,
    known: bool,
    heartbeat_ms: u32,
) -> Result<Option<Resumed>, DatabaseError> {
    let Some(since) = since else { return Ok(None) };
    let Some(notices) = change_log::since(read, since, limits::RESUMED_NOTICES).await? else { return Ok(None) };
    let stale: BTreeSet<Watched> = notices.iter().flat_map(invalidation::stale).collect();
    if stale.len() > limits::RESUMED_READ_MODELS {
        return Ok(None);
    }
    Ok(Some(Resumed {
        server_time: Timestamp::from_ms(TIME_TO_FILL_IN),
        heartbeat_ms,
        version: VERSION.to_owned(),
        known,
        stale: stale.into_iter().collect(),
    }))
}

async fn snapshot(read: &ReadTransaction, known: bool, heartbeat_ms: u32) -> Result<SnapshotPayload, DatabaseError> {
    let (overview, tasks) = read::first_screen(read).await?;
    Ok(SnapshotPayload {
        stats: overview.stats,
        tasks: tasks.items,
        next: tasks.next,
        needs_you: Some(overview.needs_you),
        activity: Some(overview.activity),
        sources: Some(overview.sources),
        usage: Some(overview.usage),
        server_time: Timestamp::from_ms(TIME_TO_FILL_IN),
        heartbeat_ms,
        version: VERSION.to_owned(),
        known,
    })
}

/// The text of a snapshot. A snapshot that is too large is sent without the read model `overview`.
fn snapshot_text(snapshot: SnapshotPayload, cursor: &Cursor) -> Utf8Bytes {
    let text = |snapshot| encode(&Frame::new(FrameKind::Snapshot(Box::new(snapshot)), cursor.clone()));
    let small = snapshot.figures_alone();
    let whole = text(snapshot);
    if whole.len() > limits::SNAPSHOT_BYTES { text(small) } else { whole }
}
