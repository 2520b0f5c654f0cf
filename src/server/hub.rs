//! The hub: one place where all notices pass, and every stream listens.
//!
//! It merges what the tail of the log hands on for a short window, encodes each notice once, and broadcasts. Nobody it
//! sends to can hold it up: a listener that lags loses its place and is told so, never silently. It knows no database.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::protocol::{Cursor, Frame, FrameKind, Notice};

mod input;
pub use input::HubInput;

mod window;
pub use window::{Flushed, Merged, Window};

/// How many flushes a listener may lag behind: ten seconds of the narrowest window. What they hold is shared, so a
/// slow listener costs nothing but its own place.
const BACKLOG: usize = 256;

/// A handle on the hub; clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    sender: broadcast::Sender<Arc<Broadcast>>,
    latest: Mutex<Cursor>,
}

/// What every stream hears.
#[derive(Debug)]
pub enum Broadcast {
    /// The notices of one window.
    Flush(Flush),
    /// Everything is in doubt.
    Resync {
        /// Why.
        reason: &'static str,
        /// What everything asked for from now on contains.
        cursor: Cursor,
    },
    /// The server ends, or its database is away.
    Closing,
}

/// The notices of one window.
#[derive(Debug)]
pub struct Flush {
    /// At most one for each kind and task.
    pub notices: Vec<Encoded>,
    /// Contains all of them.
    pub cursor: Cursor,
}

/// A notice and its frame, encoded at most once whoever gets it.
#[derive(Debug)]
pub struct Encoded {
    /// The notice.
    pub notice: Notice,
    count: u32,
    last: OnceLock<Utf8Bytes>,
    more: OnceLock<Utf8Bytes>,
}

impl Encoded {
    /// The frame's text, for a stream to which `more` frames with the same cursor follow or not.
    pub fn text(&self, cursor: &Cursor, more: bool) -> Utf8Bytes {
        let text = if more { &self.more } else { &self.last };
        let encode = || {
            let kind = FrameKind::Notice(self.notice.clone());
            encode(&Frame { count: self.count, more, ..Frame::new(kind, cursor.clone()) })
        };
        text.get_or_init(encode).clone()
    }
}

/// A frame's text.
pub fn encode(frame: &Frame) -> Utf8Bytes {
    // Frames hold text, numbers and lists of them: there is nothing JSON could refuse.
    serde_json::to_string(frame).unwrap_or_default().into()
}

impl Hub {
    /// A hub that has sent everything up to `cursor`.
    pub fn new(cursor: Cursor) -> Self {
        let (sender, _) = broadcast::channel(BACKLOG);
        Self(Arc::new(Inner { sender, latest: Mutex::new(cursor) }))
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Broadcast>> {
        self.0.sender.subscribe()
    }

    /// Contains everything sent so far.
    pub fn latest(&self) -> Cursor {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.sender.receiver_count()
    }

    /// Tells every listener that this is the end.
    pub fn close(&self) {
        self.send(Broadcast::Closing);
    }

    fn send(&self, broadcast: Broadcast) {
        let cursor = match &broadcast {
            Broadcast::Flush(flush) => Some(&flush.cursor),
            Broadcast::Resync { cursor, .. } => Some(cursor),
            Broadcast::Closing => None,
        };
        if let Some(cursor) = cursor {
            self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cursor);
        }
        // Nobody listening is no error.
        let _ = self.0.sender.send(Arc::new(broadcast));
    }
}

/// Sends on what comes in, window by window, until the input ends or `shutdown`.
pub async fn run(hub: Hub, mut inputs: mpsc::Receiver<HubInput>, base: Duration, shutdown: CancellationToken) {
    let began = Instant::now();
    let mut window = Window::new(base);
    let ended = shutdown.run_until_cancelled(async {
        loop {
            let due = window.poll_timeout().map(|due| began + due);
            let flush = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = flush => {}
                input = inputs.recv() => match input {
                    Some(input) => take(&hub, &mut window, input, began.elapsed()),
                    None => return,
                },
            }
            if let Some(flushed) = window.poll_flush(began.elapsed(), hub.listeners()) {
                hub.send(broadcast(flushed));
            }
        }
    });
    ended.await;
}

fn take(hub: &Hub, window: &mut Window, input: HubInput, now: Duration) {
    match input {
        HubInput::Notices(notices) => window.handle_notices(notices, now),
        HubInput::Complete(cursor) => window.handle_complete(cursor),
        HubInput::Doubt { reason, cursor } => window.handle_doubt(reason, cursor, now),
        HubInput::DatabaseAway => {
            window.clear();
            hub.close();
        }
    }
}

fn broadcast(flushed: Flushed) -> Broadcast {
    match flushed {
        Flushed::Doubt { reason, cursor } => Broadcast::Resync { reason, cursor },
        Flushed::Notices { merged, cursor } => {
            let encoded =
                |Merged { notice, count }| Encoded { notice, count, last: OnceLock::new(), more: OnceLock::new() };
            Broadcast::Flush(Flush { notices: merged.into_iter().map(encoded).collect(), cursor })
        }
    }
}
