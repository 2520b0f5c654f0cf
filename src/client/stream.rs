//! One stream from the server, over WebSocket or server-sent events: a task that reads it, a short queue of items that
//! arrived, and a short queue of frames to send. The stream ends when it is dropped.
//!
//! The queues are short on purpose. If the driver falls behind, later messages stay in the network. The server never
//! waits for a reader, so it merges them.

mod link;
mod sse;
mod ws;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::fetch::ServerEndpoint;
use crate::protocol::{Cursor, WatchFrame};
use link::StreamSender;

pub(super) use link::{StreamEnd, StreamItem};

/// The number of items that may wait for the driver. When the queue is full, the stream's task stops to read.
const STREAM_QUEUE: usize = 64;

/// The transport of a stream.
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
            // The driver may have dropped the stream already. The end is then of no use.
            let _ = sender.send(StreamItem::Ended(end)).await;
        };
        Self { items, outgoing, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// Waits for the next item. `Ended` is the last one.
    pub(super) async fn next(&mut self) -> Option<StreamItem> {
        self.items.recv().await
    }

    /// An item that has arrived already. Does not wait.
    pub(super) fn ready(&mut self) -> Option<StreamItem> {
        self.items.try_recv().ok()
    }

    /// Queues `frame` for sending. Returns `false` if the previous frame still waits because the server does not
    /// read, or if the stream cannot send.
    pub(super) fn send(&self, frame: WatchFrame) -> bool {
        self.outgoing.try_send(frame).is_ok()
    }
}
