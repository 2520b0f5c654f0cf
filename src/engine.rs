//! The core without I/O: which read models are stale, when to fetch them again, and whether a stream is open.
//!
//! A driver hands an [`Engine`] each input (`handle_*`, `watch`, `unwatch`) together with the time, asks for the next
//! action with [`poll`](Engine::poll), and for the next deadline with [`poll_timeout`](Engine::poll_timeout). The
//! engine opens no connection, spawns no task, has no callbacks and reads no clock: a time is the span since any fixed
//! moment. So the same code runs natively, in a browser and in a simulation. Randomness comes from a seed.
//!
//! - `connection`: whether a stream is open, and when and how to connect again.
//! - `refetcher`: which answers are held, which are in doubt, and when each is fetched again.
//! - [`invalidation`]: the read models that each notice of the agent product makes stale. Of all modules it alone knows
//!   tasks.
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
//! use requery::engine::{ConnectionId, Engine, EngineAction, EngineSettings, Loss, Outcome, Signal, Status, Ticket, What};
//! use requery::protocol::{Cursor, ReadModel};
//!
//! /// The inputs for which a driver waits. This one takes them from a script; a real one takes them from a socket, from
//! /// answers of the server, and from the application.
//! enum Input {
//!     Connected(ConnectionId),
//!     Message(ConnectionId, Signal<ReadModel>),
//!     Ended(ConnectionId),
//!     Fetched(Ticket, Cursor),
//! }
//!
//! let cursor = Cursor::counter("epoch", 7);
//! let first = Signal { cursor: Some(cursor.clone()), more: false, spread_ms: None, what: What::Resync };
//! let mut inputs = VecDeque::new();
//! let mut now = Duration::ZERO; // A real driver reads a monotonic clock.
//!
//! let mut engine = Engine::new(EngineSettings::default(), Vec::new(), 1);
//! engine.watch(ReadModel::Overview, now);
//! loop {
//!     // Poll until no action is left ...
//!     while let Some(action) = engine.poll(now) {
//!         match action {
//!             EngineAction::Connect { id, since: _, transport: _ } => {
//!                 inputs.push_back(Input::Connected(id));
//!                 inputs.push_back(Input::Message(id, first.clone()));
//!             }
//!             EngineAction::Disconnect(_) | EngineAction::Narrow(..) | EngineAction::Cancel(_) => {}
//!             EngineAction::Fetch(fetch) => inputs.push_back(Input::Fetched(fetch.ticket, cursor.clone())),
//!         }
//!     }
//!     // ... then wait for the next input, at most until the deadline.
//!     let deadline = engine.poll_timeout();
//!     match inputs.pop_front() {
//!         Some(Input::Connected(id)) => engine.handle_connected(id, true, now),
//!         Some(Input::Message(id, message)) => {
//!             // The driver shows the bodies of the returned read models, which came with the message.
//!             let _carried = engine.handle_signal(id, &message, now);
//!         }
//!         Some(Input::Ended(id)) => engine.handle_disconnected(id, Loss::Ended, now),
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
//! assert_eq!(engine.held(&ReadModel::Overview, now).and_then(|held| held.cursor), Some(&cursor));
//! ```

mod connection;
mod explain;
mod fetch;
mod flat;
pub mod invalidation;
mod narrowing;
mod random;
mod refetcher;
mod settings;
mod signal;
mod status;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use connection::{ConnectionState, MessageOrder};
use flat::WatchedList;
use narrowing::Narrowing;
use random::Random;
use refetcher::{CursorAnswer, Mark, Refetcher, Scene, Urgency};
use settings::{Timing, earlier, from_ms, to_ms};

pub use explain::{Explanation, WaitsFor};
pub use fetch::{Fetch, FetchVerdict, Held, HeldState, Outcome, Ticket, Why};
pub use settings::EngineSettings;
pub use signal::{Signal, SignalKind, What};
pub use status::{CloseReason, ConnectionId, Loss, LossReason, Status};
pub use transport::Transport;

use crate::protocol::limits;
use crate::protocol::{Cursor, Key, Watched};

/// The rules of a client, for read models with the names `K`.
#[derive(Debug)]
pub struct Engine<K: Key> {
    settings: Arc<Timing>,
    connection: ConnectionState,
    refetcher: Refetcher<K>,
    narrowing: Narrowing<K>,
    /// The cursor that every answer must cover which is asked for from now on: the application's own writes.
    floor: Option<Cursor>,
}

/// The next step of a driver.
///
/// This enum is exhaustive on purpose: a driver that skips an action breaks the rules, so a new action has to be a
/// compile error in each driver.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineAction<K: Key> {
    /// Close this connection. The engine ignores messages that still come from it.
    Disconnect(ConnectionId),
    /// Open a stream, and pass this id with all its inputs.
    Connect {
        /// The name of the connection.
        id: ConnectionId,
        /// The cursor at which the stream continues, if any.
        since: Option<Cursor>,
        /// How the stream is carried.
        transport: Transport,
    },
    /// Ask on the stream for notices of these read models alone.
    Narrow(ConnectionId, Vec<Watched<K>>),
    /// Fetch a read model, and pass the outcome to [`Engine::handle_fetched`].
    Fetch(Fetch<K>),
    /// End this fetch: no screen waits for it. The engine ignores its outcome.
    Cancel(Ticket),
}

impl<K: Key> Engine<K> {
    /// An engine without watched read models that connects at the first poll.
    ///
    /// `carried` are the read models whose whole bodies the first message of a new stream has: they are not fetched
    /// while that message is expected.
    pub fn new(settings: EngineSettings, carried: Vec<K>, seed: u64) -> Self {
        let (mut random, settings) = (Random::new(seed), Arc::new(Timing::new(&settings)));
        Self {
            connection: ConnectionState::new(settings.clone(), random.split()),
            refetcher: Refetcher::new(settings.clone(), carried, random),
            narrowing: Narrowing::new(),
            settings,
            floor: None,
        }
    }

    /// The first stream continues at `cursor`, the [`resume_cursor`](Self::resume_cursor) of an earlier run.
    ///
    /// After the first [`poll`](Self::poll) this does nothing, and neither does [`restore`](Self::restore).
    pub fn resume_at(&mut self, cursor: &Cursor) {
        self.connection.resume_at(cursor);
    }

    /// The driver holds a body of `model` from an earlier run. It was asked for at `asked_at`, read at `cursor`, and fresh
    /// at the resume cursor of that run.
    pub fn restore(&mut self, model: K, cursor: &Cursor, asked_at: Duration, now: Duration) {
        if self.connection.is_new() {
            self.refetcher.restore(model, cursor, to_ms(asked_at), to_ms(now));
        }
    }

    /// The cursor at which the next stream continues: with the bodies that are fresh now, another run can begin there.
    pub fn resume_cursor(&self) -> Option<&Cursor> {
        self.connection.resume_cursor()
    }

    /// A screen shows `model` from now on.
    pub fn watch(&mut self, model: K, now: Duration) {
        let now = to_ms(now);
        self.narrowing.is_due = true;
        // Notices from before this watch were not applied to the model, so an answer must not be older than the last
        // message.
        let reported = self.narrowing.reports(&model);
        let least = self.connection.stream_cursor();
        self.refetcher.watch(model, least.filter(|_| reported), least, self.floor.as_ref(), now);
    }

    /// No screen shows `model` any more.
    pub fn unwatch(&mut self, model: &K, now: Duration) {
        let now = to_ms(now);
        self.narrowing.is_due = true;
        self.refetcher.unwatch(model, now);
    }

    /// The driver no longer holds the body of `model`. A read model that a screen shows stays.
    pub fn forget(&mut self, model: &K) {
        self.refetcher.forget(model);
    }

    /// A person asks for `model` anew.
    pub fn refresh(&mut self, model: &K, now: Duration) {
        let now = to_ms(now);
        let least = self.connection.stream_cursor();
        let mark = Mark { least, ..Mark::new(Why::Asked, None, self.connection.last_message_at()) };
        self.refetcher.mark(&Watched::One(model.clone()), &mark.with_urgency(Urgency::Wished), now);
    }

    /// The application wrote, and `model` shows what it wrote. `cursor` is the cursor of the write.
    ///
    /// Every answer that is asked for from now on must cover the write, also for read models that are watched later.
    pub fn wrote(&mut self, model: &K, cursor: &Cursor, now: Duration) {
        let now = to_ms(now);
        // An answer to a write can be late: its epoch has ended, and no answer can cover it.
        let least = self.connection.other_epoch(cursor);
        let cursor = Some(cursor).filter(|_| least.is_none());
        if let Some(cursor) = cursor {
            let joined = self.floor.as_ref().and_then(|floor| floor.joined(cursor));
            self.floor = Some(joined.unwrap_or_else(|| cursor.clone()));
        }
        let mark = Mark { least, ..Mark::new(Why::Asked, cursor, self.connection.last_message_at()) };
        self.refetcher.mark(&Watched::One(model.clone()), &mark.with_urgency(Urgency::Paced), now);
    }

    /// The stream reported changes of `model` up to `cursor` that the application left out, and now a screen needs them.
    ///
    /// The answer that is fetched covers `cursor`, whatever the engine holds.
    pub fn left_out(&mut self, model: &K, cursor: &Cursor, now: Duration) {
        let now = to_ms(now);
        let asked = Mark::new(Why::Asked, None, self.connection.last_message_at());
        let mark = Mark { least: Some(cursor), urgency: Urgency::Paced, ..asked };
        self.refetcher.mark(&Watched::One(model.clone()), &mark, now);
    }

    /// The stream is open. `duplex` is whether [`EngineAction::Narrow`] can be done on it.
    pub fn handle_connected(&mut self, id: ConnectionId, duplex: bool, now: Duration) {
        let now = to_ms(now);
        self.connection.handle_connected(id, duplex, now);
    }

    /// The stream ended, or could not be opened.
    pub fn handle_disconnected(&mut self, id: ConnectionId, loss: Loss, now: Duration) {
        let now = to_ms(now);
        self.connection.handle_disconnected(id, loss, now);
    }

    /// The stream brought a message. Returns the read models whose bodies came with it and are to be shown.
    pub fn handle_signal(&mut self, id: ConnectionId, signal: &Signal<K>, now: Duration) -> Vec<K> {
        let now = to_ms(now);
        let last_message_at = self.connection.last_message_at();
        let first = match self.connection.handle_message(id, now) {
            MessageOrder::OtherConnection => return Vec::new(),
            MessageOrder::First => true,
            MessageOrder::Later => false,
        };
        if first {
            self.narrowing.is_due = true;
            // The server is back: fetches that wait after a failure may run at once.
            self.refetcher.clear_backoff();
        }
        let cursor = signal.cursor.as_ref();
        let known_epoch = cursor.is_none_or(|cursor| self.connection.is_of_epoch(cursor));
        if let Some(cursor) = cursor {
            self.floor.take_if(|floor| floor.epoch() != cursor.epoch());
        }
        // The message is no earlier than the one before.
        let least = self.connection.stream_cursor().filter(|_| !first).cloned();
        let mark = Mark {
            least: least.as_ref(),
            spread: signal.spread_ms.map(u64::from),
            ..Mark::new(Why::Signal(signal.what.kind()), cursor, now)
        };
        let missed = Mark { behind: true, true_until: last_message_at, ..mark };
        let continued = match &signal.what {
            What::Resumed { stale, .. } if first => self.connection.since().map(|since| (since, stale)),
            _ => None,
        };
        if let Some((since, stale)) = continued {
            let listed = WatchedList::new(stale);
            self.refetcher.handle_resumed(since, &listed, &missed, now);
        } else if first || !known_epoch || signal.what.is_doubt() {
            // Doubt is resync, also if the stream does not begin as the contract says, or its epoch changed.
            self.refetcher.mark_all(&missed, now);
        } else if let What::Stale { places, .. } = &signal.what {
            for place in places {
                self.narrowing.handle_report(place);
                self.refetcher.mark(place, &mark, now);
            }
        }
        if first {
            // A new stream reports every change until it is narrowed.
            self.refetcher.add_all_to_stream();
        }
        let mut carried = Vec::new();
        match &signal.what {
            What::Snapshot { heartbeat_ms, carries } => {
                self.connection.handle_heartbeat_interval(*heartbeat_ms, now);
                let began_at = self.connection.began_at();
                for model in carries {
                    if cursor.is_some_and(|cursor| self.refetcher.handle_carried(model, cursor, began_at, now)) {
                        carried.push(model.clone());
                    }
                }
            }
            What::Resumed { heartbeat_ms, .. } => self.connection.handle_heartbeat_interval(*heartbeat_ms, now),
            What::Watching { confirmed } => {
                self.connection.handle_works(now);
                let (sent, confirmed) = self.narrowing.handle_watching(confirmed);
                self.refetcher.set_on_stream(sent, confirmed, &mark, now);
            }
            What::Closing { retry_ms } => self.connection.handle_closing(*retry_ms, now),
            What::Stale { .. } | What::Heartbeat | What::Resync | What::Unknown => {}
        }
        if let Some(cursor) = cursor {
            self.connection.handle_cursor(cursor, signal.more);
        }
        carried
    }

    /// A fetch ended. Returns whether to show the answer.
    pub fn handle_fetched(&mut self, ticket: Ticket, outcome: Outcome<'_>, now: Duration) -> FetchVerdict {
        let now = to_ms(now);
        let (cursor, absent) = match outcome {
            Outcome::Fresh(cursor) | Outcome::NotModified(cursor) => (cursor, false),
            Outcome::Gone(cursor) => (cursor, true),
            Outcome::Failed { retry_after } => {
                return self.refetcher.handle_fetched(ticket, Err(retry_after.map_or(0, to_ms)), now).0;
            }
        };
        self.connection.handle_answered(now);
        let (other_epoch, ended) = (self.connection.other_epoch(cursor), self.connection.has_ended(cursor));
        let answer = CursorAnswer { cursor, absent, other_epoch, ended };
        let (verdict, ends_epoch) = self.refetcher.handle_fetched(ticket, Ok(&answer), now);
        self.floor.take_if(|floor| ends_epoch && floor.epoch() != cursor.epoch());
        verdict
    }

    /// The screen is hidden: the engine collects notices and does not fetch.
    pub fn handle_hidden(&mut self) {
        self.refetcher.set_hidden(true);
    }

    /// The screen is visible again, or was brought to the front.
    pub fn handle_visible(&mut self, now: Duration) {
        let now = to_ms(now);
        self.refetcher.set_hidden(false);
        self.refetcher.end_waits_by_wish();
        self.connection.connect_at_once(now);
    }

    /// The device has no network.
    pub fn handle_offline(&mut self) {
        self.connection.handle_offline();
    }

    /// The device has network again.
    pub fn handle_online(&mut self, now: Duration) {
        let now = to_ms(now);
        self.connection.handle_online(now);
        self.refetcher.clear_backoff();
    }

    /// Replaces the stream by a new one at once. Also the way out of [`Status::Closed`] and [`Status::Disabled`].
    pub fn reconnect(&mut self, now: Duration) {
        let now = to_ms(now);
        self.connection.reconnect(now);
        self.refetcher.clear_backoff();
    }

    /// The application wants no connection and no fetches.
    pub fn disable(&mut self) {
        self.connection.disable();
    }

    /// The application wants connections and fetches again; also the way out of [`Status::Closed`].
    pub fn enable(&mut self, now: Duration) {
        let now = to_ms(now);
        self.connection.enable(now);
        self.refetcher.clear_backoff();
    }

    /// The next action. A driver polls until there is none.
    pub fn poll(&mut self, now: Duration) -> Option<EngineAction<K>> {
        let now = to_ms(now);
        if self.connection.is_up() && self.narrowing.deadline().is_some_and(|deadline| deadline <= now) {
            self.connection.handle_not_confirmed(now);
        }
        self.connection.handle_time(now);
        self.refetcher.handle_time(now);
        if let Some(id) = self.connection.poll_disconnect() {
            return Some(EngineAction::Disconnect(id));
        }
        let connect = self.connection.poll_connect(now);
        let (up, polling) = (self.connection.is_up(), self.connection.is_polling());
        let first_message_until = self.connection.first_message_until();
        self.refetcher.set_scene(Scene { up, polling, first_message_until });
        if let Some((id, since, transport)) = connect {
            self.narrowing = Narrowing::new();
            return Some(EngineAction::Connect { id, since, transport });
        }
        if self.narrowing.is_due
            && self.narrowing.deadline().is_none()
            && let Some(id) = self.connection.duplex()
        {
            let (wanted, deadline) = (self.wanted(), now + self.settings.patience);
            if let Some(sent) = self.narrowing.send(wanted, deadline) {
                return Some(EngineAction::Narrow(id, sent.entries()));
            }
        }
        if let Some(ticket) = self.refetcher.poll_cancel(self.connection.is_stopped(), now) {
            return Some(EngineAction::Cancel(ticket));
        }
        if self.connection.is_barred() {
            return None;
        }
        self.refetcher.poll(now).map(EngineAction::Fetch)
    }

    /// The time of the next [`poll`](Self::poll), unless an input comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let fetch = self.refetcher.poll_timeout(self.connection.is_barred());
        let narrowing = self.narrowing.deadline().filter(|_| self.connection.is_up());
        earlier(self.connection.poll_timeout(), earlier(fetch, narrowing)).map(from_ms)
    }

    /// The first time after `now` at which the state of a held answer changes by itself. Drivers that show states wait
    /// for it as well as for [`poll_timeout`](Self::poll_timeout).
    pub fn next_expiry(&self, now: Duration) -> Option<Duration> {
        let now = to_ms(now);
        self.connection.is_polling().then(|| self.refetcher.next_expiry(now)).flatten().map(from_ms)
    }

    /// The state of the connection to the server.
    pub fn status(&self) -> Status {
        self.connection.status(self.refetcher.is_behind(), self.refetcher.is_reached())
    }

    /// The state of `model`. None: it was never watched, or its last watch ended long ago.
    pub fn held(&self, model: &K, now: Duration) -> Option<Held<'_>> {
        let now = to_ms(now);
        self.refetcher.held(model, self.connection.is_up(), now)
    }

    /// The cursor that every answer must cover which is asked for from now on: the application's own writes. None: it
    /// wrote nothing in this epoch.
    pub fn floor(&self) -> Option<&Cursor> {
        self.floor.as_ref()
    }

    /// Why `model` is stale, since when, and what its next fetch waits for. None: it was never watched, or its last
    /// watch ended long ago.
    pub fn explain(&self, model: &K, now: Duration) -> Option<Explanation> {
        let all = match () {
            () if self.connection.is_stopped() => Some(WaitsFor::Enable),
            () if self.connection.is_barred() => Some(WaitsFor::Network),
            () => None,
        };
        let (doubt, waits_for) = self.refetcher.pending(model, all, to_ms(now))?;
        let stale = doubt.map(|doubt| (doubt.why, from_ms(doubt.since)));
        let need = doubt.and_then(|doubt| doubt.need.clone());
        let state = self.held(model, now).map(|held| held.state).unwrap_or_default();
        Some(Explanation { state, stale, need, waits_for })
    }

    /// How long ago the held answer for `model` was last known to be true.
    pub fn age(&self, model: &K, now: Duration) -> Option<Duration> {
        let now = to_ms(now);
        self.refetcher.true_at(model, self.connection.last_message_at()).map(|at| from_ms(now.saturating_sub(at)))
    }

    /// The list to which the stream should be narrowed.
    fn wanted(&self) -> WatchedList<K> {
        let many = self.refetcher.watched().count() > limits::WATCHED_READ_MODELS;
        let mut wanted = Vec::new();
        for model in self.refetcher.watched() {
            let group = model.group().filter(|_| many);
            wanted.push(group.map_or_else(|| Watched::One(model.clone()), Watched::Group));
        }
        WatchedList::new(&wanted)
    }
}
