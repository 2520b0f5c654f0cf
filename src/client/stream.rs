//! One stream from the server, over WebSocket or server-sent events: a task that reads it, a short queue of items that
//! arrived, and a short queue of messages to send. When the driver drops the stream, the task closes it.
//!
//! The queues are short on purpose. If the driver falls behind, later messages stay in the network. The server never
//! waits for a reader, so it merges them.

mod link;
mod sse;
mod ws;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fetch::ServerEndpoint;
use super::source::Source;
use crate::engine::Transport;
use crate::protocol::Cursor;
use link::{CLOSE_TIMEOUT, StreamSender};

pub(super) use link::{StreamEnd, StreamItem};

/// The number of items that may wait for the driver. When the queue is full, the stream's task stops to read.
pub(super) const STREAM_QUEUE: usize = 64;

/// A stream that is open or being opened.
pub(super) struct ServerStream<S: Source> {
    items: mpsc::Receiver<StreamItem<S>>,
    outgoing: mpsc::Sender<String>,
    task: JoinHandle<()>,
}

impl<S: Source> ServerStream<S> {
    pub(super) fn open(transport: Transport, source: S, endpoint: ServerEndpoint, since: Option<Cursor>) -> Self {
        let (sender, items) = mpsc::channel(STREAM_QUEUE);
        let (outgoing, to_send) = mpsc::channel(1);
        let task = async move {
            let items_out = StreamSender(sender.clone());
            let end = match transport {
                Transport::WebSocket => ws::run(source, endpoint, since, items_out, to_send).await,
                Transport::ServerSentEvents => sse::run(source, endpoint, since, items_out).await,
            };
            // The driver may have dropped the stream already. The end is then of no use.
            let _ = sender.send(StreamItem::Ended(end)).await;
        };
        Self { items, outgoing, task: tokio::spawn(task) }
    }

    /// Waits for the next item. `Ended` is the last one.
    pub(super) async fn next(&mut self) -> Option<StreamItem<S>> {
        self.items.recv().await
    }

    /// An item that has arrived already. Does not wait.
    pub(super) fn ready(&mut self) -> Option<StreamItem<S>> {
        self.items.try_recv().ok()
    }

    /// Queues a message for sending. Returns `false` if the previous message still waits because the server does not
    /// read, or if the stream cannot send.
    pub(super) fn send(&self, message: String) -> bool {
        self.outgoing.try_send(message).is_ok()
    }

    /// Closes the stream, and waits for a short time until the server has confirmed that.
    pub(super) async fn close(self) {
        let Self { items, outgoing, task } = self;
        drop((items, outgoing));
        let stopped = task.abort_handle();
        if timeout(CLOSE_TIMEOUT, task).await.is_err() {
            stopped.abort();
        }
    }
}
