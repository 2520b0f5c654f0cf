//! The shapes that a stream and its two ways share: what a way hands on, why it ended, and its limits.
//!
//! A leaf: the ways import this file, never their parent.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::protocol::Incoming;

/// How long to wait for each step of opening, and for a message to be taken.
pub(in crate::client) const PATIENCE: Duration = Duration::from_secs(10);
/// No message is larger: the first frame brings a page of tasks, all others are small.
pub(in crate::client) const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// What a stream brought.
#[derive(Debug)]
pub(in crate::client) enum Event {
    Connected { duplex: bool },
    Message(Incoming),
    Closed(Closed),
}

/// Why a stream ended.
#[derive(Debug)]
pub(in crate::client) enum Closed {
    Lost(String),
    Refused(String),
    /// HTTP works, upgrades do not.
    NotUpgraded(String),
}

impl Closed {
    pub(in crate::client) fn lost(why: impl Display) -> Self {
        Closed::Lost(why.to_string())
    }
}

/// Where a stream hands on what comes. Says `false` once nobody listens.
#[derive(Clone, Debug)]
pub(in crate::client) struct Events(pub(super) mpsc::Sender<Event>);

impl Events {
    pub(in crate::client) async fn connected(&self, duplex: bool) -> bool {
        self.0.send(Event::Connected { duplex }).await.is_ok()
    }

    pub(in crate::client) async fn message(&self, incoming: Incoming) -> bool {
        self.0.send(Event::Message(incoming)).await.is_ok()
    }
}

/// A message as a frame; what cannot be read is unknown, which the engine takes for "anything may have changed".
pub(in crate::client) fn incoming(json: &[u8]) -> Incoming {
    serde_json::from_slice(json).unwrap_or(Incoming::Unknown(serde::de::IgnoredAny))
}
