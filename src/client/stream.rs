//! One stream, whichever way it comes: a task that reads it, a short queue of what it brought, a short queue of what to
//! send. Ends when dropped.
//!
//! The queues are short on purpose: a driver that does not keep up leaves the rest in the network, and the server,
//! which waits for nobody, merges it.

mod link;
mod sse;
mod ws;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::fetch::Target;
use crate::protocol::{Cursor, WatchFrame};
use link::Events;

pub(super) use link::{Closed, Event};

const QUEUE: usize = 64;

/// How the stream comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    WebSocket,
    Sse,
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
