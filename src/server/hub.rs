//! The hub: it receives all notices and broadcasts them to every stream.
//!
//! The hub merges the notices of a short window, encodes each notice once, and broadcasts it. No listener can delay the
//! hub: a listener that lags too far loses broadcasts, and its receiver reports the loss. The hub knows no database.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::engine::invalidation;
use crate::protocol::limits;
use crate::protocol::{Cursor, Frame, FrameKind, Notice, Watched};

mod input;
pub use input::HubInput;

mod window;
pub use window::{Flushed, Merged, Window};

/// A handle on the hub; clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    sender: broadcast::Sender<Arc<Broadcast>>,
    latest: Mutex<Cursor>,
}

/// A message to every stream.
#[derive(Debug)]
pub enum Broadcast {
    /// The notices of one window.
    Flush(Flush),
    /// Every read model is in doubt.
    Resync {
        /// The reason, for the client's log.
        reason: &'static str,
        /// Every answer from now on contains this cursor.
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
    /// Contains the changes of all these notices.
    pub cursor: Cursor,
}

/// A notice and its frame. The frame is encoded at most once for all streams.
#[derive(Debug)]
pub struct Encoded {
    /// The notice.
    pub notice: Notice,
    count: u32,
    stale: OnceLock<Box<[Watched]>>,
    last: OnceLock<Utf8Bytes>,
    more: OnceLock<Utf8Bytes>,
}

impl Encoded {
    /// The read models that the notice makes stale, computed once for all streams.
    pub fn stale(&self) -> &[Watched] {
        self.stale.get_or_init(|| invalidation::stale(&self.notice).collect())
    }

    /// The JSON of the frame. `more` says whether this stream gets more frames with the same cursor.
    pub fn text(&self, cursor: &Cursor, more: bool) -> Utf8Bytes {
        let text = if more { &self.more } else { &self.last };
        let encode = || {
            let kind = FrameKind::Notice(self.notice.clone());
            encode(&Frame { count: self.count, more, ..Frame::new(kind, cursor.clone()) })
        };
        text.get_or_init(encode).clone()
    }
}

/// The JSON of a frame.
pub fn encode(frame: &Frame) -> Utf8Bytes {
    // A frame holds only texts, numbers and lists, so encoding cannot fail.
    serde_json::to_string(frame).unwrap_or_default().into()
}

impl Hub {
    /// A hub that has sent every change up to `cursor`.
    pub fn new(cursor: Cursor) -> Self {
        let (sender, _) = broadcast::channel(limits::FLUSHES_BEHIND);
        Self(Arc::new(Inner { sender, latest: Mutex::new(cursor) }))
    }

    /// A listener that gets every broadcast from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Broadcast>> {
        self.0.sender.subscribe()
    }

    /// The cursor that contains every change sent so far.
    pub fn latest(&self) -> Cursor {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of listeners.
    pub fn listeners(&self) -> usize {
        self.0.sender.receiver_count()
    }

    /// Ends every stream: the server ends, or its database is away.
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
        // Sending fails only if there is no listener, and that is no error.
        let _ = self.0.sender.send(Arc::new(broadcast));
    }
}

/// Broadcasts the input, window by window, until the input ends or `shutdown`.
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
                    Some(input) => handle_input(&hub, &mut window, input, began.elapsed()),
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

fn handle_input(hub: &Hub, window: &mut Window, input: HubInput, now: Duration) {
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
            let encoded = |Merged { notice, count }| Encoded {
                notice,
                count,
                stale: OnceLock::new(),
                last: OnceLock::new(),
                more: OnceLock::new(),
            };
            Broadcast::Flush(Flush { notices: merged.into_iter().map(encoded).collect(), cursor })
        }
    }
}
