//! One notice of a flush, encoded at most once for all streams.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::window::Merged;
use crate::engine::invalidation;
use crate::protocol::{Cursor, Frame, FrameKind, Notice, Watched};

/// A notice and its frame. The frame is encoded at most once for all streams.
#[derive(Debug)]
pub struct Encoded {
    /// The notice.
    pub notice: Notice,
    count: u32,
    stale: Box<[Watched]>,
    spread_ms: OnceLock<u32>,
    last: OnceLock<Utf8Bytes>,
    more: OnceLock<Utf8Bytes>,
    encoded: Counter,
}

impl Encoded {
    /// The notice of some merged changes. `encoded` counts how often a frame is encoded.
    pub(super) fn new(merged: Merged, encoded: Counter) -> Self {
        let Merged { notice, count } = merged;
        Self {
            stale: invalidation::stale(&notice).collect(),
            notice,
            count,
            spread_ms: OnceLock::new(),
            last: OnceLock::new(),
            more: OnceLock::new(),
            encoded,
        }
    }

    /// The read models that the notice makes stale.
    pub fn stale(&self) -> &[Watched] {
        &self.stale
    }

    /// The time over which the clients spread their requests. Has to be set before the first frame is encoded.
    pub(super) fn spread_over(&self, spread_ms: u32) {
        let _ = self.spread_ms.set(spread_ms);
    }

    /// That time, if it was set.
    pub(super) fn spread_ms(&self) -> Option<u32> {
        self.spread_ms.get().copied()
    }

    /// The JSON of the frame. `more` says whether this stream gets more frames with the same cursor.
    pub fn text(&self, cursor: &Cursor, more: bool) -> Utf8Bytes {
        let text = if more { &self.more } else { &self.last };
        let encode = || {
            self.encoded.inc();
            let kind = FrameKind::Notice(self.notice.clone());
            encode(&Frame { count: self.count, more, spread_ms: self.spread_ms(), ..Frame::new(kind, cursor.clone()) })
        };
        text.get_or_init(encode).clone()
    }
}

/// The JSON of a frame.
pub fn encode(frame: &Frame) -> Utf8Bytes {
    // A frame holds only texts, numbers and lists, so encoding cannot fail.
    serde_json::to_string(frame).unwrap_or_default().into()
}
