//! The core without I/O: which read models are stale, when to fetch them again, and whether a stream is open.
//!
//! A driver hands an [`Engine`] each input (`handle_*`, `watch`, `unwatch`) together with the time, asks for the next
//! action with [`poll`](Engine::poll), and for the next deadline with [`poll_timeout`](Engine::poll_timeout). The
//! engine opens no connection, spawns no task, has no callbacks and reads no clock: a time is the span since any fixed
//! moment. So the same code runs natively, in a browser and in a simulation. Randomness comes from a seed.
//!
//! - [`invalidation`]: the read models that each notice makes stale.
//! - [`connection`]: whether a stream is open, and when to connect again.
//! - [`refetcher`]: which answers are held, which are in doubt, and when each is fetched again. It knows no tasks.
//!
//! One rule holds all recovery together: in doubt, every watched read model is stale, because a repeated fetch is always
//! safe.
//!
//! # The driver's loop
//!
//! The one invariant of a driver: **after each input, and when the deadline passes, poll until no action is left; only
//! then wait.** A driver that waits earlier leaves an action undone until the next input.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::time::Duration;
//!
//! use requery::engine::{ConnectionId, Engine, EngineAction, EngineSettings, Loss, Outcome, Status, Ticket};
//! use requery::protocol::{Cursor, Frame, FrameKind, Incoming, ReadModel, Resync};
//!
//! /// The inputs for which a driver waits. This one takes them from a script; a real one takes them from a socket, from
//! /// answers of the server, and from the application.
//! enum Input {
//!     Connected(ConnectionId),
//!     Message(ConnectionId, Incoming),
//!     Ended(ConnectionId),
//!     Fetched(Ticket, Cursor),
//! }
//!
//! let cursor = Cursor::counter("epoch", 7);
//! let first_frame = Frame::new(FrameKind::Resync(Resync { reason: "example".to_owned() }), cursor.clone());
//! let mut inputs = VecDeque::new();
//! let mut now = Duration::ZERO; // A real driver reads a monotonic clock.
//!
//! let mut engine = Engine::new(EngineSettings::default(), 1);
//! engine.watch(ReadModel::Overview, now);
//! loop {
//!     // Poll until no action is left ...
//!     while let Some(action) = engine.poll(now) {
//!         match action {
//!             EngineAction::Connect { id, since: _ } => {
//!                 inputs.push_back(Input::Connected(id));
//!                 inputs.push_back(Input::Message(id, Incoming::Frame(first_frame.clone())));
//!             }
//!             EngineAction::Disconnect(_) | EngineAction::Send(..) => {}
//!             EngineAction::Fetch(fetch) => inputs.push_back(Input::Fetched(fetch.ticket, cursor.clone())),
//!         }
//!     }
//!     // ... then wait for the next input, at most until the deadline.
//!     let deadline = engine.poll_timeout();
//!     match inputs.pop_front() {
//!         Some(Input::Connected(id)) => engine.handle_connected(id, true, now),
//!         Some(Input::Message(id, message)) => engine.handle_frame(id, &message, now),
//!         Some(Input::Ended(id)) => engine.handle_disconnected(id, Loss::Lost, now),
//!         Some(Input::Fetched(ticket, cursor)) => {
//!             // `Keep`: show the body that came with it.
//!             let _verdict = engine.handle_fetched(ticket, Outcome::Fresh(&cursor), now);
//!         }
//!         None => match deadline {
//!             Some(deadline) if engine.status() != Status::Live => now = deadline,
//!             Some(_) | None => break, // The script ends here; a real driver sleeps until the deadline.
//!         },
//!     }
//! }
//! assert_eq!(engine.status(), Status::Live);
//! assert_eq!(engine.held(&ReadModel::Overview).and_then(|held| held.cursor), Some(&cursor));
//! ```

pub mod connection;
pub mod invalidation;
mod random;
pub mod refetcher;

use std::collections::BTreeSet;
use std::time::Duration;

use connection::{ConnectionState, FrameOrder};
use random::Random;
use refetcher::{Mark, Refetcher};

pub use connection::{ConnectionId, Loss, Status};
pub use refetcher::{Fetch, FetchVerdict, Held, Outcome, Ticket, Why};

use crate::protocol::limits;
use crate::protocol::{Cursor, FrameKind, Incoming, ReadModel, Watch, WatchFrame, Watched};

/// The rules of a client.
#[derive(Debug)]
pub struct Engine {
    connection: ConnectionState,
    refetcher: Refetcher<ReadModel>,
    /// The epoch of the stream's last frame.
    epoch: Option<Box<str>>,
    /// The server has rows of the project of the stream, or did not say otherwise.
    project_known: bool,
    /// The set of watched read models changed, or the stream does not have it yet.
    narrowing_due: bool,
}

/// The waits of a client. New fields come with new versions: take [`default`](Self::default) and change fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineSettings {
    /// A stale read model is fetched once no notice came for this long. Long enough for the notices of one write to
    /// gather, too short to be seen.
    pub quiet: Duration,
    /// A stale read model is fetched at the latest this long after the first notice: a steady stream of notices must
    /// still be shown.
    pub max_wait: Duration,
    /// Each watched read model is fetched this often without any notice, give or take a quarter. This bounds a loss that
    /// neither side can detect; a `304` each time costs little.
    pub safety: Duration,
    /// The longest wait after the first failure.
    pub backoff_first: Duration,
    /// The longest wait after any failure.
    pub backoff_most: Duration,
    /// A fetch without an answer for this long has failed. Longer than the timeout of a driver's requests, so that the
    /// driver reports first.
    pub fetch_timeout: Duration,
    /// How many fetches may be in flight at once; browsers open six connections to one host.
    pub parallel: usize,
    /// How many read models are remembered after the last unwatch, for a screen that comes back.
    pub remembered: usize,
    /// The longest time for a connection to open, for its first frame, and for the answer to `watch`.
    pub patience: Duration,
    /// A connection that lasted this long was stable: the wait after its loss starts short again.
    pub stable: Duration,
    /// The longest wait that a server can demand with `retry_ms`, `spread_ms` or `Retry-After`.
    pub longest_wait: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(50),
            max_wait: Duration::from_millis(500),
            safety: Duration::from_secs(60),
            backoff_first: Duration::from_millis(500),
            backoff_most: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(30),
            parallel: 6,
            remembered: 64,
            patience: Duration::from_secs(15),
            stable: Duration::from_secs(5),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// The next step of a driver.
///
/// This enum is exhaustive on purpose: a driver that skips an action breaks the rules, so a new action has to be a
/// compile error in each driver.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineAction {
    /// Close this connection. The engine ignores messages that still come from it.
    Disconnect(ConnectionId),
    /// Open a stream, and pass this id with all its inputs.
    Connect {
        /// The name of the connection.
        id: ConnectionId,
        /// The cursor at which the stream continues, if any.
        since: Option<Cursor>,
    },
    /// Send this message on the stream.
    Send(ConnectionId, WatchFrame),
    /// Fetch a read model, and pass the outcome to [`Engine::handle_fetched`].
    Fetch(Fetch<ReadModel>),
}

impl Engine {
    /// An engine without watched read models that connects at the first poll.
    pub fn new(settings: EngineSettings, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            connection: ConnectionState::new(settings.clone(), random.split()),
            refetcher: Refetcher::new(settings, random),
            epoch: None,
            project_known: true,
            narrowing_due: false,
        }
    }

    /// A screen shows `model` from now on.
    pub fn watch(&mut self, model: ReadModel, now: Duration) {
        self.narrowing_due = true;
        // Notices from before this watch were not applied to the model, so an answer must not be older than the last
        // frame.
        let last = self.connection.last_cursor().filter(|_| self.connection.sends_notices_of(&model)).cloned();
        self.refetcher.watch(model, last.as_ref(), now);
    }

    /// No screen shows `model` any more.
    pub fn unwatch(&mut self, model: &ReadModel, now: Duration) {
        self.narrowing_due = true;
        self.refetcher.unwatch(model, now);
    }

    /// The application wants a fetch of `model`: after its own write (with the cursor of that write), or because a person
    /// pressed a button.
    pub fn invalidate(&mut self, model: &ReadModel, cursor: Option<&Cursor>, now: Duration) {
        self.refetcher.mark(|key| key == model, Mark { at_once: true, ..Mark::new(Why::Asked, cursor) }, now);
    }

    /// The stream is open. `duplex` is whether [`EngineAction::Send`] can be done on it.
    pub fn handle_connected(&mut self, id: ConnectionId, duplex: bool, now: Duration) {
        self.connection.handle_connected(id, duplex, now);
    }

    /// The stream ended, or could not be opened.
    pub fn handle_disconnected(&mut self, id: ConnectionId, loss: Loss, now: Duration) {
        self.connection.handle_disconnected(id, loss, now);
    }

    /// The stream brought a message.
    pub fn handle_frame(&mut self, id: ConnectionId, incoming: &Incoming, now: Duration) {
        let first = match self.connection.handle_message(id, now) {
            FrameOrder::OtherConnection => return,
            FrameOrder::First => true,
            FrameOrder::Later => false,
        };
        if first {
            self.narrowing_due = true;
            // The server is back: fetches that wait after a failure may run at once.
            self.refetcher.clear_backoff();
        }
        let Incoming::Frame(frame) = incoming else {
            self.refetcher.mark(|_| true, Mark { behind: true, ..Mark::new(Why::Unknown, None) }, now);
            self.refetcher.add_to_stream(|_| first, None, now);
            return;
        };
        let cursor = &frame.cursor;
        let known_epoch = self.epoch.as_deref() == Some(cursor.epoch());
        self.epoch = Some(cursor.epoch().into());
        let mark = Mark {
            spread: frame.spread_ms.map(|ms| Duration::from_millis(ms.into())),
            ..Mark::new(Why::Frame(frame.kind.kind()), Some(cursor))
        };
        let missed = Mark { behind: true, ..mark };
        match &frame.kind {
            FrameKind::Resumed(resumed) if first => {
                let listed = |model: &ReadModel| resumed.stale.iter().any(|stale| stale.includes(model));
                match self.connection.since() {
                    Some(since) => self.refetcher.handle_resumed(since, listed, missed, now),
                    None => self.refetcher.mark(|_| true, missed, now),
                }
            }
            // Doubt is resync: the stream does not begin as the contract says, or its epoch changed.
            _ if first || !known_epoch => self.refetcher.mark(|_| true, missed, now),
            FrameKind::Snapshot(_) | FrameKind::Resumed(_) | FrameKind::Resync(_) => {
                self.refetcher.mark(|_| true, missed, now);
            }
            FrameKind::Notice(notice) => {
                for stale in invalidation::stale(notice) {
                    self.refetcher.mark(|model| stale.includes(model), mark, now);
                }
            }
            FrameKind::Stale(stale) => {
                self.refetcher.mark(|model| stale.read_models.iter().any(|stale| stale.includes(model)), mark, now);
            }
            FrameKind::Watching(_) | FrameKind::Heartbeat(_) | FrameKind::Closing(_) => {}
        }
        // A new stream sends notices for every read model until it is narrowed.
        self.refetcher.add_to_stream(|_| first, None, now);
        match &frame.kind {
            FrameKind::Snapshot(snapshot) => {
                self.project_known = snapshot.known;
                self.connection.handle_heartbeat_interval(snapshot.heartbeat_ms, now);
            }
            FrameKind::Resumed(resumed) => {
                self.project_known = resumed.known;
                self.connection.handle_heartbeat_interval(resumed.heartbeat_ms, now);
            }
            FrameKind::Watching(watching) => {
                self.connection.handle_watching();
                let sent = |model: &ReadModel| watching.read_models.iter().any(|sent| sent.includes(model));
                self.refetcher.add_to_stream(sent, Some(mark), now);
            }
            FrameKind::Closing(closing) => self.connection.handle_closing(closing.retry_ms, now),
            FrameKind::Notice(_) | FrameKind::Stale(_) => self.project_known = true,
            FrameKind::Heartbeat(_) | FrameKind::Resync(_) => {}
        }
        self.connection.handle_cursor(cursor, frame.more);
    }

    /// A fetch ended. Returns whether to show the answer.
    pub fn handle_fetched(&mut self, ticket: Ticket, outcome: Outcome<'_>, now: Duration) -> FetchVerdict {
        self.refetcher.handle_fetched(ticket, outcome, now)
    }

    /// The screen is hidden: the engine collects notices and does not fetch.
    pub fn handle_hidden(&mut self) {
        self.refetcher.set_hidden(true);
    }

    /// The screen is visible again, or was brought to the front.
    pub fn handle_visible(&mut self, now: Duration) {
        self.refetcher.set_hidden(false);
        self.connection.connect_at_once(now);
    }

    /// The device has no network.
    pub fn handle_offline(&mut self) {
        self.connection.handle_offline();
    }

    /// The device has network again.
    pub fn handle_online(&mut self, now: Duration) {
        self.connection.handle_online(now);
        self.refetcher.clear_backoff();
    }

    /// The application wants no connection and no fetches.
    pub fn disable(&mut self) {
        self.connection.disable();
    }

    /// The application wants connections and fetches again; also the way out of [`Status::Closed`].
    pub fn enable(&mut self, now: Duration) {
        self.connection.enable(now);
        self.refetcher.clear_backoff();
    }

    /// The next action. A driver polls until there is none.
    pub fn poll(&mut self, now: Duration) -> Option<EngineAction> {
        self.connection.handle_time(now);
        self.refetcher.handle_time(now);
        if let Some(id) = self.connection.poll_disconnect() {
            return Some(EngineAction::Disconnect(id));
        }
        if let Some((id, since)) = self.connection.poll_connect(now) {
            return Some(EngineAction::Connect { id, since });
        }
        if self.narrowing_due && self.connection.may_narrow() {
            self.narrowing_due = false;
            let watched = self.watched();
            if let Some(id) = self.connection.narrow(&watched, now) {
                // The stream stops sending notices for removed models at once, and begins for added ones when the
                // server confirms.
                self.refetcher.remove_from_stream(|model| !watched.iter().any(|one| one.includes(model)));
                let watch = Watch { read_models: watched.into_iter().collect() };
                return Some(EngineAction::Send(id, WatchFrame::Watch(watch)));
            }
        }
        if self.connection.is_barred() {
            return None;
        }
        self.refetcher.poll(now).map(EngineAction::Fetch)
    }

    /// The time of the next [`poll`](Self::poll), unless an input comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let fetch = self.refetcher.poll_timeout(self.connection.is_barred());
        [self.connection.poll_timeout(), fetch].into_iter().flatten().min()
    }

    /// The state of the connection to the server.
    pub fn status(&self) -> Status {
        self.connection.status(self.refetcher.is_behind())
    }

    /// Whether the server has rows of the project of the stream. False can mean that the name has a typing error.
    pub fn is_project_known(&self) -> bool {
        self.project_known
    }

    /// The state of `model`. None: it was never watched, or its last watch ended long ago.
    pub fn held(&self, model: &ReadModel) -> Option<Held<'_>> {
        self.refetcher.held(model)
    }

    /// How long ago the held answer for `model` was last known to be true.
    pub fn age(&self, model: &ReadModel, now: Duration) -> Option<Duration> {
        self.refetcher.true_at(model, self.connection.last_message_at()).map(|at| now.saturating_sub(at))
    }

    /// The set to which the stream should be narrowed.
    fn watched(&self) -> BTreeSet<Watched> {
        let watched: BTreeSet<Watched> = self.refetcher.watched().cloned().map(Watched::One).collect();
        if watched.len() <= limits::WATCHED_READ_MODELS {
            return watched;
        }
        let others = watched.into_iter().filter(|one| !matches!(one, Watched::One(ReadModel::Task(_))));
        others.chain([Watched::EveryTask]).collect()
    }
}
