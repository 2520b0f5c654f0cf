//! Bursts: the frames that some streams get in one go. Streams that get the same notices share one burst.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::flush::{Encoded, encode};
use crate::protocol::limits;
use crate::protocol::{Cursor, Frame, FrameKind, Resync, Stale, Watched};
use crate::server::metrics::StreamTransportName;

/// The reason of a `resync` in place of a frame that would be too long.
pub(super) const TOO_MUCH: &str = "too much changed at once";

/// A frame that is ready to be sent.
#[derive(Clone, Debug)]
pub struct FeedLine {
    /// The JSON of the frame.
    pub text: Utf8Bytes,
    /// The cursor from which a client may resume. None while more frames with the same cursor follow.
    pub cursor: Option<Cursor>,
}

/// The frames that some streams get for one flush. They are encoded once, when the first stream writes them: the hub
/// hands out bursts under a lock. They are encoded under that lock if one of these streams is behind, because the bytes
/// that wait for such a stream are bounded.
#[derive(Debug)]
pub struct Burst {
    cursor: Cursor,
    reported: Reported,
    lines: OnceLock<Lines>,
    /// The bytes of the frames on a WebSocket.
    websocket: OnceLock<Bytes>,
    /// Their bytes as server-sent events.
    events: OnceLock<Bytes>,
    memory: BurstMemory,
}

#[derive(Debug)]
struct Lines {
    lines: Vec<FeedLine>,
    text_bytes: u64,
}

/// The changes that a burst reports.
#[derive(Debug)]
enum Reported {
    Notices(Vec<Arc<Encoded>>),
    /// With the time over which the clients spread their requests.
    Stale(ReportedModels, Option<u32>),
}

/// The read models that are stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReportedModels {
    /// These.
    Named(BTreeSet<Watched>),
    /// All, for this reason.
    All(&'static str),
}

/// The memory of all bursts that some stream has not taken yet.
#[derive(Clone, Debug)]
pub(super) struct BurstMemory {
    bytes: Arc<AtomicUsize>,
    /// How often a frame was encoded.
    encoded: Counter,
}

impl FeedLine {
    /// The line of a frame that no frame with the same cursor follows.
    pub fn of(frame: &Frame) -> Self {
        Self { text: encode(frame), cursor: Some(frame.cursor.clone()) }
    }
}

impl Burst {
    /// The frames of these notices, which are at most [`limits::NOTICES_PER_FLUSH`].
    pub(super) fn of_notices(notices: Vec<Arc<Encoded>>, cursor: &Cursor, memory: &BurstMemory) -> Self {
        Self::new(cursor.clone(), Reported::Notices(notices), memory)
    }

    /// One frame in place of many.
    pub(super) fn of_models(
        models: ReportedModels,
        cursor: &Cursor,
        spread_ms: Option<u32>,
        memory: &BurstMemory,
    ) -> Self {
        Self::new(cursor.clone(), Reported::Stale(models, spread_ms), memory)
    }

    fn new(cursor: Cursor, reported: Reported, memory: &BurstMemory) -> Self {
        let burst = Self {
            cursor,
            reported,
            lines: OnceLock::new(),
            websocket: OnceLock::new(),
            events: OnceLock::new(),
            memory: memory.clone(),
        };
        memory.bytes.fetch_add(burst.memory_bytes(), Ordering::Relaxed);
        burst
    }

    /// The frames.
    pub fn lines(&self) -> &[FeedLine] {
        &self.encoded().lines
    }

    fn encoded(&self) -> &Lines {
        self.lines.get_or_init(|| {
            let lines = self.encode();
            let text_bytes = lines.iter().map(|line| line.text.len() as u64).sum();
            self.memory.bytes.fetch_add(text_bytes as usize, Ordering::Relaxed);
            Lines { lines, text_bytes }
        })
    }

    fn encode(&self) -> Vec<FeedLine> {
        match &self.reported {
            Reported::Notices(notices) => {
                let last = notices.len().saturating_sub(1);
                let line = |(at, encoded): (usize, &Arc<Encoded>)| FeedLine {
                    text: encoded.text(&self.cursor, at < last),
                    cursor: (at == last).then(|| self.cursor.clone()),
                };
                notices.iter().enumerate().map(line).collect()
            }
            Reported::Stale(models, spread_ms) => {
                let kind = match models {
                    ReportedModels::Named(names) => {
                        FrameKind::Stale(Stale { read_models: names.iter().cloned().collect() })
                    }
                    ReportedModels::All(reason) => FrameKind::Resync(Resync { reason: (*reason).to_owned() }),
                };
                self.memory.encoded.inc();
                vec![FeedLine::of(&Frame { spread_ms: *spread_ms, ..Frame::new(kind, self.cursor.clone()) })]
            }
        }
    }

    /// The memory of the burst, in bytes: the notices or the names, the texts, and their bytes on each transport.
    fn memory_bytes(&self) -> usize {
        const BESIDE_A_TEXT: usize = 512;
        let texts = self.lines.get().map_or(0, |lines| lines.text_bytes as usize);
        let on_transports: usize =
            [&self.websocket, &self.events].map(|made| made.get().map_or(0, Bytes::len)).iter().sum();
        self.frames() as usize * BESIDE_A_TEXT + texts + on_transports
    }

    /// Contains the changes of these frames, and every change before them.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The bytes of the frames as this transport writes them, made by `frames` once for all its streams.
    pub fn wire(&self, transport: StreamTransportName, frames: impl FnOnce(&[FeedLine]) -> Bytes) -> Bytes {
        let made = match transport {
            StreamTransportName::WebSocket => &self.websocket,
            StreamTransportName::Events => &self.events,
        };
        let make = || {
            let bytes = frames(self.lines());
            self.memory.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
            bytes
        };
        made.get_or_init(make).clone()
    }

    /// The number of frames.
    pub(super) fn frames(&self) -> u64 {
        match &self.reported {
            Reported::Notices(notices) => notices.len() as u64,
            Reported::Stale(..) => 1,
        }
    }

    /// The bytes of their texts.
    pub(super) fn text_bytes(&self) -> u64 {
        self.encoded().text_bytes
    }

    /// The read models that the burst reports as stale.
    pub(super) fn models(&self) -> ReportedModels {
        match &self.reported {
            Reported::Notices(notices) => {
                ReportedModels::named(notices.iter().flat_map(|encoded| encoded.stale()).cloned().collect())
            }
            Reported::Stale(models, _) => models.clone(),
        }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.memory.bytes.fetch_sub(self.memory_bytes(), Ordering::Relaxed);
    }
}

impl ReportedModels {
    /// These read models, or all if they are too many for one frame.
    pub(super) fn named(names: BTreeSet<Watched>) -> Self {
        if names.len() > limits::WATCHED_READ_MODELS { Self::All(TOO_MUCH) } else { Self::Named(names) }
    }

    /// The read models of both.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Named(mut names), Self::Named(mut others)) => {
                names.append(&mut others);
                Self::named(names)
            }
            (Self::All(reason), _) | (_, Self::All(reason)) => Self::All(reason),
        }
    }
}

impl BurstMemory {
    /// No burst yet. `encoded` counts how often the frame of a burst is encoded.
    pub(super) fn new(encoded: Counter) -> Self {
        Self { bytes: Arc::default(), encoded }
    }

    /// Whether the bursts take more memory than they may.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > limits::BACKLOG_BYTES
    }
}
