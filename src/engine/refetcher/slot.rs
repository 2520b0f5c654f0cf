//! One read model: what is held, what is in doubt, what is in flight.

use std::time::Duration;

use super::{EngineSettings, FetchVerdict, Held, Mark, Ticket, Why};
use crate::protocol::Cursor;

/// What is known of one read model.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) watched: bool,
    /// When it was watched last.
    pub(super) unwatched_at: Duration,
    /// The stream speaks of it: a change that is not heard of did not happen.
    pub(super) on_stream: bool,
    pub(super) flight: Option<Flight>,
    pub(super) failures: u32,
    /// After a failure: not before this.
    pub(super) retry_at: Option<Duration>,
    /// What the answer that is held contains.
    cursor: Option<Cursor>,
    taken_at: Option<Duration>,
    absent: bool,
    doubt: Option<Doubt>,
    /// The last notice or fetch; quiet since then is what makes the next notice go at once.
    last_activity_at: Option<Duration>,
    /// When to ask without any reason.
    safety_at: Option<Duration>,
    why: Option<Why>,
}

/// It was asked for.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    pub(super) deadline: Duration,
    /// What the answer has to contain, as far as was known when it was asked for.
    need: Option<Cursor>,
    /// A new history began meanwhile: an answer from any other is from before.
    outdated: bool,
}

/// It is stale.
#[derive(Debug)]
struct Doubt {
    why: Why,
    /// Since when it may be wrong.
    since: Duration,
    /// The first notice since it was last asked for.
    first: Option<Duration>,
    last: Duration,
    at_once: bool,
    /// Not before this: the server spreads its readers.
    spread_until: Option<Duration>,
    /// What an answer has to contain.
    need: Option<Cursor>,
    /// A reason without a cursor came while it was in flight: only an answer to a later request counts.
    needs_later_fetch: bool,
    behind: bool,
    /// An answer came that did not contain what it had to.
    fell_short: bool,
}

impl Doubt {
    /// Not before the stream was quiet, but never past the maximum: a steady stream must still be shown.
    fn due(&self, settings: &EngineSettings) -> Duration {
        let due = match self.first {
            Some(first) if !self.at_once => (self.last + settings.quiet).min(first + settings.max_wait),
            Some(first) => first,
            None => Duration::ZERO,
        };
        due.max(self.spread_until.unwrap_or_default())
    }

    /// Whether an answer with this cursor contains every change that was heard of.
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
    /// Takes what is held for stale, unless it contains `mark.cursor` already.
    pub(super) fn mark(&mut self, mark: Mark<'_>, wait: Option<Duration>, settings: &EngineSettings, now: Duration) {
        if let Some(cursor) = mark.cursor {
            if self.cursor.as_ref().is_some_and(|held| held.covers(cursor)) {
                // What was wanted of another history than the one that is held and spoken of will never come.
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

    /// The stream continues from `since` and did not list this. Whether what is held is therefore true at
    /// `mark.cursor`; if so, it is adopted there.
    pub(super) fn adopt_resumed(&mut self, since: &Cursor, mark: Mark<'_>, safety_at: Duration) -> bool {
        let (None, Some(held), Some(to)) = (&self.doubt, &self.cursor, mark.cursor) else { return false };
        // Either the stream spoke of it up to `since`, or what is held was read no earlier.
        let unbroken = self.on_stream || held.covers(since);
        let true_there = if held.epoch() == to.epoch() {
            unbroken || since.epoch() != to.epoch()
        } else {
            // What was read past `since` may contain changes that the new history never saw.
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

    /// Begins a fetch: why, and what it has to contain where an answer fell short before.
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

    /// An answer came. `backoff` is how long to wait if the server keeps answering from too long ago.
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
                // Asked again at once, demanding more; whoever still cannot give it is not pressed.
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

    /// No answer came, or none of use. What was in doubt stays so.
    pub(super) fn handle_failure(&mut self, wait: Duration, now: Duration) {
        self.flight = None;
        self.failures += 1;
        self.retry_at = Some(now + wait);
    }

    /// When to ask, if nothing happens before.
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

    pub(super) fn true_at(&self, last_message_at: Option<Duration>) -> Option<Duration> {
        let unheard = last_message_at.filter(|_| self.on_stream);
        let until = self.doubt.as_ref().map_or(unheard, |doubt| Some(doubt.since));
        self.taken_at.map(|taken| taken.max(until.unwrap_or_default()))
    }

    /// Cursors of different histories say nothing about each other.
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
