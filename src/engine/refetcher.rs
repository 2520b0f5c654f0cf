//! Which answers are held, which are in doubt, and when each is asked for again.
//!
//! Generic over the key of a read model: nothing here knows what a task is. What is absent: bodies (the driver's store
//! keeps them) and the connection (the engine says what its frames mean).

mod slot;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use slot::Slot;

use super::EngineSettings;
use super::random::Random;
use crate::protocol::Cursor;

/// Asks again for what is stale and watched: debounced, one at a time for each read model, until it succeeds.
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
    /// To be handed back with the outcome.
    pub ticket: Ticket,
    /// What to ask for.
    pub model: K,
    /// Take no cached answer that does not cover this: one such answer came already.
    pub at_least: Option<Cursor>,
    /// What made it stale last.
    pub why: Why,
}

/// Names one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Why a read model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Somebody began to look at it.
    Watched,
    /// A frame of this kind.
    Frame(&'static str),
    /// A message that was not understood.
    Unknown,
    /// It was not asked for in a long time.
    Safety,
    /// The application wanted it.
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
    /// A body came, read at this cursor.
    Fresh(&'a Cursor),
    /// The body that is held is right at this cursor.
    NotModified(&'a Cursor),
    /// There is no such thing (any more).
    Gone(Option<&'a Cursor>),
    /// No answer, or none of use. The server may have said when to come back.
    Failed {
        /// Not before this much time has passed.
        retry_after: Option<Duration>,
    },
}

/// What to do with what a fetch brought.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchVerdict {
    /// Show it.
    Keep,
    /// It is older than what is shown, or nobody waits for it any more.
    Drop,
}

/// What is known of a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held<'a> {
    /// The answer that is held contains these changes.
    pub cursor: Option<&'a Cursor>,
    /// Somebody looks at it.
    pub watched: bool,
    /// It is no longer trusted.
    pub stale: bool,
    /// It was asked for and not answered yet.
    pub in_flight: bool,
    /// It does not exist (any more).
    pub absent: bool,
    /// How many fetches failed since the last that did not.
    pub failures: u32,
    /// Why it was last asked for.
    pub why: Option<Why>,
    /// When the last answer was taken.
    pub taken_at: Option<Duration>,
}

/// Doubt about a read model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark<'a> {
    pub(super) why: Why,
    /// The changes that an answer has to contain; none where nobody knows.
    pub(super) cursor: Option<&'a Cursor>,
    /// Ask after a random share of this.
    pub(super) spread: Option<Duration>,
    /// Somebody waits for it: no debounce.
    pub(super) at_once: bool,
    /// It is not news but what was missed.
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

    /// `heard` is up to where the stream spoke, if a change to it would be heard of already.
    pub(super) fn watch(&mut self, key: K, heard: Option<&Cursor>, now: Duration) {
        let slot = self.slots.entry(key).or_default();
        slot.watched = true;
        // What the stream did not speak of may have changed since it was asked for.
        if heard.is_none() || !slot.on_stream || !slot.is_held() {
            slot.mark(Mark { at_once: true, ..Mark::new(Why::Watched, heard) }, None, &self.settings, now);
            slot.on_stream = heard.is_some();
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

    /// What `which` names may have changed. A held answer that contains `mark.cursor` already costs nothing.
    pub(super) fn mark(&mut self, which: impl Fn(&K) -> bool, mark: Mark<'_>, now: Duration) {
        for (_, slot) in self.slots.iter_mut().filter(|(key, _)| which(key)) {
            let wait = mark.spread.map(|spread| self.random.share(spread.min(self.settings.longest_wait)));
            slot.mark(mark, wait, &self.settings, now);
        }
    }

    /// The stream continues where it left us at `since`: of what it did not list, nothing changed up to `mark.cursor`.
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

    /// The stream speaks of what `which` names from now on; what it did not speak of before may have changed up to
    /// `mark.cursor`.
    pub(super) fn add_to_stream(&mut self, which: impl Fn(&K) -> bool, mark: Option<Mark<'_>>, now: Duration) {
        for (_, slot) in self.slots.iter_mut().filter(|(key, slot)| !slot.on_stream && which(key)) {
            slot.on_stream = true;
            if let Some(mark) = mark {
                slot.mark(mark, None, &self.settings, now);
            }
        }
    }

    /// The stream no longer speaks of what `which` names.
    pub(super) fn remove_from_stream(&mut self, which: impl Fn(&K) -> bool) {
        self.slots.iter_mut().filter(|(key, _)| which(key)).for_each(|(_, slot)| slot.on_stream = false);
    }

    /// The server is there (again): no need to wait out the failures of before.
    pub(super) fn clear_backoff(&mut self) {
        self.slots.values_mut().for_each(|slot| slot.retry_at = None);
    }

    pub(super) fn set_hidden(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    /// Gives up on fetches that take too long.
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

    /// `barred` is whether nothing may be asked for until something else happens.
    pub(super) fn poll_timeout(&self, barred: bool) -> Option<Duration> {
        let deadlines = self.slots.values().filter_map(|slot| slot.flight.as_ref().map(|flight| flight.deadline));
        let ask = !barred && self.may_fetch();
        let due = self.slots.values().filter(|_| ask).filter_map(|slot| slot.due(&self.settings));
        deadlines.chain(due).min()
    }

    /// Whether something that was missed is not made up for yet.
    pub(super) fn is_behind(&self) -> bool {
        self.slots.values().any(Slot::is_behind)
    }

    pub(super) fn held(&self, key: &K) -> Option<Held<'_>> {
        self.slots.get(key).map(Slot::held)
    }

    /// Until when what is held was known to be true, if the stream was last heard at `last_message_at`.
    pub(super) fn true_at(&self, key: &K, last_message_at: Option<Duration>) -> Option<Duration> {
        self.slots.get(key)?.true_at(last_message_at)
    }

    fn may_fetch(&self) -> bool {
        !self.hidden && self.slots.values().filter(|slot| slot.flight.is_some()).count() < self.settings.parallel
    }
}
