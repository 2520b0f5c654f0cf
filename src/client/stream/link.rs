//! The types and limits that both transports share: the items that a transport delivers, and the reasons for its end.
//!
//! The transports import this file and never their parent, so that no import runs in a circle.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::protocol::{Incoming, UnknownFrame};

/// The timeout of each step of opening a stream, and of sending one message.
pub(in crate::client) const STREAM_STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest accepted message, in bytes. The first frame holds a page of tasks, all others are small.
pub(in crate::client) const MAX_STREAM_MESSAGE: usize = 4 * 1024 * 1024;

/// An item that a transport delivers.
#[derive(Debug)]
pub(in crate::client) enum StreamItem {
    Connected { duplex: bool },
    Frame(Incoming),
    Ended(StreamEnd),
}

/// The reason for the end of a stream, with a text for the log.
#[derive(Debug)]
pub(in crate::client) enum StreamEnd {
    /// The connection failed, or the server closed it for a passing reason.
    Lost(String),
    /// The server rejects this client and would reject it again.
    Refused(String),
    /// HTTP works, but the upgrade to WebSocket does not.
    NotUpgraded(String),
}

impl StreamEnd {
    pub(in crate::client) fn lost(reason: impl Display) -> Self {
        StreamEnd::Lost(reason.to_string())
    }
}

/// The sending side of a transport. Its methods return `false` once the driver has dropped the stream.
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

/// Parses a message. A message that cannot be parsed becomes `Unknown`, which makes every read model stale.
pub(in crate::client) fn frame_from_json(json: &[u8]) -> Incoming {
    serde_json::from_slice(json).unwrap_or_else(|_| Incoming::Unknown(UnknownFrame::default()))
}
