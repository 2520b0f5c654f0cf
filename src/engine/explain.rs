//! Why a read model is stale, and what its next fetch waits for.

use std::time::Duration;

use super::refetcher::{HeldState, Pending, Why};
use super::{Cursor, Engine, Key};

/// The state of one read model, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// How far the held answer can be trusted.
    pub state: HeldState,
    /// Why the read model is stale, and since when. None: it is not stale.
    pub stale: Option<(Why, Duration)>,
    /// The cursor that an answer has to cover.
    pub need: Option<Cursor>,
    /// What the next fetch waits for.
    pub waits_for: WaitsFor,
}

/// What the next fetch of a read model waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A screen that shows the read model.
    Watch,
    /// The application, which disabled the engine, or a server that refused it.
    Enable,
    /// The network.
    Network,
    /// The screen, which is hidden.
    Visible,
    /// The answer of the fetch under way.
    Answer,
    /// The end of other fetches: the most are under way.
    Turn,
    /// The first message of the stream, which carries the read model, at most until this time.
    FirstMessage(Duration),
    /// The end of the notices, until this time.
    Quiet(Duration),
    /// The end of the time over which the server spreads its clients.
    Spread(Duration),
    /// The pace of fetches.
    Pace(Duration),
    /// The time after a failure.
    Retry(Duration),
    /// A change; or this time, at which the read model is fetched without one.
    Change(Option<Duration>),
}

impl<K: Key> Engine<K> {
    /// Why `model` is stale, since when, and what its next fetch waits for. None: it was never watched, or its last
    /// watch ended long ago.
    pub fn explain(&self, model: &K, now: Duration) -> Option<Explanation> {
        let polling = self.connection.is_polling();
        let (stale, need, pending) = self.refetcher.pending(model, polling)?;
        let expected = self.expected().filter(|(keys, until)| keys.contains(model) && *until > now);
        let waits_for = match pending {
            Pending::NotWatched => WaitsFor::Watch,
            Pending::Fetching => WaitsFor::Answer,
            _ if self.connection.is_without_network() => WaitsFor::Network,
            _ if self.connection.is_barred() => WaitsFor::Enable,
            _ if self.refetcher.is_hidden() => WaitsFor::Visible,
            Pending::Idle(next) if stale.is_none() => WaitsFor::Change(next),
            _ if let Some((_, until)) = expected => WaitsFor::FirstMessage(until),
            Pending::Debounce(at) if at > now => WaitsFor::Quiet(at),
            Pending::Spread(at) if at > now => WaitsFor::Spread(at),
            Pending::Pace(at) if at > now => WaitsFor::Pace(at),
            Pending::Retry(at) if at > now => WaitsFor::Retry(at),
            _ => WaitsFor::Turn,
        };
        let state = self.held(model, now).map(|held| held.state).unwrap_or_default();
        Some(Explanation { state, stale, need: need.cloned(), waits_for })
    }
}
