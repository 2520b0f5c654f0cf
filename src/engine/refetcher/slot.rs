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
    /// The newest cursor that was held or demanded in the epoch before. An answer of that epoch that does not cover it is
    /// too old.
    last_of_other_epoch: Option<Cursor>,
    /// When the held answer was asked for.
    pub(super) asked_at: Option<u64>,
    /// The last answer says that the read model does not exist.
    pub(super) absent: bool,
    pub(super) doubt: Option<Doubt>,
    /// When to fetch without any notice.
    pub(super) safety_at: u64,
    /// The held answer is of an earlier run of the client, and no stream of this run has told of it yet.
    pub(super) restored: bool,
    /// When to fetch without any notice while no stream can be opened.
    pub(super) poll_at: u64,
    /// The last answer to the narrowing left it out, although the request had it.
    pub(super) left_out: bool,
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

/// The answer to a fetch.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct CursorAnswer<'a> {
    pub(in crate::engine) cursor: &'a Cursor,
    /// The read model does not exist.
    pub(in crate::engine) absent: bool,
    /// The cursor of the last message, if the answer is of another epoch than the open stream, or of an ended one.
    pub(in crate::engine) other_epoch: Option<&'a Cursor>,
    /// A stream told that the epoch of the answer has ended.
    pub(in crate::engine) ended: bool,
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
    /// When a person asked for it; zero after the fetch began.
    asked_at: u64,
    /// No fetch before this: the server spreads its clients. Zero: a person ended the wait, or there is none.
    spread_until: u64,
    /// The share of the spread is drawn.
    spread_drawn: bool,
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
    /// The stream brought its first message.
    pub(in crate::engine) up: bool,
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
            // First in the queue.
            _ if self.wished => 0,
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
                    demand(&mut doubt.need, &mut self.last_of_other_epoch, cursor);
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
        if mark.urgency == Urgency::Wished {
            self.end_waits_by_wish();
        }
        let in_flight = self.flight.is_some();
        let doubt = self.doubt(mark.why, mark.true_until, now);
        if doubt.first.is_none() {
            doubt.first = Some(now);
            doubt.at_once = idle;
        }
        doubt.why = mark.why;
        doubt.last = now;
        doubt.at_once |= mark.urgency != Urgency::Debounced;
        doubt.wished |= mark.urgency == Urgency::Wished;
        doubt.behind |= mark.behind;
        if mark.why == Why::Asked {
            doubt.asked_at = now;
        }
        if wait > 0 && !std::mem::replace(&mut doubt.spread_drawn, true) {
            doubt.spread_until = now + wait;
        }
        doubt.needs_later_fetch |= in_flight && mark.cursor.is_none();
        if let (Some(cursor), Some(doubt)) = (mark.cursor.or(mark.least), &mut self.doubt) {
            demand(&mut doubt.need, &mut self.last_of_other_epoch, cursor);
        }
    }

    /// The doubt about the held answer, which begins now if there is none.
    fn doubt(&mut self, why: Why, true_until: u64, now: u64) -> &mut Doubt {
        let on_stream = self.on_stream;
        self.doubt.get_or_insert_with(|| Doubt {
            why,
            since: now,
            true_until: on_stream.then_some(true_until),
            first: None,
            last: now,
            at_once: false,
            wished: false,
            asked_at: 0,
            spread_until: 0,
            spread_drawn: false,
            need: None,
            needs_later_fetch: false,
            behind: false,
            fell_short: false,
        })
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
        self.restored = false;
        self.safety_at = safety_at;
        if !held.covers(to) {
            self.drop_other_epoch(to);
            self.cursor = Some(to.clone());
        }
        true
    }

    /// Takes the answer that came with the first message of a stream that began at `began_at`. Returns whether to show it.
    pub(super) fn adopt_carried(&mut self, cursor: &Cursor, [began_at, safety, poll]: [u64; 3], now: u64) -> bool {
        if self.cursor.as_ref().is_some_and(|held| held.epoch() == cursor.epoch() && !cursor.covers(held)) {
            return false;
        }
        self.drop_other_epoch(cursor);
        self.take(cursor, false, now);
        (self.safety_at, self.poll_at) = (now + safety, now + poll);
        // The message is later than each reason before it, also than one without a cursor. But the server may have made
        // the message before a wish that came after the stream began.
        self.doubt
            .take_if(|doubt| doubt.need.as_ref().is_none_or(|need| cursor.covers(need)) && doubt.asked_at <= began_at);
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
            doubt.asked_at = 0;
            doubt.spread_until = 0;
            doubt.spread_drawn = false;
            doubt.needs_later_fetch = false;
            why = doubt.why;
            need = doubt.need.clone();
            // An answer that does not cover the held one is dropped.
            at_least = match (&need, &self.cursor) {
                (Some(need), held) => Some(joined(held.as_ref(), need)),
                (None, held) => held.clone().filter(|_| doubt.fell_short),
            };
        }
        self.why = Some(why);
        self.restored = false;
        self.flight = Some(Flight { began_at: now, need, outdated: false });
        (why, at_least)
    }

    /// Takes an answer. `backoff` is the pause before the next fetch if this answer and the one before it are both too
    /// old. `safety` and `poll` are the waits before a fetch without any reason. Returns the verdict, and whether the
    /// answer ended a demand of an earlier epoch.
    pub(super) fn handle_answer(
        &mut self,
        answer: &CursorAnswer<'_>,
        [backoff, safety, poll]: [u64; 3],
        now: u64,
    ) -> (FetchVerdict, bool) {
        let cursor = answer.cursor;
        let Some(mut flight) = self.flight.take() else { return (FetchVerdict::Drop, false) };
        let too_old = self
            .last_of_other_epoch
            .as_ref()
            .is_some_and(|past| past.epoch() == cursor.epoch() && !cursor.covers(past));
        let mut ends_epoch = false;
        if let Some(doubt) = &mut self.doubt
            && answer.other_epoch.is_none()
            && !too_old
            && let (Some(need), Some(demanded)) = (&doubt.need, &flight.need)
            && demanded.covers(need)
            && need.epoch() != cursor.epoch()
        {
            // No stream is there to tell, but the epoch of the demand has ended: no answer can meet it.
            remember(&mut self.last_of_other_epoch, need);
            (doubt.need, flight.need, ends_epoch) = (None, None, true);
        }
        let settled =
            answer.other_epoch.is_none() && self.doubt.as_ref().is_none_or(|doubt| doubt.is_settled_by(cursor));
        let taken = match &self.cursor {
            _ if too_old => false,
            Some(held) => cursor.covers(held) || cursor.epoch() != held.epoch() && !flight.outdated && !answer.ended,
            // The body of an ended epoch may still be held.
            None => settled || !(flight.outdated || answer.ended && self.asked_at.is_some()),
        };
        self.safety_at = now + safety;
        // A slow server gets a pause.
        self.poll_at = (flight.began_at + poll).max(now + poll.min(POLL_PAUSE));
        if taken {
            self.take(cursor, answer.absent, flight.began_at);
            if let Some(stream) = answer.other_epoch {
                // The stream would not tell the next change of this answer.
                self.doubt(self.why.unwrap_or(Why::Safety), now, now);
                if let Some(doubt) = &mut self.doubt {
                    demand(&mut doubt.need, &mut self.last_of_other_epoch, stream);
                }
            }
        }
        let unmet = flight.need.is_some_and(|need| !cursor.covers(&need));
        let short = !taken || unmet || answer.other_epoch.is_some();
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
        (if taken { FetchVerdict::Keep } else { FetchVerdict::Drop }, ends_epoch)
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
                if !doubt.wished {
                    waits.spread = doubt.spread_until;
                    waits.pace = self.pace_until;
                }
            }
            None => {
                waits.debounce = match scene {
                    Scene { polling: true, .. } => self.poll_at,
                    Scene { up: true, .. } => self.safety_at,
                    Scene { up: false, .. } if self.restored => self.safety_at,
                    // The next stream tells at once, and without a request, which read models have changed.
                    Scene { up: false, polling: false, .. } => return None,
                };
                waits.pace = self.pace_until;
            }
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

    fn take(&mut self, cursor: &Cursor, absent: bool, asked_at: u64) {
        self.drop_held_of_other_epoch(cursor);
        self.restored = false;
        self.cursor = Some(cursor.clone());
        self.absent = absent;
        self.asked_at = Some(asked_at);
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
        self.drop_held_of_other_epoch(cursor);
    }

    /// Drops the held cursor if `cursor` has another epoch, and remembers it.
    fn drop_held_of_other_epoch(&mut self, cursor: &Cursor) {
        if let Some(held) = self.cursor.take_if(|held| held.epoch() != cursor.epoch()) {
            remember(&mut self.last_of_other_epoch, &held);
        }
    }
}

/// Adds a cursor of an ended epoch to the cursors that were held and demanded there.
fn remember(last: &mut Option<Cursor>, cursor: &Cursor) {
    *last = Some(joined(last.as_ref(), cursor));
}

/// Adds `cursor` to a demand. A demand of another epoch ends, because no answer can meet both, and is remembered.
fn demand(need: &mut Option<Cursor>, last: &mut Option<Cursor>, cursor: &Cursor) {
    if let Some(ended) = need.take_if(|need| need.epoch() != cursor.epoch()) {
        remember(last, &ended);
    }
    *need = Some(joined(need.as_ref(), cursor));
}

/// The cursor that contains both; `cursor` alone if the other one is of another epoch.
fn joined(other: Option<&Cursor>, cursor: &Cursor) -> Cursor {
    other.and_then(|other| other.joined(cursor)).unwrap_or_else(|| cursor.clone())
}

/// A polled read model is fetched no sooner than this after its last answer.
const POLL_PAUSE: u64 = 1_000;

/// The pace begins anew after this long without a notice and without the beginning of a fetch.
const PACE_MEMORY: u64 = 1_000;
