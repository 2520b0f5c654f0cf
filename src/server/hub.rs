//! The hub: it receives all notices and broadcasts them to every stream.
//!
//! The hub merges the notices of a short window, encodes each notice once, and broadcasts it. No listener can delay the
//! hub: a listener that lags too far loses broadcasts, and its receiver reports the loss. The hub knows no database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::protocol::Cursor;
use crate::protocol::limits;
use crate::server::metrics::Metrics;

mod input;
pub use input::HubInput;

mod window;
pub use window::{Flushed, Merged, Window};

mod flush;
pub use flush::{Encoded, Flush, encode};

mod backlog;
use backlog::Backlog;
pub use backlog::Waiting;

/// A handle on the hub; clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    sender: broadcast::Sender<Arc<Broadcast>>,
    latest: Mutex<Cursor>,
    backlog: Mutex<Backlog>,
    metrics: Arc<Metrics>,
}

/// A message to every stream.
#[derive(Debug)]
pub enum Broadcast {
    /// The notices of one window.
    Flush(Arc<Waiting>),
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

impl Hub {
    /// A hub that has sent every change up to `cursor`.
    pub fn new(cursor: Cursor, metrics: Arc<Metrics>) -> Self {
        let (sender, _) = broadcast::channel(limits::FLUSHES_BEHIND);
        Self(Arc::new(Inner { sender, latest: Mutex::new(cursor), backlog: Mutex::default(), metrics }))
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

    fn flush(&self, flushed: Flushed) {
        let (merged, cursor) = match flushed {
            Flushed::Doubt { reason, cursor } => return self.resync(reason, cursor),
            Flushed::Notices { merged, cursor } => (merged, cursor),
        };
        self.0.metrics.flushes.inc();
        let flush = Flush::new(merged, cursor.clone());
        let waiting = self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner).add(flush, self.listeners());
        match waiting {
            Some(waiting) => {
                self.advance(&cursor);
                self.send(Broadcast::Flush(waiting));
            }
            None => self.resync("too much changed at once", cursor),
        }
    }

    fn resync(&self, reason: &'static str, cursor: Cursor) {
        self.advance(&cursor);
        self.send(Broadcast::Resync { reason, cursor });
    }

    fn advance(&self, cursor: &Cursor) {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cursor);
    }

    fn send(&self, broadcast: Broadcast) {
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
                hub.flush(flushed);
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
