//! One stream, whichever way it comes: a task that reads it, a short queue of what it brought, a short queue of what to
//! send. Ends when dropped.
//!
//! The queues are short on purpose: a driver that does not keep up leaves the rest in the network, and the server,
//! which waits for nobody, merges it.

mod sse;
mod ws;

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::fetch::Target;
use crate::protocol::{Cursor, Incoming, WatchFrame};

/// How long to wait for each step of opening, and for a message to be taken.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// No message is larger: the first frame brings a page of tasks, all others are small.
pub(super) const MAX_MESSAGE: usize = 4 * 1024 * 1024;

const QUEUE: usize = 64;

/// How the stream comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    WebSocket,
    Sse,
}

/// What a stream brought.
#[derive(Debug)]
pub(super) enum Event {
    Connected { duplex: bool },
    Message(Incoming),
    Closed(Closed),
}

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum Closed {
    Lost(String),
    Refused(String),
    /// HTTP works, upgrades do not.
    NotUpgraded(String),
}

impl Closed {
    pub(super) fn lost(why: impl Display) -> Self {
        Closed::Lost(why.to_string())
    }
}

/// Where a stream hands on what comes. Says `false` once nobody listens.
#[derive(Clone, Debug)]
pub(super) struct Events(mpsc::Sender<Event>);

impl Events {
    pub(super) async fn connected(&self, duplex: bool) -> bool {
        self.0.send(Event::Connected { duplex }).await.is_ok()
    }

    pub(super) async fn message(&self, incoming: Incoming) -> bool {
        self.0.send(Event::Message(incoming)).await.is_ok()
    }
}

/// A stream that is open or being opened.
#[derive(Debug)]
pub(super) struct Transport {
    events: mpsc::Receiver<Event>,
    outgoing: mpsc::Sender<WatchFrame>,
    _task: AbortOnDropHandle<()>,
}

impl Transport {
    pub(super) fn open(way: Way, target: Target, since: Option<Cursor>) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let (outgoing, to_send) = mpsc::channel(1);
        let task = async move {
            let handle = Events(sender.clone());
            let closed = match way {
                Way::WebSocket => ws::run(target, since, handle, to_send).await,
                Way::Sse => sse::run(target, since, handle).await,
            };
            // Nobody may listen any more.
            let _ = sender.send(Event::Closed(closed)).await;
        };
        Self { events, outgoing, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// What came next. After `Closed` nothing does.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// What came already.
    pub(super) fn ready(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Sends `frame`, or says `false`: the server takes nothing.
    pub(super) fn send(&self, frame: WatchFrame) -> bool {
        self.outgoing.try_send(frame).is_ok()
    }
}

/// A message as a frame; what cannot be read is unknown, which the engine takes for "anything may have changed".
pub(super) fn incoming(json: &[u8]) -> Incoming {
    serde_json::from_slice(json).unwrap_or(Incoming::Unknown(serde::de::IgnoredAny))
}
