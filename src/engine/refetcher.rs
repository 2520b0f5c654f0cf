//! Which answers are held, which are in doubt, and when each read model is fetched again.
//!
//! The module is generic over the key of a read model: it knows no tasks. It deliberately lacks bodies, which the
//! driver's store keeps, and the connection: the engine translates messages into calls.

mod slot;

use std::time::Duration;

use slot::{Slot, Waits};

use super::EngineSettings;
use super::flat::{FlatMap, WatchedList};
use super::random::Random;
use super::signal::SignalKind;
use crate::protocol::{Cursor, Key, Watched};

/// Fetches each read model that is stale and watched: debounced and paced, one fetch at a time for each, until one
/// succeeds.
#[derive(Debug)]
pub(super) struct Refetcher<K> {
    settings: EngineSettings,
    random: Random,
    slots: FlatMap<K, Box<Slot>>,
    /// The fetches under way, at most `parallel`.
    flights: Vec<(Ticket, K)>,
    /// The read models without a watch and the times when it ended, those first that were left first.
    idle: Vec<(Duration, K)>,
    hidden: bool,
    tickets: u64,
    /// The last fetch that ended reached the server.
    reached: bool,
}

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetch<K> {
    /// The id of this fetch, which the driver passes back with the outcome.
    pub ticket: Ticket,
    /// The read model to fetch.
    pub model: K,
    /// The cursor that the answer must cover, for `Requery-At-Least`.
    pub at_least: Option<Cursor>,
    /// The last reason why the model is stale.
    pub why: Why,
}

/// The id of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The id as a number, for a boundary that only numbers cross.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The id with this number.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Why a read model is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A screen began to show it.
    Watched,
    /// A message of this kind came.
    Signal(SignalKind),
    /// The last fetch is long ago.
    Safety,
    /// No stream can be opened, so the read model is fetched again and again.
    Polled,
    /// The application asked for it.
    Asked,
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
    /// How far the held answer can be trusted.
    pub state: HeldState,
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
    /// When the held answer was asked for.
    pub asked_at: Option<Duration>,
}

/// How far a held answer can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeldState {
    /// No answer has come yet.
    #[default]
    Loading,
    /// The answer is true: the stream reports every change of the read model, and reported none.
    Fresh,
    /// A change was reported, or may have been missed.
    Stale,
    /// No change is known, and none could be: the stream is lost, or does not report the changes of this read model.
    Unconfirmed,
    /// The read model does not exist, or no longer.
    Gone,
}

impl HeldState {
    /// The state as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            HeldState::Loading => "loading",
            HeldState::Fresh => "fresh",
            HeldState::Stale => "stale",
            HeldState::Unconfirmed => "unconfirmed",
            HeldState::Gone => "gone",
        }
    }
}

impl std::fmt::Display for HeldState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The wait that a read model is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    NotWatched,
    Fetching,
    Debounce(Duration),
    Spread(Duration),
    Pace(Duration),
    Retry(Duration),
    Idle(Option<Duration>),
}

/// A reason to take a read model for stale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark<'a> {
    pub(super) why: Why,
    /// The cursor that an answer has to cover; none if unknown.
    pub(super) cursor: Option<&'a Cursor>,
    /// Fetch after a random share of this.
    pub(super) spread: Option<Duration>,
    pub(super) urgency: Urgency,
    /// The change happened while this client was not connected.
    pub(super) behind: bool,
}

/// The waits that a reason accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Debounce and pace.
    Debounced,
    /// The pace alone: the application wrote.
    Paced,
    /// None: a person waits for the answer.
    Wished,
}

impl<'a> Mark<'a> {
    pub(super) fn new(why: Why, cursor: Option<&'a Cursor>) -> Self {
        Self { why, cursor, spread: None, urgency: Urgency::Debounced, behind: false }
    }
}

impl<K: Key> Refetcher<K> {
    pub(super) fn new(settings: EngineSettings, random: Random) -> Self {
        Self {
            settings,
            random,
            slots: FlatMap::new(),
            flights: Vec::new(),
            idle: Vec::new(),
            hidden: false,
            tickets: 0,
            reached: false,
        }
    }

    /// `stream_cursor` is the cursor of the last message, if the stream already reports the changes of `key`. `floor` is
    /// the cursor that the application's own writes demand.
    pub(super) fn watch(&mut self, key: K, stream_cursor: Option<&Cursor>, floor: Option<&Cursor>, now: Duration) {
        self.idle.retain(|(_, idle)| *idle != key);
        let slot = self.slots.or_default(key);
        slot.watched = true;
        // Without a report of its changes, the model may have changed since the last fetch.
        let unsure = stream_cursor.is_none() || !slot.on_stream || !slot.is_held();
        let behind_own = floor.is_some_and(|floor| slot.cursor.as_ref().is_none_or(|held| !held.covers(floor)));
        if unsure || behind_own {
            let joined = stream_cursor.zip(floor).and_then(|(stream, floor)| stream.joined(floor));
            let cursor = joined.as_ref().or(stream_cursor).or(floor);
            let mark = Mark { urgency: Urgency::Wished, ..Mark::new(Why::Watched, cursor) };
            slot.mark(mark, None, &self.settings, now);
            slot.on_stream &= !unsure;
            slot.on_stream |= stream_cursor.is_some();
        }
    }

    pub(super) fn unwatch(&mut self, key: &K, now: Duration) {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.watched) else { return };
        slot.watched = false;
        self.idle.push((now, key.clone()));
    }

    /// Forgets `key`, unless a screen shows it.
    pub(super) fn forget(&mut self, key: &K) {
        if self.slots.get(key).is_some_and(|slot| !slot.watched) {
            self.slots.remove(key);
            self.idle.retain(|(_, idle)| idle != key);
        }
    }

    pub(super) fn watched(&self) -> impl Iterator<Item = &K> {
        self.slots.iter().filter(|(_, slot)| slot.watched).map(|(key, _)| key)
    }

    /// Every read model may have changed. A held answer that covers `mark.cursor` stays as it is.
    pub(super) fn mark_all(&mut self, mark: Mark<'_>, now: Duration) {
        for (_, slot) in self.slots.iter_mut() {
            let wait = self.random.spread(mark.spread, &self.settings);
            slot.mark(mark, wait, &self.settings, now);
        }
    }

    /// The read models of `place` may have changed. A held answer that covers `mark.cursor` stays as it is.
    pub(super) fn mark(&mut self, place: &Watched<K>, mark: Mark<'_>, now: Duration) {
        match place {
            Watched::One(key) => {
                if let Some(slot) = self.slots.get_mut(key) {
                    let wait = self.random.spread(mark.spread, &self.settings);
                    slot.mark(mark, wait, &self.settings, now);
                }
            }
            Watched::Group(group) => {
                for (_, slot) in self.slots.iter_mut().filter(|(key, _)| key.is_in(group)) {
                    let wait = self.random.spread(mark.spread, &self.settings);
                    slot.mark(mark, wait, &self.settings, now);
                }
            }
        }
    }

    /// The stream resumed at `since`: read models that it does not list have not changed up to `mark.cursor`.
    pub(super) fn handle_resumed(&mut self, since: &Cursor, listed: &WatchedList<K>, mark: Mark<'_>, now: Duration) {
        for (key, slot) in self.slots.iter_mut() {
            let safety_at = now.saturating_add(self.random.about(self.settings.safety));
            if listed.includes(key) || !slot.adopt_resumed(since, mark, safety_at) {
                let wait = self.random.spread(mark.spread, &self.settings);
                slot.mark(mark, wait, &self.settings, now);
            }
        }
    }

    /// The first message of the stream has the whole body of `key` at `cursor`. Returns whether to show that body.
    pub(super) fn handle_carried(&mut self, key: &K, cursor: &Cursor, now: Duration) -> bool {
        let safety = self.random.about(self.settings.safety);
        let poll = self.random.poll(&self.settings);
        self.slots.get_mut(key).is_some_and(|slot| slot.adopt_carried(cursor, safety, poll, now))
    }

    /// The stream reports the changes of all read models from now on.
    pub(super) fn add_all_to_stream(&mut self) {
        self.slots.iter_mut().for_each(|(_, slot)| slot.on_stream = true);
    }

    /// The stream reports the changes of the read models of `confirmed`, and of no other. A model that was not on the
    /// stream before may have changed up to `mark.cursor`.
    pub(super) fn set_on_stream(&mut self, confirmed: &WatchedList<K>, mark: Mark<'_>, now: Duration) {
        for (key, slot) in self.slots.iter_mut() {
            let reported = confirmed.includes(key);
            if reported && !slot.on_stream {
                slot.mark(mark, None, &self.settings, now);
            }
            slot.on_stream = reported;
        }
    }

    /// The stream reports the changes of no read model outside of `list` any more.
    pub(super) fn remove_from_stream(&mut self, list: &WatchedList<K>) {
        self.slots.iter_mut().filter(|(key, _)| !list.includes(key)).for_each(|(_, slot)| slot.on_stream = false);
    }

    /// Ends all waits after failures: the server is back.
    pub(super) fn clear_backoff(&mut self) {
        self.slots.iter_mut().for_each(|(_, slot)| slot.retry_at = None);
    }

    /// A person looks at the screen: ends the waits that the server demanded.
    pub(super) fn end_waits_by_wish(&mut self) {
        self.slots.iter_mut().filter(|(_, slot)| slot.watched).for_each(|(_, slot)| slot.end_waits_by_wish());
    }

    pub(super) fn set_hidden(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Gives up fetches that take too long, and forgets read models that no screen shows.
    pub(super) fn handle_time(&mut self, now: Duration) {
        let mut at = 0;
        while let Some((_, key)) = self.flights.get(at) {
            let late = |slot: &&mut Box<Slot>| slot.flight.as_ref().is_some_and(|flight| flight.deadline <= now);
            match self.slots.get_mut(key).filter(late) {
                Some(slot) => {
                    slot.handle_failure(self.random.backoff(&self.settings, slot.failures.saturating_add(1)), now);
                    self.flights.swap_remove(at);
                    self.reached = false;
                }
                None => at += 1,
            }
        }
        let too_many = self.idle.len().saturating_sub(self.settings.remembered);
        let old = |left_at: Duration| left_at.saturating_add(self.settings.remembered_for) <= now;
        let too_old = self.idle.iter().take_while(|(left_at, _)| old(*left_at)).count();
        for (_, key) in self.idle.drain(..too_many.max(too_old)) {
            self.slots.remove(&key);
        }
    }

    /// A fetch that no screen waits for any more. The driver ends it.
    pub(super) fn poll_cancel(&mut self) -> Option<Ticket> {
        let left = |(_, key): &(Ticket, K)| self.slots.get(key).is_none_or(|slot| !slot.watched);
        let at = self.flights.iter().position(left)?;
        let (ticket, key) = self.flights.swap_remove(at);
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.flight = None;
        }
        Some(ticket)
    }

    pub(super) fn handle_fetched(&mut self, ticket: Ticket, outcome: Outcome<'_>, now: Duration) -> FetchVerdict {
        let Some(at) = self.flights.iter().position(|(asked, _)| *asked == ticket) else { return FetchVerdict::Drop };
        let (_, key) = self.flights.swap_remove(at);
        let Some(slot) = self.slots.get_mut(&key) else { return FetchVerdict::Drop };
        let backoff = self.random.backoff(&self.settings, slot.failures.saturating_add(1));
        self.reached = !matches!(outcome, Outcome::Failed { .. });
        let (cursor, absent) = match outcome {
            Outcome::Fresh(cursor) | Outcome::NotModified(cursor) => (Some(cursor), false),
            Outcome::Gone(cursor) => (cursor, true),
            Outcome::Failed { retry_after } => {
                let least = retry_after.unwrap_or_default().min(self.settings.longest_wait);
                slot.handle_failure(least.saturating_add(backoff), now);
                return FetchVerdict::Drop;
            }
        };
        let (safety, poll) = (self.random.about(self.settings.safety), self.random.poll(&self.settings));
        slot.handle_answer(cursor, absent, backoff, safety, poll, now)
    }

    /// The next fetch. A read model of `held_back` is not fetched before that time.
    pub(super) fn poll(&mut self, scene: Scene<'_, K>, now: Duration) -> Option<Fetch<K>> {
        if !self.may_fetch() {
            return None;
        }
        let due = self.slots.iter().filter_map(|(key, slot)| Some((scene.due(key, slot, &self.settings)?, key)));
        let (_, key) = due.filter(|(due, _)| *due <= now).min()?;
        let key = key.clone();
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = Ticket(self.tickets);
        let slot = self.slots.get_mut(&key)?;
        let (why, at_least) = slot.begin(&self.settings, scene.polling, now);
        self.flights.push((ticket, key.clone()));
        Some(Fetch { ticket, model: key, at_least, why })
    }

    /// When something is to be done, unless an input comes before. `barred` is whether fetches must wait for another
    /// input.
    pub(super) fn poll_timeout(&self, scene: Scene<'_, K>, barred: bool) -> Option<Duration> {
        let flights = self.flights.iter().filter_map(|(_, key)| self.slots.get(key)?.flight.as_ref());
        let deadline = flights.map(|flight| flight.deadline).min();
        if barred || !self.may_fetch() {
            return deadline;
        }
        let due = self.slots.iter().filter_map(|(key, slot)| scene.due(key, slot, &self.settings)).min();
        [deadline, due].into_iter().flatten().min()
    }

    /// Whether a change from a time without connection is not fetched yet.
    pub(super) fn is_behind(&self) -> bool {
        self.slots.iter().any(|(_, slot)| slot.is_behind())
    }

    /// Whether the last fetch that ended reached the server.
    pub(super) fn is_reached(&self) -> bool {
        self.reached
    }

    /// `confirmed` is whether a message of the stream would tell a change of a read model that the stream reports, and
    /// `polled_since` the time since which an answer must have been asked for to count as true while read models are
    /// polled.
    pub(super) fn held(&self, key: &K, up: bool, polled_since: Option<Duration>) -> Option<Held<'_>> {
        let slot = self.slots.get(key)?;
        let (stale, loading) = (slot.doubt.is_some(), slot.asked_at.is_none());
        let polled = polled_since.is_some_and(|since| slot.asked_at.is_some_and(|at| at > since));
        let state = match () {
            () if loading => HeldState::Loading,
            () if slot.absent && !stale => HeldState::Gone,
            () if stale => HeldState::Stale,
            () if up && slot.on_stream || polled => HeldState::Fresh,
            () => HeldState::Unconfirmed,
        };
        Some(Held {
            state,
            cursor: slot.cursor.as_ref(),
            watched: slot.watched,
            stale,
            in_flight: slot.flight.is_some(),
            absent: slot.absent,
            failures: slot.failures,
            why: slot.why,
            asked_at: slot.asked_at,
        })
    }

    /// Until when the held answer was known to be true, given the time of the last message.
    pub(super) fn true_at(&self, key: &K, last_message_at: Option<Duration>) -> Option<Duration> {
        self.slots.get(key)?.true_at(last_message_at)
    }

    /// The first time after `now` at which a polled answer no longer counts as true.
    pub(super) fn next_expiry(&self, now: Duration) -> Option<Duration> {
        let ends = self.slots.iter().filter(|(_, slot)| slot.watched && slot.doubt.is_none());
        ends.filter_map(|(_, slot)| Some(slot.asked_at?.saturating_add(self.settings.poll_interval)))
            .filter(|end| *end > now)
            .min()
    }

    /// Why and since when `key` is stale, the cursor that an answer has to cover, and the wait that it is in.
    pub(super) fn pending(
        &self,
        key: &K,
        polling: bool,
    ) -> Option<(Option<(Why, Duration)>, Option<&Cursor>, Pending)> {
        let slot = self.slots.get(key)?;
        let stale = slot.doubt.as_ref().map(|doubt| (doubt.why, doubt.since));
        let need = slot.doubt.as_ref().and_then(|doubt| doubt.need.as_ref());
        let pending = if !slot.watched {
            Pending::NotWatched
        } else if slot.flight.is_some() {
            Pending::Fetching
        } else {
            match slot.waits(&self.settings, polling) {
                None => Pending::Idle(None),
                Some(Waits { debounce, .. }) if stale.is_none() => Pending::Idle(Some(debounce)),
                Some(waits) if waits.end() == waits.debounce => Pending::Debounce(waits.debounce),
                Some(waits) if waits.end() == waits.retry => Pending::Retry(waits.retry),
                Some(waits) if waits.end() == waits.spread => Pending::Spread(waits.spread),
                Some(waits) => Pending::Pace(waits.pace),
            }
        };
        Some((stale, need, pending))
    }

    fn may_fetch(&self) -> bool {
        !self.hidden && self.flights.len() < self.settings.parallel.get()
    }
}

/// The state of the connection, as far as it decides when a read model is fetched.
#[derive(Debug)]
pub(super) struct Scene<'a, K> {
    /// No stream can be opened: read models are fetched again and again.
    pub(super) polling: bool,
    /// The first message is expected until this time, and has the bodies of these read models.
    pub(super) carried: Option<(&'a [K], Duration)>,
}

impl<K> Clone for Scene<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Scene<'_, K> {}

impl<K: Key> Scene<'_, K> {
    fn due(&self, key: &K, slot: &Slot, settings: &EngineSettings) -> Option<Duration> {
        let due = slot.waits(settings, self.polling)?.end();
        let held_back = self.carried.filter(|(keys, _)| keys.contains(key)).map(|(_, until)| until);
        Some(due.max(held_back.unwrap_or_default()))
    }
}
