//! The shapes that a stream and its two ways share: what a way hands on, why it ended, and its limits.
//!
//! A leaf: the ways import this file, never their parent.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::protocol::Incoming;

/// How long to wait for each step of opening, and for a message to be taken.
pub(in crate::client) const STREAM_STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// No message is larger: the first frame brings a page of tasks, all others are small.
pub(in crate::client) const MAX_STREAM_MESSAGE: usize = 4 * 1024 * 1024;

/// What a stream brought.
#[derive(Debug)]
pub(in crate::client) enum StreamItem {
    Connected { duplex: bool },
    Frame(Incoming),
    Ended(StreamEnd),
}

/// Why a stream ended.
#[derive(Debug)]
pub(in crate::client) enum StreamEnd {
    Lost(String),
    Refused(String),
    /// HTTP works, upgrades do not.
    NotUpgraded(String),
}

impl StreamEnd {
    pub(in crate::client) fn lost(reason: impl Display) -> Self {
        StreamEnd::Lost(reason.to_string())
    }
}

/// Where a stream hands on what comes. Says `false` once nobody listens.
#[derive(Clone, Debug)]
pub(in crate::client) struct StreamSender(pub(super) mpsc::Sender<StreamItem>);

impl StreamSender {
    pub(in crate::client) async fn connected(&self, duplex: bool) -> bool {
        self.0.send(StreamItem::Connected { duplex }).await.is_ok()
    }

    pub(in crate::client) async fn frame(&self, incoming: Incoming) -> bool {
        self.0.send(StreamItem::Frame(incoming)).await.is_ok()
    }
}

/// A message as a frame; what cannot be read is unknown, which the engine takes for "anything may have changed".
pub(in crate::client) fn frame_from_json(json: &[u8]) -> Incoming {
    serde_json::from_slice(json).unwrap_or(Incoming::Unknown(serde::de::IgnoredAny))
}
