//! One read model: the held answer, the doubt about it, and the fetch in flight.

use super::mark::{Mark, Urgency};
use crate::engine::fetch::{FetchVerdict, Why};
use crate::engine::settings::{LONG, Timing};
use crate::protocol::Cursor;

/// The state of one read model.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) watched: bool,
    /// The first message of a new stream has the whole body.
    pub(super) carried: bool,
    /// Whether the stream reports the changes of this read model. If so, and no notice came, it has not changed.
    pub(super) on_stream: bool,
    pub(super) flight: Option<Flight>,
    pub(super) failures: u32,
    /// After a failure: no fetch before this.
    pub(super) retry_at: u64,
    /// The cursor of the held answer.
    pub(super) cursor: Option<Cursor>,
    /// When the held answer was asked for.
    pub(super) asked_at: Option<u64>,
    /// The last answer says that the read model does not exist.
    pub(super) absent: bool,
    pub(super) doubt: Option<Doubt>,
    /// When to fetch without any notice.
    pub(super) safety_at: Option<u64>,
    /// When to fetch without any notice while no stream can be opened.
    pub(super) poll_at: Option<u64>,
    pub(super) why: Option<Why>,
    /// The pace: no fetch before this, and how many fetches began without a second of calm between them.
    pace_until: u64,
    streak: u32,
    /// The time of the last notice, or of the beginning of the last fetch. The next notice after a calm time is fetched at
    /// once.
    busy_at: Option<u64>,
    /// A person's wish ended a wait since the last answer. The next wait is kept.
    wish_spent: bool,
    /// The time of the entry in the queue of the refetcher.
    pub(super) queued_at: Option<u64>,
    /// The refetcher counts this read model as behind.
    pub(super) counted_behind: bool,
}

/// The state of the fetch that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    began_at: u64,
    /// The cursor that the answer has to cover, as known when the fetch began.
    need: Option<Cursor>,
    /// Whether a new epoch began during the fetch. If so, an answer of any other epoch is older and is dropped.
    outdated: bool,
}

/// Why and since when the read model is stale.
#[derive(Debug)]
pub(in crate::engine) struct Doubt {
    pub(in crate::engine) why: Why,
    /// The first sign that the held answer is wrong.
    pub(in crate::engine) since: u64,
    /// Until when the held answer was known to be true. None: the stream did not report the read model.
    true_until: Option<u64>,
    /// The first notice since the last fetch began.
    first: Option<u64>,
    last: u64,
    /// A person waits for the answer, or no notice came for long: no debounce.
    at_once: bool,
    /// A person waits for the answer: no pace either.
    wished: bool,
    /// No fetch before this: the server spreads its clients.
    spread_until: u64,
    /// The cursor that an answer has to cover.
    pub(in crate::engine) need: Option<Cursor>,
    /// A reason without a cursor came during a fetch: only the answer of a later fetch ends this doubt.
    needs_later_fetch: bool,
    /// The change happened while this client was not connected.
    behind: bool,
    /// An answer came that did not cover `need`.
    fell_short: bool,
}

/// The state of the connection, as far as it decides when a read model is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Scene {
    /// No stream can be opened: read models are fetched again and again.
    pub(in crate::engine) polling: bool,
    /// The first message is expected until this time. A read model that it carries is not fetched before.
    pub(in crate::engine) first_message_until: Option<u64>,
}

/// The waits before a fetch, each as the time of its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FetchWaits {
    pub(super) debounce: u64,
    pub(super) spread: u64,
    pub(super) pace: u64,
    pub(super) retry: u64,
    pub(super) first_message: u64,
}

impl FetchWaits {
    pub(super) fn end(&self) -> u64 {
        self.debounce.max(self.spread).max(self.pace).max(self.retry).max(self.first_message)
    }
}

impl Doubt {
    /// When the debounce ends: once the stream is quiet, but at the latest after the maximum wait.
    fn debounced(&self, settings: &Timing) -> u64 {
        match self.first {
            Some(first) if !self.at_once => (self.last + settings.quiet).min(first + settings.max_wait),
            Some(first) => first,
            None => 0,
        }
    }

    /// Whether an answer with this cursor contains every change that the notices reported, and so ends the doubt.
    fn is_settled_by(&self, cursor: &Cursor) -> bool {
        self.need.as_ref().is_none_or(|need| cursor.covers(need)) && !self.needs_later_fetch
    }
}

impl Slot {
    /// Makes the read model stale, unless the held answer covers `mark.cursor`.
    pub(super) fn mark(&mut self, mark: &Mark<'_>, wait: u64, settings: &Timing, now: u64) {
        if let Some(cursor) = mark.cursor {
            if self.cursor.as_ref().is_some_and(|held| held.covers(cursor)) {
                // The pending requirement names another epoch, so no answer can meet it. Require the current cursor
                // instead.
                let obsolete = |need: &Cursor| need.epoch() != cursor.epoch();
                if let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.need.as_ref().is_some_and(obsolete)) {
                    doubt.need = Some(cursor.clone());
                    self.doubt.take_if(|doubt| !doubt.needs_later_fetch);
                }
                return;
            }
            self.drop_other_epoch(cursor);
        }
        let idle = self.is_calm(settings.max_wait, now);
        if self.is_calm(PACE_MEMORY, now) {
            self.streak = 0;
        }
        self.busy_at = Some(now);
        if mark.urgency != Urgency::Debounced {
            self.end_waits_by_wish();
        }
        let (in_flight, on_stream) = (self.flight.is_some(), self.on_stream);
        let doubt = self.doubt.get_or_insert_with(|| Doubt {
            why: mark.why,
            since: now,
            true_until: on_stream.then_some(mark.true_until),
            first: None,
            last: now,
            at_once: false,
            wished: false,
            spread_until: 0,
            need: None,
            needs_later_fetch: false,
            behind: false,
            fell_short: false,
        });
        if doubt.first.is_none() {
            doubt.first = Some(now);
            doubt.at_once = idle;
        }
        doubt.why = mark.why;
        doubt.last = now;
        doubt.at_once |= mark.urgency != Urgency::Debounced;
        doubt.wished |= mark.urgency == Urgency::Wished;
        doubt.behind |= mark.behind;
        if wait > 0 && doubt.spread_until == 0 {
            doubt.spread_until = now + wait;
        }
        match mark.cursor {
            Some(cursor) => {
                let joined = doubt.need.as_ref().and_then(|need| need.joined(cursor));
                doubt.need = Some(joined.unwrap_or_else(|| cursor.clone()));
            }
            None => doubt.needs_later_fetch |= in_flight,
        }
    }

    /// A person waits for the answer, if there will be one.
    pub(super) fn wish(&mut self) {
        self.end_waits_by_wish();
        if let Some(doubt) = &mut self.doubt {
            doubt.at_once = true;
            doubt.wished = true;
        }
    }

    /// Ends the waits that a server demanded, because a person waits for the answer. A person's second wish before an
    /// answer ends none: a server that demands a wait must not be asked at each key press.
    pub(super) fn end_waits_by_wish(&mut self) {
        if self.wish_spent {
            return;
        }
        let spread = self.doubt.as_mut().map_or(0, |doubt| std::mem::take(&mut doubt.spread_until));
        let retry = std::mem::take(&mut self.retry_at);
        self.wish_spent = spread.max(retry) > 0;
    }

    /// The stream resumed at `since` and did not list this read model. Returns whether the held answer is therefore true
    /// at `mark.cursor`; if so, that becomes its cursor.
    pub(super) fn adopt_resumed(&mut self, since: &Cursor, mark: &Mark<'_>, safety_at: u64) -> bool {
        let (None, Some(held), Some(to)) = (&self.doubt, &self.cursor, mark.cursor) else { return false };
        // Either the stream reported its changes up to `since`, or the held answer was read no earlier.
        let unbroken = self.on_stream || held.covers(since);
        let true_there = if held.epoch() == to.epoch() {
            unbroken || since.epoch() != to.epoch()
        } else {
            // An answer that was read after `since` may contain changes that the new epoch never had.
            unbroken && since.covers(held)
        };
        if !true_there {
            return false;
        }
        self.safety_at = Some(safety_at);
        if !held.covers(to) {
            self.drop_other_epoch(to);
            self.cursor = Some(to.clone());
        }
        true
    }

    /// Takes the answer that came with the first message of a stream. Returns whether to show it.
    pub(super) fn adopt_carried(&mut self, cursor: &Cursor, safety: u64, poll: u64, now: u64) -> bool {
        if self.cursor.as_ref().is_some_and(|held| held.epoch() == cursor.epoch() && !cursor.covers(held)) {
            return false;
        }
        self.drop_other_epoch(cursor);
        self.take(cursor, false, now, now + safety, now + poll);
        // The message is later than each reason before it, also than one without a cursor.
        self.doubt.take_if(|doubt| doubt.need.as_ref().is_none_or(|need| cursor.covers(need)));
        self.handle_success();
        true
    }

    /// Begins a fetch. Returns its reason, and the cursor that the answer has to cover.
    pub(super) fn begin(&mut self, settings: &Timing, polled: bool, now: u64) -> (Why, Option<Cursor>) {
        if self.is_calm(PACE_MEMORY, now) {
            self.streak = 0;
        }
        let doublings = self.streak.min(16);
        self.streak = self.streak.saturating_add(1);
        // A fetch that takes longer than this ends first, because one is in flight at a time.
        self.pace_until = now + (settings.quiet.min(LONG) * (2 << doublings)).min(settings.max_wait);
        self.busy_at = Some(now);
        let mut why = if polled { Why::Polled } else { Why::Safety };
        let (mut need, mut at_least) = (None, None);
        if let Some(doubt) = &mut self.doubt {
            doubt.first = None;
            doubt.at_once = false;
            doubt.wished = false;
            doubt.spread_until = 0;
            doubt.needs_later_fetch = false;
            why = doubt.why;
            need = doubt.need.clone();
            at_least = need.clone().or_else(|| self.cursor.clone().filter(|_| doubt.fell_short));
        }
        self.why = Some(why);
        self.flight = Some(Flight { began_at: now, need, outdated: false });
        (why, at_least)
    }

    /// Takes an answer. `backoff` is the pause before the next fetch if this answer and the one before it are both too
    /// old. `safety` and `poll` are the waits before a fetch without any reason.
    pub(super) fn handle_answer(
        &mut self,
        cursor: &Cursor,
        absent: bool,
        [backoff, safety, poll]: [u64; 3],
        now: u64,
    ) -> FetchVerdict {
        let Some(flight) = self.flight.take() else { return FetchVerdict::Drop };
        let settled = self.doubt.as_ref().is_none_or(|doubt| doubt.is_settled_by(cursor));
        let taken = match &self.cursor {
            Some(held) => cursor.covers(held) || cursor.epoch() != held.epoch() && !flight.outdated,
            None => settled || !flight.outdated,
        };
        let (safety_at, poll_at) = (now + safety, flight.began_at + poll);
        if taken {
            self.take(cursor, absent, flight.began_at, safety_at, poll_at);
        } else {
            (self.safety_at, self.poll_at) = (Some(safety_at), Some(poll_at));
        }
        let short = !taken || flight.need.is_some_and(|need| !cursor.covers(&need));
        match &mut self.doubt {
            Some(doubt) if short => {
                // Fetch again without a debounce and demand the cursor. A server that still cannot meet it gets a pause.
                self.failures = self.failures.saturating_add(1);
                self.retry_at = if doubt.fell_short { now + backoff } else { 0 };
                doubt.at_once |= !doubt.fell_short;
                doubt.fell_short = true;
            }
            _ => self.handle_success(),
        }
        if taken && settled {
            self.doubt = None;
        }
        if taken { FetchVerdict::Keep } else { FetchVerdict::Drop }
    }

    /// Takes the failure of a fetch. The read model stays stale.
    pub(super) fn handle_failure(&mut self, wait: u64, now: u64) {
        self.flight = None;
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + wait;
    }

    /// The waits before the next fetch. None: no fetch without another input.
    pub(super) fn waits(&self, settings: &Timing, scene: Scene) -> Option<FetchWaits> {
        if !self.watched || self.flight.is_some() {
            return None;
        }
        let mut waits = FetchWaits { retry: self.retry_at, ..FetchWaits::default() };
        match &self.doubt {
            Some(doubt) => {
                waits.debounce = doubt.debounced(settings);
                waits.spread = doubt.spread_until;
            }
            None if scene.polling => waits.debounce = self.poll_at.or(self.safety_at)?,
            None => waits.debounce = self.safety_at?,
        }
        if self.doubt.as_ref().is_none_or(|doubt| !doubt.wished) {
            waits.pace = self.pace_until;
        }
        if self.carried {
            waits.first_message = scene.first_message_until.unwrap_or_default();
        }
        Some(waits)
    }

    /// Whether the last notice, and the beginning of the last fetch, are longer ago than `span`.
    fn is_calm(&self, span: u64, now: u64) -> bool {
        self.busy_at.is_none_or(|last| now.saturating_sub(last) > span)
    }

    pub(super) fn is_held(&self) -> bool {
        self.cursor.is_some()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.watched && self.doubt.as_ref().is_some_and(|doubt| doubt.behind)
    }

    /// The time until which the held answer was known to be true: while it is not stale and the stream reports its
    /// changes, the last message. It is never earlier than the beginning of the fetch.
    pub(super) fn true_at(&self, last_message_at: u64) -> Option<u64> {
        let unchanged_until = self.on_stream.then_some(last_message_at);
        let until = self.doubt.as_ref().map_or(unchanged_until, |doubt| doubt.true_until);
        self.asked_at.map(|asked| asked.max(until.unwrap_or_default()))
    }

    fn take(&mut self, cursor: &Cursor, absent: bool, asked_at: u64, safety_at: u64, poll_at: u64) {
        self.cursor = Some(cursor.clone());
        self.absent = absent;
        self.asked_at = Some(asked_at);
        self.safety_at = Some(safety_at);
        self.poll_at = Some(poll_at);
    }

    fn handle_success(&mut self) {
        self.failures = 0;
        self.retry_at = 0;
        self.wish_spent = false;
        if let Some(doubt) = &mut self.doubt {
            doubt.fell_short = false;
        }
    }

    /// Drops the held cursor if `cursor` has another epoch: cursors of different epochs cannot be compared.
    fn drop_other_epoch(&mut self, cursor: &Cursor) {
        let other = |old: &Option<Cursor>| old.as_ref().is_some_and(|old| old.epoch() != cursor.epoch());
        let needed = self.doubt.as_ref().is_some_and(|doubt| other(&doubt.need));
        if let Some(flight) = self.flight.as_mut().filter(|_| needed || other(&self.cursor)) {
            flight.outdated = true;
        }
        if other(&self.cursor) {
            self.cursor = None;
        }
    }
}

/// The pace begins anew after this long without a notice and without the beginning of a fetch.
const PACE_MEMORY: u64 = 1_000;
