//! Bursts: the frames that some streams get in one go. Streams that get the same notices share one burst.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::flush::{Encoded, encode};
use crate::protocol::limits;
use crate::protocol::{Cursor, Frame, FrameKind, Resync, Stale, Watched};

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

/// The frames that some streams get for one flush.
#[derive(Debug)]
pub struct Burst {
    lines: Vec<FeedLine>,
    cursor: Cursor,
    reported: Reported,
    /// The bytes of the frames on a WebSocket.
    wire: OnceLock<Bytes>,
    bytes: usize,
    memory: BurstMemory,
}

/// The changes that a burst reports.
#[derive(Debug)]
enum Reported {
    Notices(Vec<Arc<Encoded>>),
    Stale(ReportedModels),
}

/// The read models that are stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReportedModels {
    /// These.
    Named(BTreeSet<Watched>),
    /// All, for this reason.
    All(&'static str),
}

/// The memory of all bursts that some stream has not taken yet, in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct BurstMemory(Arc<AtomicUsize>);

impl FeedLine {
    /// The line of a frame that no frame with the same cursor follows.
    pub fn of(frame: &Frame) -> Self {
        Self { text: encode(frame), cursor: Some(frame.cursor.clone()) }
    }
}

impl Burst {
    /// The frames of these notices, which are at most [`limits::NOTICES_PER_FLUSH`].
    pub(super) fn of_notices(notices: Vec<Arc<Encoded>>, cursor: &Cursor, memory: &BurstMemory) -> Self {
        let last = notices.len().saturating_sub(1);
        let line = |(at, encoded): (usize, &Arc<Encoded>)| FeedLine {
            text: encoded.text(cursor, at < last),
            cursor: (at == last).then(|| cursor.clone()),
        };
        let lines = notices.iter().enumerate().map(line).collect();
        Self::new(lines, cursor.clone(), Reported::Notices(notices), memory)
    }

    /// One frame in place of many.
    pub(super) fn of_models(
        models: ReportedModels,
        cursor: &Cursor,
        spread_ms: Option<u32>,
        memory: &BurstMemory,
    ) -> Self {
        let kind = match &models {
            ReportedModels::Named(names) => FrameKind::Stale(Stale { read_models: names.iter().cloned().collect() }),
            ReportedModels::All(reason) => FrameKind::Resync(Resync { reason: (*reason).to_owned() }),
        };
        let line = FeedLine::of(&Frame { spread_ms, ..Frame::new(kind, cursor.clone()) });
        Self::new(vec![line], cursor.clone(), Reported::Stale(models), memory)
    }

    fn new(lines: Vec<FeedLine>, cursor: Cursor, reported: Reported, memory: &BurstMemory) -> Self {
        // The texts, once more as bytes for a WebSocket, and the notices or the names.
        const BESIDE_A_TEXT: usize = 512;
        let bytes = lines.iter().map(|line| 2 * line.text.len() + BESIDE_A_TEXT).sum();
        memory.0.fetch_add(bytes, Ordering::Relaxed);
        Self { lines, cursor, reported, wire: OnceLock::new(), bytes, memory: memory.clone() }
    }

    /// The frames.
    pub fn lines(&self) -> &[FeedLine] {
        &self.lines
    }

    /// Contains the changes of these frames, and every change before them.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The bytes of the frames as one transport writes them, made by `frames` once for all streams.
    pub fn wire(&self, frames: impl FnOnce(&[FeedLine]) -> Bytes) -> Bytes {
        self.wire.get_or_init(|| frames(&self.lines)).clone()
    }

    /// The number of frames.
    pub(super) fn frames(&self) -> u64 {
        self.lines.len() as u64
    }

    /// The bytes of their texts.
    pub(super) fn text_bytes(&self) -> u64 {
        self.lines.iter().map(|line| line.text.len() as u64).sum()
    }

    /// The read models that the burst reports as stale.
    pub(super) fn models(&self) -> ReportedModels {
        match &self.reported {
            Reported::Notices(notices) => {
                ReportedModels::named(notices.iter().flat_map(|encoded| encoded.stale()).cloned().collect())
            }
            Reported::Stale(models) => models.clone(),
        }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
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
    /// Whether the bursts take more memory than they may.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) > limits::BACKLOG_BYTES
    }
}
