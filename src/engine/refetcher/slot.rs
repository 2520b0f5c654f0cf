//! One read model: the held answer, the doubt about it, and the fetch in flight.

use std::time::Duration;

use super::{EngineSettings, FetchVerdict, Mark, Urgency, Why};
use crate::protocol::Cursor;

/// The state of one read model.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) watched: bool,
    /// Whether the stream reports the changes of this read model. If so, and no notice came, it has not changed.
    pub(super) on_stream: bool,
    pub(super) flight: Option<Flight>,
    pub(super) failures: u32,
    /// After a failure: no fetch before this.
    pub(super) retry_at: Option<Duration>,
    /// The cursor of the held answer.
    pub(super) cursor: Option<Cursor>,
    /// When the held answer was asked for.
    pub(super) asked_at: Option<Duration>,
    /// The last answer says that the read model does not exist.
    pub(super) absent: bool,
    pub(super) doubt: Option<Doubt>,
    /// When to fetch without any notice.
    pub(super) safety_at: Option<Duration>,
    /// When to fetch without any notice while no stream can be opened.
    pub(super) poll_at: Option<Duration>,
    pub(super) why: Option<Why>,
    /// The pace: when the last fetch began, and how many began while notices kept coming.
    pub(super) began_at: Option<Duration>,
    streak: u32,
    /// The time of the last notice. The next one after a quiet time is fetched at once.
    last_notice_at: Option<Duration>,
    /// A person's wish ended a wait since the last answer. The next wait is kept.
    wish_spent: bool,
}

/// A fetch that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) deadline: Duration,
    began_at: Duration,
    /// The cursor that the answer has to cover, as known when the fetch began.
    need: Option<Cursor>,
    /// Whether a new epoch began during the fetch. If so, an answer of any other epoch is older and is dropped.
    outdated: bool,
}

/// Why and since when the read model is stale.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) why: Why,
    /// Since when the held answer may be wrong.
    pub(super) since: Duration,
    /// The first notice since the last fetch began.
    first: Option<Duration>,
    last: Duration,
    /// A person waits for the answer, or no notice came for long: no debounce.
    at_once: bool,
    /// A person waits for the answer: no pace either.
    wished: bool,
    /// No fetch before this: the server spreads its clients.
    pub(super) spread_until: Option<Duration>,
    /// The cursor that an answer has to cover.
    pub(super) need: Option<Cursor>,
    /// A reason without a cursor came during a fetch: only the answer of a later fetch ends this doubt.
    needs_later_fetch: bool,
    /// The change happened while this client was not connected.
    behind: bool,
    /// An answer came that did not cover `need`.
    fell_short: bool,
}

/// The waits before a fetch, to say which of them it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    pub(super) debounce: Duration,
    pub(super) spread: Duration,
    pub(super) pace: Duration,
    pub(super) retry: Duration,
}

impl Waits {
    pub(super) fn end(&self) -> Duration {
        self.debounce.max(self.spread).max(self.pace).max(self.retry)
    }
}

impl Doubt {
    /// When the debounce ends: once the stream is quiet, but at the latest after the maximum wait.
    fn debounced(&self, settings: &EngineSettings) -> Duration {
        match self.first {
            Some(first) if !self.at_once => {
                self.last.saturating_add(settings.quiet).min(first.saturating_add(settings.max_wait))
            }
            Some(first) => first,
            None => Duration::ZERO,
        }
    }

    /// Whether an answer with this cursor contains every change that the notices reported, and so ends the doubt.
    fn is_settled_by(&self, cursor: Option<&Cursor>) -> bool {
        let contained = match (&self.need, cursor) {
            (Some(need), Some(cursor)) => cursor.covers(need),
            (Some(_), None) => self.first.is_none(),
            (None, _) => true,
        };
        contained && !self.needs_later_fetch
    }
}

impl Slot {
    /// Makes the read model stale, unless the held answer covers `mark.cursor`.
    pub(super) fn mark(&mut self, mark: Mark<'_>, wait: Option<Duration>, settings: &EngineSettings, now: Duration) {
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
        // The fetch counts as well as the notice.
        let last = self.last_notice_at.max(self.began_at);
        let idle = last.is_none_or(|at| now.saturating_sub(at) > settings.max_wait);
        if self.last_notice_at.is_none_or(|at| now.saturating_sub(at) >= PACE_MEMORY) {
            self.streak = 0;
        }
        self.last_notice_at = Some(now);
        if mark.urgency != Urgency::Debounced {
            self.end_waits_by_wish();
        }
        let in_flight = self.flight.is_some();
        let doubt = self.doubt.get_or_insert(Doubt {
            why: mark.why,
            since: now,
            first: None,
            last: now,
            at_once: false,
            wished: false,
            spread_until: None,
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
        doubt.spread_until = doubt.spread_until.or(wait.map(|wait| now.saturating_add(wait)));
        match mark.cursor {
            Some(cursor) => {
                let joined = doubt.need.as_ref().and_then(|need| need.joined(cursor));
                doubt.need = Some(joined.unwrap_or_else(|| cursor.clone()));
            }
            None => doubt.needs_later_fetch |= in_flight,
        }
    }

    /// Ends the waits that a server demanded, because a person waits for the answer. A person's second wish before an
    /// answer ends none: a server that demands a wait must not be asked at each key press.
    pub(super) fn end_waits_by_wish(&mut self) {
        let spread = self.doubt.as_mut().and_then(|doubt| doubt.spread_until.take_if(|_| !self.wish_spent));
        let retry = self.retry_at.take_if(|_| !self.wish_spent);
        self.wish_spent |= spread.is_some() || retry.is_some();
    }

    /// The stream resumed at `since` and did not list this read model. Returns whether the held answer is therefore true
    /// at `mark.cursor`; if so, that becomes its cursor.
    pub(super) fn adopt_resumed(&mut self, since: &Cursor, mark: Mark<'_>, safety_at: Duration) -> bool {
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
    pub(super) fn adopt_carried(&mut self, cursor: &Cursor, safety: Duration, poll: Duration, now: Duration) -> bool {
        if self.cursor.as_ref().is_some_and(|held| held.epoch() == cursor.epoch() && !cursor.covers(held)) {
            return false;
        }
        self.drop_other_epoch(cursor);
        self.take(Some(cursor), false, now, safety, poll, now);
        // The message is later than each reason before it, also than one without a cursor.
        self.doubt.take_if(|doubt| doubt.need.as_ref().is_none_or(|need| cursor.covers(need)));
        self.handle_success();
        true
    }

    /// Begins a fetch. Returns its reason, and the cursor that the answer has to cover.
    pub(super) fn begin(&mut self, settings: &EngineSettings, polled: bool, now: Duration) -> (Why, Option<Cursor>) {
        self.streak = match self.last_notice_at {
            Some(at) if now.saturating_sub(at) < PACE_MEMORY => self.streak.saturating_add(1),
            _ => 1,
        };
        self.began_at = Some(now);
        let mut why = if polled { Why::Polled } else { Why::Safety };
        let (mut need, mut at_least) = (None, None);
        if let Some(doubt) = &mut self.doubt {
            doubt.first = None;
            doubt.at_once = false;
            doubt.wished = false;
            doubt.spread_until = None;
            doubt.needs_later_fetch = false;
            why = doubt.why;
            need = doubt.need.clone();
            at_least = doubt.need.as_ref().or(self.cursor.as_ref().filter(|_| doubt.fell_short)).cloned();
        }
        self.why = Some(why);
        let deadline = now.saturating_add(settings.fetch_timeout);
        self.flight = Some(Flight { deadline, began_at: now, need, outdated: false });
        (why, at_least)
    }

    /// Takes an answer. `backoff` is the pause before the next fetch if this answer and the one before it are both too
    /// old.
    pub(super) fn handle_answer(
        &mut self,
        cursor: Option<&Cursor>,
        absent: bool,
        backoff: Duration,
        safety: Duration,
        poll: Duration,
        now: Duration,
    ) -> FetchVerdict {
        let Some(flight) = self.flight.take() else { return FetchVerdict::Drop };
        let settled = self.doubt.as_ref().is_none_or(|doubt| doubt.is_settled_by(cursor));
        let taken = match (&self.cursor, cursor) {
            (Some(held), Some(cursor)) => cursor.covers(held) || cursor.epoch() != held.epoch() && !flight.outdated,
            _ => settled || !flight.outdated,
        };
        self.safety_at = Some(now.saturating_add(safety));
        self.poll_at = Some(flight.began_at.saturating_add(poll));
        if taken {
            self.take(cursor, absent, flight.began_at, safety, poll, now);
        }
        let short = !taken || flight.need.is_some_and(|need| cursor.is_some_and(|cursor| !cursor.covers(&need)));
        match &mut self.doubt {
            Some(doubt) if short => {
                // Fetch again at once and demand the cursor. A server that still cannot meet it gets a pause.
                self.failures = self.failures.saturating_add(1);
                self.retry_at = doubt.fell_short.then_some(now.saturating_add(backoff));
                doubt.wished |= !doubt.fell_short;
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
    pub(super) fn handle_failure(&mut self, wait: Duration, now: Duration) {
        self.flight = None;
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now.saturating_add(wait));
    }

    /// The waits before the next fetch. None: no fetch without another input.
    pub(super) fn waits(&self, settings: &EngineSettings, polling: bool) -> Option<Waits> {
        if !self.watched || self.flight.is_some() {
            return None;
        }
        let mut waits = Waits { retry: self.retry_at.unwrap_or_default(), ..Waits::default() };
        match &self.doubt {
            Some(doubt) => {
                waits.debounce = doubt.debounced(settings);
                waits.spread = doubt.spread_until.unwrap_or_default();
                if !doubt.wished {
                    waits.pace = self.paced(settings);
                }
            }
            None if polling => waits.debounce = self.poll_at.or(self.safety_at)?,
            None => waits.debounce = self.safety_at?,
        }
        Some(waits)
    }

    /// The time before which the pace allows no fetch: a pause after the beginning of the last one, which doubles while
    /// notices keep coming.
    fn paced(&self, settings: &EngineSettings) -> Duration {
        let Some(began) = self.began_at else { return Duration::ZERO };
        let doublings = self.streak.saturating_sub(1).min(16);
        let pace = settings.quiet.saturating_mul(2 << doublings).min(settings.max_wait);
        began.saturating_add(pace)
    }

    pub(super) fn is_held(&self) -> bool {
        self.cursor.is_some() || self.absent
    }

    pub(super) fn is_behind(&self) -> bool {
        self.watched && self.doubt.as_ref().is_some_and(|doubt| doubt.behind)
    }

    /// The time until which the held answer was known to be true. For a stale read model that is the first sign of a
    /// change. For a fresh one it is the last message, if the stream reports its changes. It is never earlier than the
    /// beginning of the fetch.
    pub(super) fn true_at(&self, last_message_at: Option<Duration>) -> Option<Duration> {
        let unchanged_until = last_message_at.filter(|_| self.on_stream);
        let until = self.doubt.as_ref().map_or(unchanged_until, |doubt| Some(doubt.since));
        self.asked_at.map(|asked| asked.max(until.unwrap_or_default()))
    }

    fn take(
        &mut self,
        cursor: Option<&Cursor>,
        absent: bool,
        asked_at: Duration,
        safety: Duration,
        poll: Duration,
        now: Duration,
    ) {
        self.cursor = cursor.cloned();
        self.absent = absent;
        self.asked_at = Some(asked_at);
        self.safety_at = Some(now.saturating_add(safety));
        self.poll_at = Some(asked_at.saturating_add(poll));
    }

    fn handle_success(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.wish_spent = false;
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

/// How long notices count as ones that keep coming.
pub(super) const PACE_MEMORY: Duration = Duration::from_secs(1);
