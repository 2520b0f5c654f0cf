//! Which answers are held, which are in doubt, and when each read model is fetched again.
//!
//! The module is generic over the key of a read model: it knows no tasks. It deliberately lacks bodies, which the
//! driver's store keeps, and the connection: the engine translates frames into calls.

mod slot;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use slot::Slot;

use super::EngineSettings;
use super::random::Random;
use crate::protocol::Cursor;

/// Fetches each read model that is stale and watched: debounced, one fetch at a time for each, until one succeeds.
#[derive(Debug)]
pub struct Refetcher<K> {
    settings: EngineSettings,
    random: Random,
    slots: BTreeMap<K, Slot>,
    hidden: bool,
    tickets: u64,
}

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetch<K> {
    /// The id of this fetch, which the driver passes back with the outcome.
    pub ticket: Ticket,
    /// The read model to fetch.
    pub model: K,
    /// The cursor that the answer must cover, for `Requery-At-Least`. Present after an answer that did not cover it.
    pub at_least: Option<Cursor>,
    /// The last reason why the model is stale.
    pub why: Why,
}

/// The id of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Why a read model is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A screen began to show it.
    Watched,
    /// A frame of this kind came.
    Frame(&'static str),
    /// A message of an unknown kind came.
    Unknown,
    /// The last fetch is long ago.
    Safety,
    /// The application asked for it.
    Asked,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Watched => "watched",
            Why::Frame(kind) => kind,
            Why::Unknown => "unknown",
            Why::Safety => "safety",
            Why::Asked => "asked",
        })
    }
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// A body came; it was read at this cursor.
    Fresh(&'a Cursor),
    /// The held body is right at this cursor.
    NotModified(&'a Cursor),
    /// The read model does not exist, or no longer.
    Gone(Option<&'a Cursor>),
    /// No usable answer came.
    Failed {
        /// The wait that the server demands, if any.
        retry_after: Option<Duration>,
    },
}

/// Whether to show the answer of a fetch.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchVerdict {
    /// Show the answer.
    Keep,
    /// Discard the answer: it is older than the shown one, or its fetch was given up.
    Drop,
}

/// The state of a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held<'a> {
    /// The cursor of the held answer.
    pub cursor: Option<&'a Cursor>,
    /// A screen shows it.
    pub watched: bool,
    /// The held answer may be outdated.
    pub stale: bool,
    /// A fetch is under way.
    pub in_flight: bool,
    /// The read model does not exist, or no longer.
    pub absent: bool,
    /// How many fetches failed since the last success.
    pub failures: u32,
    /// The reason of the last fetch.
    pub why: Option<Why>,
    /// When the held answer came.
    pub taken_at: Option<Duration>,
}

/// A reason to take a read model for stale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark<'a> {
    pub(super) why: Why,
    /// The cursor that an answer has to cover; none if unknown.
    pub(super) cursor: Option<&'a Cursor>,
    /// Fetch after a random share of this.
    pub(super) spread: Option<Duration>,
    /// Fetch without debounce: a person waits for the answer.
    pub(super) at_once: bool,
    /// The change happened while this client was not connected.
    pub(super) behind: bool,
}

impl<'a> Mark<'a> {
    pub(super) fn new(why: Why, cursor: Option<&'a Cursor>) -> Self {
        Self { why, cursor, spread: None, at_once: false, behind: false }
    }
}

impl<K: Clone + Ord> Refetcher<K> {
    pub(super) fn new(settings: EngineSettings, random: Random) -> Self {
        Self { settings, random, slots: BTreeMap::new(), hidden: false, tickets: 0 }
    }

    /// `stream_cursor` is the cursor of the last frame, if the stream already sends notices for `key`.
    pub(super) fn watch(&mut self, key: K, stream_cursor: Option<&Cursor>, now: Duration) {
        let slot = self.slots.entry(key).or_default();
        slot.watched = true;
        // Without notices for it, the model may have changed since the last fetch.
        if stream_cursor.is_none() || !slot.on_stream || !slot.is_held() {
            slot.mark(Mark { at_once: true, ..Mark::new(Why::Watched, stream_cursor) }, None, &self.settings, now);
            slot.on_stream = stream_cursor.is_some();
        }
    }

    pub(super) fn unwatch(&mut self, key: &K, now: Duration) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.watched = false;
        slot.unwatched_at = now;
        let idle = || self.slots.iter().filter(|(_, slot)| !slot.watched);
        if idle().count() > self.settings.remembered {
            let oldest = idle().min_by_key(|(_, slot)| slot.unwatched_at).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.slots.remove(&key));
        }
    }

    pub(super) fn watched(&self) -> impl Iterator<Item = &K> {
        self.slots.iter().filter(|(_, slot)| slot.watched).map(|(key, _)| key)
    }

    /// The read models of `which` may have changed. A held answer that covers `mark.cursor` stays as it is.
    pub(super) fn mark(&mut self, which: impl Fn(&K) -> bool, mark: Mark<'_>, now: Duration) {
        for (_, slot) in self.slots.iter_mut().filter(|(key, _)| which(key)) {
            let wait = mark.spread.map(|spread| self.random.share(spread.min(self.settings.longest_wait)));
            slot.mark(mark, wait, &self.settings, now);
        }
    }

    /// The stream resumed at `since`: read models that it does not list have not changed up to `mark.cursor`.
    pub(super) fn handle_resumed(
        &mut self,
        since: &Cursor,
        listed: impl Fn(&K) -> bool,
        mark: Mark<'_>,
        now: Duration,
    ) {
        for (key, slot) in &mut self.slots {
            let safety_at = now + self.random.about(self.settings.safety);
            if listed(key) || !slot.adopt_resumed(since, mark, safety_at) {
                let wait = mark.spread.map(|spread| self.random.share(spread.min(self.settings.longest_wait)));
                slot.mark(mark, wait, &self.settings, now);
            }
        }
    }

    /// The stream sends notices for the read models of `which` from now on. A model that was not on the stream before may
    /// have changed up to `mark.cursor`.
    pub(super) fn add_to_stream(&mut self, which: impl Fn(&K) -> bool, mark: Option<Mark<'_>>, now: Duration) {
        for (_, slot) in self.slots.iter_mut().filter(|(key, slot)| !slot.on_stream && which(key)) {
            slot.on_stream = true;
            if let Some(mark) = mark {
                slot.mark(mark, None, &self.settings, now);
            }
        }
    }

    /// The stream no longer sends notices for the read models of `which`.
    pub(super) fn remove_from_stream(&mut self, which: impl Fn(&K) -> bool) {
        self.slots.iter_mut().filter(|(key, _)| which(key)).for_each(|(_, slot)| slot.on_stream = false);
    }

    /// Ends all waits after failures: the server is back.
    pub(super) fn clear_backoff(&mut self) {
        self.slots.values_mut().for_each(|slot| slot.retry_at = None);
    }

    pub(super) fn set_hidden(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    /// Gives up fetches that take too long.
    pub(super) fn handle_time(&mut self, now: Duration) {
        for slot in self.slots.values_mut() {
            if slot.flight.as_ref().is_some_and(|flight| flight.deadline <= now) {
                slot.handle_failure(self.random.backoff(&self.settings, slot.failures + 1), now);
            }
        }
    }

    pub(super) fn handle_fetched(&mut self, ticket: Ticket, outcome: Outcome<'_>, now: Duration) -> FetchVerdict {
        let asked = |slot: &&mut Slot| slot.flight.as_ref().is_some_and(|flight| flight.ticket == ticket);
        let Some(slot) = self.slots.values_mut().find(asked) else { return FetchVerdict::Drop };
        let backoff = self.random.backoff(&self.settings, slot.failures + 1);
        let (cursor, absent) = match outcome {
            Outcome::Fresh(cursor) | Outcome::NotModified(cursor) => (Some(cursor), false),
            Outcome::Gone(cursor) => (cursor, true),
            Outcome::Failed { retry_after } => {
                let least = retry_after.unwrap_or_default().min(self.settings.longest_wait);
                slot.handle_failure(least + backoff, now);
                return FetchVerdict::Drop;
            }
        };
        let safety = self.random.about(self.settings.safety);
        slot.handle_answer(cursor, absent, backoff, safety, now)
    }

    pub(super) fn poll(&mut self, now: Duration) -> Option<Fetch<K>> {
        if !self.may_fetch() {
            return None;
        }
        let due = |slot: &Slot| slot.due(&self.settings).filter(|due| *due <= now);
        let (_, key) = self.slots.iter().filter_map(|(key, slot)| Some((due(slot)?, key))).min()?;
        let key = key.clone();
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let (why, at_least) = self.slots.get_mut(&key)?.begin(ticket, now + self.settings.fetch_timeout, now);
        Some(Fetch { ticket, model: key, at_least, why })
    }

    /// `barred` is whether fetches must wait for another input.
    pub(super) fn poll_timeout(&self, barred: bool) -> Option<Duration> {
        let deadlines = self.slots.values().filter_map(|slot| slot.flight.as_ref().map(|flight| flight.deadline));
        let ask = !barred && self.may_fetch();
        let due = self.slots.values().filter(|_| ask).filter_map(|slot| slot.due(&self.settings));
        deadlines.chain(due).min()
    }

    /// Whether a change from a time without connection is not fetched yet.
    pub(super) fn is_behind(&self) -> bool {
        self.slots.values().any(Slot::is_behind)
    }

    pub(super) fn held(&self, key: &K) -> Option<Held<'_>> {
        self.slots.get(key).map(Slot::held)
    }

    /// Until when the held answer was known to be true, given the time of the last message.
    pub(super) fn true_at(&self, key: &K, last_message_at: Option<Duration>) -> Option<Duration> {
        self.slots.get(key)?.true_at(last_message_at)
    }

    fn may_fetch(&self) -> bool {
        !self.hidden && self.slots.values().filter(|slot| slot.flight.is_some()).count() < self.settings.parallel
    }
}
