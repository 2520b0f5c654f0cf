//! The core without I/O: which read models are stale, when to ask for them again, and whether we are connected.
//!
//! An [`Engine`] is handed what happened (`handle_*`, `watch`, `unwatch`) together with the time, and asked what to do
//! ([`poll`](Engine::poll)) and when to ask again ([`poll_timeout`](Engine::poll_timeout)). It opens nothing, spawns
//! nothing, calls nobody back and reads no clock: a time is the span since any fixed moment, so that the same code
//! runs natively, in a browser and in a simulation. Randomness comes from a seed.
//!
//! - [`invalidation`]: what each notice makes stale.
//! - [`connection`]: whether there is a stream, and when to try again.
//! - [`Refetcher`](refetcher): which answers are held, which are in doubt, and when each is asked for again. It knows
//!   nothing of tasks.
//!
//! One sentence holds all recovery together: when in doubt, everything watched is stale, because asking again is
//! always safe.

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

/// Keeps every rule that a client has to keep.
#[derive(Debug)]
pub struct Engine {
    connection: ConnectionState,
    refetcher: Refetcher<ReadModel>,
    /// The history that the stream spoke of last.
    epoch: Option<Box<str>>,
    /// What is watched changed, or the stream knows nothing of it yet.
    narrowing_due: bool,
}

/// How patient to be.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// A read model is asked for once no notice came for this long. Long enough for one write's notices to gather,
    /// too short to be seen.
    pub quiet: Duration,
    /// ... but not later than this after the first notice: a steady stream must still be shown.
    pub max_wait: Duration,
    /// Each read model that somebody watches is asked for this often whatever the stream says, give or take a
    /// quarter. Bounds a loss that nobody could detect; a `304` each time costs little.
    pub safety: Duration,
    /// The first failure is retried within this.
    pub backoff_first: Duration,
    /// No failure waits longer than this for the next try.
    pub backoff_most: Duration,
    /// A fetch without an answer has failed. Above what a driver gives its requests, so that it speaks first.
    pub fetch_timeout: Duration,
    /// How many fetches may be in flight at once; browsers open six connections to one host.
    pub parallel: usize,
    /// How many read models that nobody watches any more are remembered, for those who come back.
    pub remembered: usize,
    /// How long a try to connect, the first frame and the answer to `watch` may take.
    pub patience: Duration,
    /// A connection that lasted this long was a good one: the next loss starts with a short wait again.
    pub stable: Duration,
    /// No server may make us wait longer than this, whatever it says in `retry_ms`, `spread_ms` or `Retry-After`.
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

/// What a driver has to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineAction {
    /// Close this connection; nothing that still comes from it counts.
    Disconnect(ConnectionId),
    /// Open a stream, and say this id with whatever comes of it.
    Connect {
        /// Its name.
        id: ConnectionId,
        /// Where to continue.
        since: Option<Cursor>,
    },
    /// Send this on the stream.
    Send(ConnectionId, WatchFrame),
    /// Ask for a read model, and hand the outcome to [`Engine::handle_fetched`].
    Fetch(Fetch<ReadModel>),
}

impl Engine {
    /// Watches nothing and is about to connect.
    pub fn new(settings: EngineSettings, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            connection: ConnectionState::new(settings.clone(), random.split()),
            refetcher: Refetcher::new(settings, random),
            epoch: None,
            narrowing_due: false,
        }
    }

    /// Somebody looks at `model` from now on.
    pub fn watch(&mut self, model: ReadModel, now: Duration) {
        self.narrowing_due = true;
        // What the stream said before anybody looked was not heard: an answer has to be no older.
        let heard = self.connection.last_cursor().filter(|_| self.connection.sends_notices_of(&model)).cloned();
        self.refetcher.watch(model, heard.as_ref(), now);
    }

    /// Nobody looks at `model` any more.
    pub fn unwatch(&mut self, model: &ReadModel, now: Duration) {
        self.narrowing_due = true;
        self.refetcher.unwatch(model, now);
    }

    /// The application wants `model` asked for: its own write changed it (then with the cursor of that write), or a
    /// person pressed a button.
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
        let heard = self.connection.handle_message(id, now);
        let first = match heard {
            FrameOrder::OtherConnection => return,
            FrameOrder::First => true,
            FrameOrder::Later => false,
        };
        if first {
            self.narrowing_due = true;
            // The server is there: whoever waits after a failure may try again.
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
            // Doubt is resync: a stream that does not begin as it should, or another history all of a sudden.
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
        // A new stream speaks of everything until it is narrowed.
        self.refetcher.add_to_stream(|_| first, None, now);
        match &frame.kind {
            FrameKind::Snapshot(snapshot) => self.connection.handle_heartbeat_interval(snapshot.heartbeat_ms, now),
            FrameKind::Resumed(resumed) => self.connection.handle_heartbeat_interval(resumed.heartbeat_ms, now),
            FrameKind::Watching(watching) => {
                self.connection.handle_watching();
                let sent = |model: &ReadModel| watching.read_models.iter().any(|sent| sent.includes(model));
                self.refetcher.add_to_stream(sent, Some(mark), now);
            }
            FrameKind::Closing(closing) => self.connection.handle_closing(closing.retry_ms, now),
            FrameKind::Notice(_) | FrameKind::Stale(_) | FrameKind::Heartbeat(_) | FrameKind::Resync(_) => {}
        }
        self.connection.handle_cursor(cursor, frame.more);
    }

    /// A fetch ended. Says whether what it brought is to be shown.
    pub fn handle_fetched(&mut self, ticket: Ticket, outcome: Outcome<'_>, now: Duration) -> FetchVerdict {
        self.refetcher.handle_fetched(ticket, outcome, now)
    }

    /// Nobody can see the screen: collect, but do not fetch.
    pub fn handle_hidden(&mut self) {
        self.refetcher.set_hidden(true);
    }

    /// The screen is seen (again), or was brought to the front.
    pub fn handle_visible(&mut self, now: Duration) {
        self.refetcher.set_hidden(false);
        self.connection.connect_at_once(now);
    }

    /// The device has no network.
    pub fn handle_offline(&mut self) {
        self.connection.handle_offline();
    }

    /// The device has network (again).
    pub fn handle_online(&mut self, now: Duration) {
        self.connection.handle_online(now);
        self.refetcher.clear_backoff();
    }

    /// The application wants no connection and no fetches.
    pub fn disable(&mut self) {
        self.connection.disable();
    }

    /// The application wants them again; also the way out of [`Status::Closed`].
    pub fn enable(&mut self, now: Duration) {
        self.connection.enable(now);
        self.refetcher.clear_backoff();
    }

    /// What to do now; to be asked until there is nothing more.
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
                // What is left out is not spoken of any more; what is added is once the server says so.
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

    /// When to ask [`poll`](Self::poll) again if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let fetch = self.refetcher.poll_timeout(self.connection.is_barred());
        [self.connection.poll_timeout(), fetch].into_iter().flatten().min()
    }

    /// How things stand with the server.
    pub fn status(&self) -> Status {
        self.connection.status(self.refetcher.is_behind())
    }

    /// What is known of `model`; nothing if nobody ever watched it, or that was long ago.
    pub fn held(&self, model: &ReadModel) -> Option<Held<'_>> {
        self.refetcher.held(model)
    }

    /// How long ago what is held of `model` was last known to be true.
    pub fn age(&self, model: &ReadModel, now: Duration) -> Option<Duration> {
        self.refetcher.true_at(model, self.connection.last_message_at()).map(|at| now.saturating_sub(at))
    }

    /// What the stream should be narrowed to.
    fn watched(&self) -> BTreeSet<Watched> {
        let watched: BTreeSet<Watched> = self.refetcher.watched().cloned().map(Watched::One).collect();
        if watched.len() <= limits::WATCHED_READ_MODELS {
            return watched;
        }
        let others = watched.into_iter().filter(|one| !matches!(one, Watched::One(ReadModel::Task(_))));
        others.chain([Watched::EveryTask]).collect()
    }
}
