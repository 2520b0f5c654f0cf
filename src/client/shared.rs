//! The engine and the store of one client, under one lock: the doors of the client and its driver both use them.
//!
//! A door calls the engine at once and wakes the driver, which performs the actions. So no queue of calls exists, and
//! the view after a call already shows its effect.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::project_known::ProjectKnown;
use super::shared_times::SharedTimes;
use super::source::Source;
use super::status_words;
use super::store::{Knowledge, NewBody, Removed, Store};
use crate::engine::{Engine, LossReason, Status};
use crate::protocol::{Cursor, Key};

/// The parts of a client that its clones, its handles and its driver share.
pub(super) struct Shared<S: Source> {
    pub(super) source: S,
    pub(super) times: SharedTimes,
    state: Mutex<ClientState<S>>,
    /// Wakes the driver after a call of the application.
    pub(super) wake: Notify,
    /// The application has ended the client.
    pub(super) ending: CancellationToken,
    /// The driver has ended, and with it the connection.
    pub(super) ended: CancellationToken,
}

/// The part under the lock.
pub(super) struct ClientState<S: Source> {
    pub(super) engine: Engine<S::Key>,
    pub(super) store: Store<S>,
    pub(super) project: ProjectKnown,
    /// Why the last connection ended, in words.
    pub(super) loss: Option<Arc<str>>,
    /// The loss of the engine that `loss` describes: since when, and why.
    described: Option<(Duration, LossReason)>,
    /// The cursor of the last message of the open stream.
    pub(super) last_cursor: Option<Cursor>,
    /// The last published status. None: the client has ended.
    status: Option<watch::Sender<ShownStatus>>,
}

/// What a client shows of its connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShownStatus {
    pub(super) connection: Status,
    pub(super) project_known: bool,
    pub(super) loss: Option<Arc<str>>,
}

/// The views that an input can have changed.
pub(super) enum Touched<'a, K> {
    /// These read models.
    Keys(&'a [K]),
    /// Every read model.
    All,
}

impl<'a, K> Touched<'a, K> {
    pub(super) fn one(key: &'a K) -> Self {
        Self::Keys(std::slice::from_ref(key))
    }
}

/// The state, locked. What left the store is dropped after the lock is released: its fields are dropped in this order.
pub(super) struct Locked<'a, S: Source> {
    state: MutexGuard<'a, ClientState<S>>,
    removed: Removed<S>,
}

impl<S: Source> Drop for Locked<'_, S> {
    fn drop(&mut self) {
        self.removed = self.state.store.take_removed();
    }
}

impl<S: Source> Deref for Locked<'_, S> {
    type Target = ClientState<S>;

    fn deref(&self) -> &ClientState<S> {
        &self.state
    }
}

impl<S: Source> DerefMut for Locked<'_, S> {
    fn deref_mut(&mut self) -> &mut ClientState<S> {
        &mut self.state
    }
}

impl<S: Source> Shared<S> {
    pub(super) fn new(source: S, engine: Engine<S::Key>) -> Self {
        let shown = ShownStatus { connection: Status::Connecting, project_known: true, loss: None };
        let state = ClientState {
            engine,
            store: Store::new(),
            project: ProjectKnown::default(),
            loss: None,
            described: None,
            last_cursor: None,
            status: Some(watch::Sender::new(shown)),
        };
        Self {
            source,
            times: SharedTimes::new(Clock::start()),
            state: Mutex::new(state),
            wake: Notify::new(),
            ending: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_, S> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { state, removed: Removed::default() }
    }

    /// Compares a body that came with the held one. The comparison can take long, so it holds no lock.
    pub(super) fn compared(&self, key: &S::Key, body: S::Body) -> NewBody<S> {
        let held = self.lock().store.body(key);
        NewBody { equal: held.filter(|held| **held == body), body: Arc::new(body) }
    }

    /// Runs one call of the application, publishes its effect, and wakes the driver. A client that has ended ignores
    /// the call.
    pub(super) fn call<R>(
        &self,
        touched: Touched<'_, S::Key>,
        call: impl FnOnce(&mut ClientState<S>, Duration) -> R,
    ) -> Option<R> {
        let now = self.times.clock.now();
        let mut state = self.lock();
        if state.store.has_ended() {
            return None;
        }
        let result = call(&mut state, now);
        state.publish(&self.source, touched, now);
        drop(state);
        self.wake.notify_one();
        Some(result)
    }

    /// Ends the client: every waiting call returns, and the driver closes the connection.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.store.end();
        state.status = None;
        drop(state);
        self.ending.cancel();
    }
}

impl<S: Source> ClientState<S> {
    /// Makes the changes of the engine visible.
    pub(super) fn publish(&mut self, source: &S, touched: Touched<'_, S::Key>, now: Duration) {
        // A new status can change the state of every view.
        let status_changed = self.publish_status();
        let views_changed = match touched {
            Touched::Keys(keys) if !status_changed => keys.iter().fold(false, |changed, key| {
                let known = knowledge(&self.engine, key, now);
                known.is_some_and(|known| self.store.publish(source, key, &known)) | changed
            }),
            Touched::Keys(_) | Touched::All => self.store.publish_all(source, |key| knowledge(&self.engine, key, now)),
        };
        if views_changed {
            self.store.note_change();
        }
    }

    /// Makes a new status visible, and its effect on the views. Does nothing if the status is the published one.
    pub(super) fn publish_status_change(&mut self, source: &S, now: Duration) {
        if self.publish_status() {
            self.store.publish_all(source, |key| knowledge(&self.engine, key, now));
            self.store.note_change();
        }
    }

    /// The state of the connection. A client that has ended shows the status of an application that wants none.
    pub(super) fn status(&self) -> Status {
        if self.store.has_ended() { Status::Disabled } else { self.engine.status() }
    }

    /// Returns a way to wait for a change of the status.
    pub(super) fn status_changes(&self) -> watch::Receiver<ShownStatus> {
        match &self.status {
            Some(status) => status.subscribe(),
            None => {
                let shown = ShownStatus { connection: Status::Disabled, project_known: true, loss: None };
                watch::channel(shown).1
            }
        }
    }

    /// The application wrote, and `key` shows what it wrote.
    pub(super) fn wrote(&mut self, key: &S::Key, cursor: &Cursor, now: Duration) {
        self.engine.wrote(key, cursor, now);
        if let Some(left_out) = self.store.left_out(key) {
            // The engine does not know that the body lacks changes. The write can be one of them.
            self.engine.left_out(key, &left_out, now);
        }
    }

    /// The driver knows in words why the connection ended.
    pub(super) fn note_loss(&mut self, text: String) {
        self.loss = Some(text.into());
        self.described = described_loss(&self.engine.status());
    }

    /// Describes a loss that the engine found by itself.
    fn follow_loss(&mut self, status: &Status) {
        let lost = described_loss(status);
        if let Some((_, reason)) = lost
            && lost != self.described
            && let Some(words) = status_words::found_by_the_engine(reason)
        {
            self.loss = Some(words.into());
            self.described = lost;
        }
    }

    fn publish_status(&mut self) -> bool {
        let connection = self.engine.status();
        self.follow_loss(&connection);
        let Some(status) = &self.status else { return false };
        let shown = ShownStatus { connection, project_known: self.project.0, loss: self.loss.clone() };
        status.send_if_modified(|old| {
            let changed = *old != shown;
            *old = shown;
            changed
        })
    }
}

/// Since when there is no stream, and why.
fn described_loss(status: &Status) -> Option<(Duration, LossReason)> {
    match status {
        Status::Reconnecting { since, reason, .. } => Some((*since, *reason)),
        _ => None,
    }
}

fn knowledge<'a, K: Key>(engine: &'a Engine<K>, key: &K, now: Duration) -> Option<Knowledge<'a>> {
    let held = engine.held(key, now)?;
    Some(Knowledge { held, true_at: engine.age(key, now).map(|age| now.saturating_sub(age)) })
}
