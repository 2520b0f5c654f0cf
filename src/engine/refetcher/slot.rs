//! One read model: the held answer, the doubt about it, and the fetch in flight.

use std::time::Duration;

use super::{EngineSettings, FetchVerdict, Held, Mark, Ticket, Why};
use crate::protocol::Cursor;

/// The state of one read model.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) watched: bool,
    /// When the last watch ended.
    pub(super) unwatched_at: Duration,
    /// Whether the stream sends notices for this read model. If so, and no notice came, it has not changed.
    pub(super) on_stream: bool,
    pub(super) flight: Option<Flight>,
    pub(super) failures: u32,
    /// After a failure: no fetch before this.
    pub(super) retry_at: Option<Duration>,
    /// The cursor of the held answer.
    cursor: Option<Cursor>,
    taken_at: Option<Duration>,
    /// The last answer says that the read model does not exist.
    absent: bool,
    doubt: Option<Doubt>,
    /// The time of the last notice or fetch. After a quiet span since then, the next notice is fetched at once.
    last_activity_at: Option<Duration>,
    /// When to fetch without any notice.
    safety_at: Option<Duration>,
    why: Option<Why>,
}

/// A fetch that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    pub(super) deadline: Duration,
    /// The cursor that the answer has to cover, as known when the fetch began.
    need: Option<Cursor>,
    /// Whether a new epoch began during the fetch. If so, an answer of any other epoch is older and is dropped.
    outdated: bool,
}

/// Why and since when the read model is stale.
#[derive(Debug)]
struct Doubt {
    why: Why,
    /// Since when the held answer may be wrong.
    since: Duration,
    /// The first notice since the last fetch began.
    first: Option<Duration>,
    last: Duration,
    at_once: bool,
    /// No fetch before this: the server spreads its clients.
    spread_until: Option<Duration>,
    /// The cursor that an answer has to cover.
    need: Option<Cursor>,
    /// A reason without a cursor came during a fetch: only the answer of a later fetch ends this doubt.
    needs_later_fetch: bool,
    /// The change happened while this client was not connected.
    behind: bool,
    /// An answer came that did not cover `need`.
    fell_short: bool,
}

impl Doubt {
    /// The time to fetch: once the stream is quiet, but at the latest after the maximum wait.
    fn due(&self, settings: &EngineSettings) -> Duration {
        let due = match self.first {
            Some(first) if !self.at_once => (self.last + settings.quiet).min(first + settings.max_wait),
            Some(first) => first,
            None => Duration::ZERO,
        };
        due.max(self.spread_until.unwrap_or_default())
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
        let idle = self.last_activity_at.is_none_or(|at| now.saturating_sub(at) > settings.max_wait);
        self.last_activity_at = Some(now);
        let in_flight = self.flight.is_some();
        let doubt = self.doubt.get_or_insert(Doubt {
            why: mark.why,
            since: now,
            first: None,
            last: now,
            at_once: false,
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
        doubt.at_once |= mark.at_once;
        doubt.behind |= mark.behind;
        doubt.spread_until = doubt.spread_until.or(wait.map(|wait| now + wait));
        match mark.cursor {
            Some(cursor) if doubt.need.as_ref().is_some_and(|need| need.covers(cursor)) => {}
            Some(cursor) => doubt.need = Some(cursor.clone()),
            None => doubt.needs_later_fetch |= in_flight,
        }
    }

    /// The stream resumed at `since` and did not list this read model. Returns whether the held answer is therefore true
    /// at `mark.cursor`; if so, that becomes its cursor.
    pub(super) fn adopt_resumed(&mut self, since: &Cursor, mark: Mark<'_>, safety_at: Duration) -> bool {
        let (None, Some(held), Some(to)) = (&self.doubt, &self.cursor, mark.cursor) else { return false };
        // Either the stream sent notices for it up to `since`, or the held answer was read no earlier.
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

    /// Begins a fetch. Returns its reason, and the cursor to demand if an earlier answer did not cover it.
    pub(super) fn begin(&mut self, ticket: Ticket, deadline: Duration, now: Duration) -> (Why, Option<Cursor>) {
        self.last_activity_at = Some(now);
        let mut why = Why::Safety;
        let (mut need, mut at_least) = (None, None);
        if let Some(doubt) = &mut self.doubt {
            doubt.first = None;
            doubt.at_once = false;
            doubt.spread_until = None;
            doubt.needs_later_fetch = false;
            why = doubt.why;
            need = doubt.need.clone();
            at_least = doubt.need.as_ref().or(self.cursor.as_ref()).filter(|_| doubt.fell_short).cloned();
        }
        self.why = Some(why);
        self.flight = Some(Flight { ticket, deadline, need, outdated: false });
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
        now: Duration,
    ) -> FetchVerdict {
        let Some(flight) = self.flight.take() else { return FetchVerdict::Drop };
        let settled = self.doubt.as_ref().is_none_or(|doubt| doubt.is_settled_by(cursor));
        let taken = match (&self.cursor, cursor) {
            (Some(held), Some(cursor)) => cursor.covers(held) || cursor.epoch() != held.epoch() && !flight.outdated,
            _ => settled || !flight.outdated,
        };
        self.safety_at = Some(now + safety);
        if taken {
            self.cursor = cursor.cloned();
            self.absent = absent;
            self.taken_at = Some(now);
        }
        let short = !taken || flight.need.is_some_and(|need| cursor.is_some_and(|cursor| !cursor.covers(&need)));
        self.retry_at = None;
        match &mut self.doubt {
            Some(doubt) if short => {
                // Fetch again at once and demand the cursor. A server that still cannot meet it gets a pause.
                self.failures += 1;
                self.retry_at = doubt.fell_short.then_some(now + backoff);
                doubt.fell_short = true;
            }
            _ => self.failures = 0,
        }
        if taken && settled {
            self.doubt = None;
        }
        if taken { FetchVerdict::Keep } else { FetchVerdict::Drop }
    }

    /// Takes the failure of a fetch. The read model stays stale.
    pub(super) fn handle_failure(&mut self, wait: Duration, now: Duration) {
        self.flight = None;
        self.failures += 1;
        self.retry_at = Some(now + wait);
    }

    /// When to fetch, unless an input comes before.
    pub(super) fn due(&self, settings: &EngineSettings) -> Option<Duration> {
        if !self.watched || self.flight.is_some() {
            return None;
        }
        let due = match &self.doubt {
            Some(doubt) => doubt.due(settings),
            None => self.safety_at?,
        };
        Some(due.max(self.retry_at.unwrap_or_default()))
    }

    pub(super) fn is_held(&self) -> bool {
        self.cursor.is_some() || self.absent
    }

    pub(super) fn is_behind(&self) -> bool {
        self.watched && self.doubt.as_ref().is_some_and(|doubt| doubt.behind)
    }

    pub(super) fn held(&self) -> Held<'_> {
        Held {
            cursor: self.cursor.as_ref(),
            watched: self.watched,
            stale: self.doubt.is_some(),
            in_flight: self.flight.is_some(),
            absent: self.absent,
            failures: self.failures,
            why: self.why,
            taken_at: self.taken_at,
        }
    }

    /// The time until which the held answer was known to be true. For a stale read model that is the first sign of a
    /// change. For a fresh one it is the last message, if the stream sends notices for it. It is never earlier than the
    /// arrival of the answer.
    pub(super) fn true_at(&self, last_message_at: Option<Duration>) -> Option<Duration> {
        let unchanged_until = last_message_at.filter(|_| self.on_stream);
        let until = self.doubt.as_ref().map_or(unchanged_until, |doubt| Some(doubt.since));
        self.taken_at.map(|taken| taken.max(until.unwrap_or_default()))
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
