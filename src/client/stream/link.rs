//! The types and limits that both transports share: the items that a transport delivers, and the reasons for its end.
//!
//! The transports import this file and never their parent, so that no import runs in a circle.

use std::error::Error;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::client::error_text;
use crate::client::source::{Message, Source};
use crate::engine::Loss;

/// The timeout of each step of opening a stream, and of sending one message.
pub(in crate::client) const STREAM_STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for the end of a stream that the client closes. A server that works answers within a round trip.
pub(in crate::client) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest accepted message, in bytes. The first frame holds a page of tasks, all others are small.
pub(in crate::client) const MAX_STREAM_MESSAGE: usize = 4 * 1024 * 1024;

/// An item that a transport delivers.
pub(in crate::client) enum StreamItem<S: Source> {
    Connected { duplex: bool },
    Message(Message<S>),
    Ended(StreamEnd),
}

/// The end of a stream.
#[derive(Debug)]
pub(in crate::client) struct StreamEnd {
    /// The kind of the end, for the engine.
    pub(in crate::client) loss: Loss,
    /// The reason in words, with its causes.
    pub(in crate::client) text: String,
}

impl StreamEnd {
    /// The stream failed or ended.
    pub(in crate::client) fn ended(text: impl Into<String>) -> Self {
        Self { loss: Loss::Ended, text: text.into() }
    }

    /// The stream ended with this error.
    pub(in crate::client) fn failed(error: &(dyn Error + 'static)) -> Self {
        Self::ended(error_text::with_causes(error))
    }

    /// No connection to the server could be made.
    pub(in crate::client) fn not_reached(text: impl Into<String>) -> Self {
        Self { loss: Loss::NotReached, text: text.into() }
    }

    /// The server answered the request for a stream with this status.
    pub(in crate::client) fn by_status(status: reqwest::StatusCode, retry_after: Option<Duration>) -> Self {
        let text = format!("the server answered {status}");
        let loss = match status.as_u16() {
            401 | 403 => Loss::Refused(status.to_string()),
            // The server itself answers so when it is full. Another transport would not help.
            429 | 503 => Loss::Busy { retry_after },
            _ => Loss::Ended,
        };
        Self { loss, text }
    }

    /// The driver wants no more of this stream.
    pub(in crate::client) fn unwanted() -> Self {
        Self::ended("the client ended the stream")
    }
}

/// The sending side of a transport. Its methods return `false` once the driver has dropped the stream.
pub(in crate::client) struct StreamSender<S: Source>(pub(super) mpsc::Sender<StreamItem<S>>);

impl<S: Source> StreamSender<S> {
    pub(in crate::client) async fn connected(&self, duplex: bool) -> bool {
        self.0.send(StreamItem::Connected { duplex }).await.is_ok()
    }

    pub(in crate::client) async fn message(&self, message: Message<S>) -> bool {
        self.0.send(StreamItem::Message(message)).await.is_ok()
    }

    /// Waits until the driver has dropped the stream.
    pub(in crate::client) async fn unwanted(&self) {
        self.0.closed().await;
    }
}
