//! The frames of this crate's server as signals for the engine.

use crate::engine::{Signal, What, Why, invalidation};
use crate::protocol::{FrameKind, Incoming, NoticeKind, ReadModel};

/// The part of a message that the engine needs.
pub fn signal(incoming: &Incoming) -> Signal<ReadModel> {
    let frame = match incoming {
        Incoming::Frame(frame) => frame,
        Incoming::Unknown(envelope) => {
            let cursor = envelope.cursor.clone();
            return Signal { cursor, more: envelope.more, spread_ms: envelope.spread_ms, what: What::Unknown };
        }
    };
    let what = match &frame.kind {
        FrameKind::Snapshot(snapshot) => {
            let carries = snapshot.first_screen().map(|_| ReadModel::Overview).into_iter().collect();
            What::Snapshot { heartbeat_ms: snapshot.heartbeat_ms, carries }
        }
        FrameKind::Resumed(resumed) => {
            What::Resumed { heartbeat_ms: resumed.heartbeat_ms, stale: resumed.stale.clone() }
        }
        FrameKind::Stale(stale) => What::Stale { kind: None, places: stale.read_models.clone() },
        FrameKind::Watching(watching) => What::Watching { confirmed: watching.read_models.clone() },
        FrameKind::Heartbeat(_) => What::Heartbeat,
        FrameKind::Resync(_) => What::Resync,
        FrameKind::Closing(closing) => What::Closing { retry_ms: closing.retry_ms },
        FrameKind::Notice(notice) => {
            let places = invalidation::stale(notice).collect();
            What::Stale { kind: Some(notice.notice_kind() as u16), places }
        }
    };
    Signal { cursor: Some(frame.cursor.clone()), more: frame.more, spread_ms: frame.spread_ms, what }
}

impl From<&Incoming> for Signal<ReadModel> {
    fn from(incoming: &Incoming) -> Self {
        signal(incoming)
    }
}

/// The text of the kind of notice with this number.
pub fn kind_name(kind: u16) -> &'static str {
    NoticeKind::ALL.get(usize::from(kind)).map_or("unknown", |kind| kind.as_str())
}

/// The reason of a fetch, in one word.
pub fn why_name(why: Why) -> &'static str {
    why.name(kind_name)
}
