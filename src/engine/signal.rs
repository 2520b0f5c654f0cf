//! The messages of a stream, as the engine takes them: the part of a frame that its rules need, for any domain.

use crate::protocol::{Cursor, Key, Watched};

/// A message of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal<K: Key> {
    /// The changes that the stream has reported up to and with this message. None: the message names no cursor.
    pub cursor: Option<Cursor>,
    /// More messages with the same cursor follow at once.
    pub more: bool,
    /// A fetch waits a random share of this many milliseconds.
    pub spread_ms: Option<u32>,
    /// What the message says.
    pub what: What<K>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum What<K: Key> {
    /// The stream starts afresh.
    Snapshot {
        /// Milliseconds between heartbeats.
        heartbeat_ms: u32,
        /// The read models whose whole body came with the message.
        carries: Vec<K>,
    },
    /// The stream continues: only these read models changed.
    Resumed {
        /// Milliseconds between heartbeats.
        heartbeat_ms: u32,
        /// The read models that changed.
        stale: Vec<Watched<K>>,
    },
    /// A change, or several changes.
    Stale {
        /// The number of the notice's kind in its domain. None: several notices were merged.
        kind: Option<u16>,
        /// The read models that the change makes stale.
        places: Vec<Watched<K>>,
    },
    /// The answer to the last request for notices of a list of read models.
    Watching {
        /// The read models of the list whose changes the stream reports from now on.
        confirmed: Vec<Watched<K>>,
    },
    /// The connection works.
    Heartbeat,
    /// Every watched read model is stale.
    Resync,
    /// The last message.
    Closing {
        /// The client reconnects after a random share of this many milliseconds.
        retry_ms: u32,
    },
    /// A kind of a later version, or a message that cannot be read.
    Unknown,
}

/// The kind of a message, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignalKind {
    /// [`What::Snapshot`].
    Snapshot,
    /// [`What::Resumed`].
    Resumed,
    /// [`What::Stale`] for several notices.
    Stale,
    /// [`What::Stale`] for one notice, with the number of its kind.
    Notice(u16),
    /// [`What::Watching`].
    Watching,
    /// [`What::Heartbeat`].
    Heartbeat,
    /// [`What::Resync`].
    Resync,
    /// [`What::Closing`].
    Closing,
    /// [`What::Unknown`].
    Unknown,
}

impl SignalKind {
    /// The text of the kind. `notice_name` names the kinds of notices of the domain.
    pub fn name<'a>(self, notice_name: impl FnOnce(u16) -> &'a str) -> &'a str {
        match self {
            SignalKind::Snapshot => "snapshot",
            SignalKind::Resumed => "resumed",
            SignalKind::Stale => "stale",
            SignalKind::Notice(kind) => notice_name(kind),
            SignalKind::Watching => "watching",
            SignalKind::Heartbeat => "heartbeat",
            SignalKind::Resync => "resync",
            SignalKind::Closing => "closing",
            SignalKind::Unknown => "unknown",
        }
    }
}

impl<K: Key> What<K> {
    /// Whether every read model may have changed.
    pub(super) fn is_doubt(&self) -> bool {
        match self {
            What::Snapshot { .. } | What::Resumed { .. } | What::Resync | What::Unknown => true,
            What::Stale { .. } | What::Watching { .. } | What::Heartbeat | What::Closing { .. } => false,
        }
    }

    /// The kind of this message.
    pub fn kind(&self) -> SignalKind {
        match self {
            What::Snapshot { .. } => SignalKind::Snapshot,
            What::Resumed { .. } => SignalKind::Resumed,
            What::Stale { kind: None, .. } => SignalKind::Stale,
            What::Stale { kind: Some(kind), .. } => SignalKind::Notice(*kind),
            What::Watching { .. } => SignalKind::Watching,
            What::Heartbeat => SignalKind::Heartbeat,
            What::Resync => SignalKind::Resync,
            What::Closing { .. } => SignalKind::Closing,
            What::Unknown => SignalKind::Unknown,
        }
    }
}
