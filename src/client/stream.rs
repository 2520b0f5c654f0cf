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

use super::fetch::ServerEndpoint;
use crate::protocol::{Cursor, WatchFrame};
use link::StreamSender;

pub(super) use link::{StreamEnd, StreamItem};

const STREAM_QUEUE: usize = 64;

/// How the stream comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamKind {
    WebSocket,
    Sse,
}

/// A stream that is open or being opened.
#[derive(Debug)]
pub(super) struct ServerStream {
    items: mpsc::Receiver<StreamItem>,
    outgoing: mpsc::Sender<WatchFrame>,
    _task: AbortOnDropHandle<()>,
}

impl ServerStream {
    pub(super) fn open(kind: StreamKind, endpoint: ServerEndpoint, since: Option<Cursor>) -> Self {
        let (sender, items) = mpsc::channel(STREAM_QUEUE);
        let (outgoing, to_send) = mpsc::channel(1);
        let task = async move {
            let items_out = StreamSender(sender.clone());
            let end = match kind {
                StreamKind::WebSocket => ws::run(endpoint, since, items_out, to_send).await,
                StreamKind::Sse => sse::run(endpoint, since, items_out).await,
            };
            // Nobody may listen any more.
            let _ = sender.send(StreamItem::Ended(end)).await;
        };
        Self { items, outgoing, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// What came next. After `Ended` nothing does.
    pub(super) async fn next(&mut self) -> Option<StreamItem> {
        self.items.recv().await
    }

    /// What came already.
    pub(super) fn ready(&mut self) -> Option<StreamItem> {
        self.items.try_recv().ok()
    }

    /// Sends `frame`, or says `false`: the server takes nothing.
    pub(super) fn send(&self, frame: WatchFrame) -> bool {
        self.outgoing.try_send(frame).is_ok()
    }
}
