//! Which answers are held, which are in doubt, and when each read model is fetched again.
//!
//! The module is generic over the key of a read model: it knows no tasks. It deliberately lacks bodies, which the
//! driver's store keeps, and the connection: the engine translates messages into calls.

mod mark;
mod queue;
mod restored;
mod slot;
mod state;

use std::sync::Arc;

use queue::DueQueue;
use slot::Slot;

use super::fetch::{Fetch, FetchVerdict, Ticket, Why};
use super::flat::{FlatMap, WatchedList};
use super::random::Random;
use super::settings::{Timing, earlier};
use crate::protocol::{Cursor, Key, Watched};

pub(super) use mark::{Mark, Urgency};
pub(super) use slot::{CursorAnswer, Scene};

/// Fetches each read model that is stale and watched: debounced and paced, one fetch at a time for each, until one
/// succeeds.
#[derive(Debug)]
pub(super) struct Refetcher<K> {
    settings: Arc<Timing>,
    random: Random,
    slots: FlatMap<K, Box<Slot>>,
    /// The read models whose whole bodies the first message of a new stream has.
    carried: Vec<K>,
    scene: Scene,
    queue: DueQueue<K>,
    /// How many watched read models are not fetched yet after a change from a time without connection.
    behind: usize,
    /// The fetches under way, at most `parallel`.
    flights: Vec<UnderWay<K>>,
    /// The read models without a watch and the times when it ended, those first that were left first.
    idle: Vec<(u64, K)>,
    hidden: bool,
    tickets: u64,
    /// The last fetch that ended reached the server.
    reached: bool,
    /// Answers of an earlier run are held, and no stream has begun yet.
    restoring: bool,
}

/// A fetch that is under way.
#[derive(Debug)]
struct UnderWay<K> {
    ticket: Ticket,
    key: K,
    /// The fetch has failed if it has no answer by then.
    deadline: u64,
}

impl<K: Key> Refetcher<K> {
    pub(super) fn new(settings: Arc<Timing>, carried: Vec<K>, random: Random) -> Self {
        Self {
            settings,
            random,
            slots: FlatMap::new(),
            carried,
            scene: Scene::default(),
            queue: DueQueue::new(),
            behind: 0,
            flights: Vec::new(),
            idle: Vec::new(),
            hidden: false,
            tickets: 0,
            reached: false,
            restoring: false,
        }
    }

    /// `stream_cursor` is the cursor of the last message, if the stream already reports the changes of `key`. `floor` is
    /// the cursor that the application's own writes demand.
    pub(super) fn watch(
        &mut self,
        key: K,
        stream_cursor: Option<&Cursor>,
        least: Option<&Cursor>,
        floor: Option<&Cursor>,
        now: u64,
    ) {
        self.idle.retain(|(_, idle)| *idle != key);
        if self.slots.get(&key).is_none() {
            self.slots.insert(key.clone(), Box::default());
        }
        let Some((at, slot)) = self.slots.find(&key) else { return };
        slot.watched = true;
        slot.carried = self.carried.contains(&key);
        // The first message says whether the restored answer is true.
        if self.restoring && slot.on_stream && slot.doubt.is_none() && slot.why.is_none() && floor.is_none() {
            self.settle(at);
            return;
        }
        let mark = Mark { least, ..Mark::new(Why::Watched, stream_cursor, now) };
        let mut mark = mark.with_urgency(Urgency::Wished);
        // Without a report of its changes, the model may have changed since the last fetch.
        if stream_cursor.is_none() || !slot.on_stream || !slot.is_held() {
            slot.on_stream = false;
            slot.mark(&mark, 0, &self.settings, now);
            slot.on_stream = stream_cursor.is_some();
        }
        if floor.is_some() {
            mark.cursor = floor;
            slot.mark(&mark, 0, &self.settings, now);
        }
        // The screen may be back during a wait.
        slot.wish();
        self.settle(at);
    }

    pub(super) fn unwatch(&mut self, key: &K, now: u64) {
        let Some((at, slot)) = self.slots.find(key) else { return };
        if std::mem::take(&mut slot.watched) {
            self.settle(at);
            self.idle.push((now, key.clone()));
            self.forget_idle(now);
        }
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
    pub(super) fn mark_all(&mut self, mark: &Mark<'_>, now: u64) {
        for at in 0..self.slots.len() {
            self.mark_at(at, mark, now);
        }
    }

    /// The read models of `place` may have changed. A held answer that covers `mark.cursor` stays as it is.
    pub(super) fn mark(&mut self, place: &Watched<K>, mark: &Mark<'_>, now: u64) {
        match place {
            Watched::One(key) => {
                if let Some((at, _)) = self.slots.find(key) {
                    self.mark_at(at, mark, now);
                }
            }
            Watched::Group(group) => {
                for at in 0..self.slots.len() {
                    if self.slots.at(at).is_some_and(|(key, _)| key.is_in(group)) {
                        self.mark_at(at, mark, now);
                    }
                }
            }
        }
    }

    /// The stream resumed at `since`: read models that it does not list have not changed up to `mark.cursor`.
    pub(super) fn handle_resumed(&mut self, since: &Cursor, listed: &WatchedList<K>, mark: &Mark<'_>, now: u64) {
        for at in 0..self.slots.len() {
            let safety_at = now + self.random.about(self.settings.safety);
            let Some((key, slot)) = self.slots.at_mut(at) else { return };
            if listed.includes(key) || !slot.adopt_resumed(since, mark, safety_at) {
                self.mark_at(at, mark, now);
            }
        }
    }

    /// The first message of the stream has the whole body of `key` at `cursor`. Returns whether to show that body.
    /// That stream began at `began_at`.
    pub(super) fn handle_carried(&mut self, key: &K, cursor: &Cursor, began_at: u64, now: u64) -> bool {
        let Some((at, slot)) = self.slots.find(key) else { return false };
        let waits = [began_at, self.random.about(self.settings.safety), self.random.poll(&self.settings)];
        let shown = slot.adopt_carried(cursor, waits, now);
        self.settle(at);
        shown
    }

    /// The stream reports the changes of all read models from now on.
    pub(super) fn add_all_to_stream(&mut self) {
        for (_, slot) in self.slots.iter_mut() {
            (slot.on_stream, slot.left_out) = (true, false);
        }
        self.restoring = false;
    }

    /// The stream reports the changes of the read models of `confirmed`, and of no other. A read model that was asked for
    /// and was not on the stream before may have changed up to `mark.cursor`. One that the answer before left out too is
    /// stale only by its safety refetch: each change of the watched set would fetch it.
    pub(super) fn set_on_stream(
        &mut self,
        asked: Option<&WatchedList<K>>,
        confirmed: &WatchedList<K>,
        mark: &Mark<'_>,
        now: u64,
    ) {
        for at in 0..self.slots.len() {
            let Some((key, slot)) = self.slots.at_mut(at) else { return };
            let reported = confirmed.includes(key);
            let left_out = !reported && asked.is_some_and(|asked| asked.includes(key));
            // The mark is about the time before.
            let doubtful = !slot.on_stream && (reported || left_out && !slot.left_out);
            slot.left_out = left_out;
            if doubtful {
                self.mark_at(at, mark, now);
            }
            if let Some((_, slot)) = self.slots.at_mut(at) {
                slot.on_stream = reported;
            }
        }
    }

    /// Ends all waits after failures: the server is back.
    pub(super) fn clear_backoff(&mut self) {
        for at in 0..self.slots.len() {
            let Some((_, slot)) = self.slots.at_mut(at) else { return };
            slot.retry_at = 0;
            self.settle(at);
        }
    }

    /// A person looks at the screen: ends the waits that the server demanded.
    pub(super) fn end_waits_by_wish(&mut self) {
        for at in 0..self.slots.len() {
            let Some((_, slot)) = self.slots.at_mut(at) else { return };
            if slot.watched {
                slot.end_waits_by_wish();
                self.settle(at);
            }
        }
    }

    pub(super) fn set_hidden(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    pub(super) fn set_scene(&mut self, scene: Scene) {
        if std::mem::replace(&mut self.scene, scene) != scene {
            self.fill_queue();
        }
    }

    /// Forgets read models that no screen shows.
    pub(super) fn handle_time(&mut self, now: u64) {
        self.forget_idle(now);
    }

    /// A fetch that the driver ends: it takes too long, or no screen waits for it any more, or `all` must end.
    pub(super) fn poll_cancel(&mut self, all: bool, now: u64) -> Option<Ticket> {
        let waits = |slot: &Slot| slot.watched && slot.flight.is_some();
        let left = |flight: &UnderWay<K>| !self.slots.get(&flight.key).is_some_and(|slot| waits(slot));
        let number = self.flights.iter().position(|flight| all || flight.deadline <= now || left(flight))?;
        let flight = take_at(&mut self.flights, number)?;
        if let Some((at, slot)) = self.slots.find(&flight.key) {
            slot.flight = None;
            if flight.deadline <= now {
                self.reached = false;
                self.handle_failure(at, 0, now);
            }
            self.settle(at);
        }
        Some(flight.ticket)
    }

    /// Takes the answer to a fetch; without one, the fetch failed, and the server demands a wait of `least`. Returns the
    /// verdict, and whether the answer ended a demand of an earlier epoch.
    pub(super) fn handle_fetched(
        &mut self,
        ticket: Ticket,
        answer: Result<&CursorAnswer<'_>, u64>,
        now: u64,
    ) -> (FetchVerdict, bool) {
        let number = self.flights.iter().position(|flight| flight.ticket == ticket);
        let flight = number.and_then(|number| take_at(&mut self.flights, number));
        let Some(flight) = flight else { return (FetchVerdict::Drop, false) };
        let Some((at, slot)) = self.slots.find(&flight.key) else { return (FetchVerdict::Drop, false) };
        self.reached = answer.is_ok();
        let verdict = match answer {
            Ok(answer) => {
                let backoff = self.random.backoff(&self.settings, slot.failures.saturating_add(1));
                let waits = [backoff, self.random.about(self.settings.safety), self.random.poll(&self.settings)];
                slot.handle_answer(answer, waits, now)
            }
            Err(least) => {
                self.handle_failure(at, least, now);
                (FetchVerdict::Drop, false)
            }
        };
        self.settle(at);
        verdict
    }

    fn handle_failure(&mut self, at: usize, least: u64, now: u64) {
        let Some((_, slot)) = self.slots.at_mut(at) else { return };
        let backoff = self.random.backoff(&self.settings, slot.failures.saturating_add(1));
        slot.handle_failure(least.min(self.settings.longest_wait) + backoff, now);
    }

    /// The next fetch.
    pub(super) fn poll(&mut self, now: u64) -> Option<Fetch<K>> {
        if !self.may_fetch() {
            return None;
        }
        loop {
            let (queued_at, key) = self.queue.first()?;
            let found = self.slots.find(key).filter(|(_, slot)| slot.queued_at == Some(queued_at));
            let Some((at, slot)) = found else {
                self.queue.pop(); // The read model is forgotten, or has another entry.
                continue;
            };
            let due = slot.waits(&self.settings, self.scene).map(|waits| waits.end());
            if due.is_some_and(|due| due <= queued_at && due > now) {
                return None;
            }
            let key = self.queue.pop()?;
            slot.queued_at = None;
            if due.is_none_or(|due| due > queued_at) {
                self.settle(at);
                continue;
            }
            let (why, at_least) = slot.begin(&self.settings, self.scene.polling, now);
            self.settle(at);
            self.tickets = self.tickets.wrapping_add(1);
            let ticket = Ticket::from_number(self.tickets);
            let deadline = now + self.settings.fetch_timeout;
            self.flights.push(UnderWay { ticket, key: key.clone(), deadline });
            return Some(Fetch { ticket, model: key, at_least, why });
        }
    }

    /// When something may be to be done, unless an input comes before. `barred` is whether fetches must wait for another
    /// input.
    pub(super) fn poll_timeout(&self, barred: bool) -> Option<u64> {
        let deadline = self.flights.iter().map(|flight| flight.deadline).min();
        let due = self.queue.first().map(|(due, _)| due);
        if barred || !self.may_fetch() { deadline } else { earlier(deadline, due) }
    }

    /// Whether a change from a time without connection is not fetched yet.
    pub(super) fn is_behind(&self) -> bool {
        self.behind > 0
    }

    /// Whether the last fetch that ended reached the server.
    pub(super) fn is_reached(&self) -> bool {
        self.reached
    }

    fn mark_at(&mut self, at: usize, mark: &Mark<'_>, now: u64) {
        let wait = self.random.spread(mark.spread, &self.settings);
        if let Some((_, slot)) = self.slots.at_mut(at) {
            slot.mark(mark, wait, &self.settings, now);
            self.settle(at);
        }
    }

    /// Notes the state of a read model after a change: when it is due, and whether it is behind.
    fn settle(&mut self, at: usize) {
        let Some((key, slot)) = self.slots.at_mut(at) else { return };
        let behind = slot.is_behind();
        match (std::mem::replace(&mut slot.counted_behind, behind), behind) {
            (false, true) => self.behind += 1,
            (true, false) => self.behind -= 1,
            (false, false) | (true, true) => {}
        }
        let due = slot.waits(&self.settings, self.scene).map(|waits| waits.end());
        let Some(due) = due.filter(|due| slot.queued_at.is_none_or(|queued_at| *due < queued_at)) else { return };
        slot.queued_at = Some(due);
        self.queue.push(due, key.clone());
        // Each read model needs one entry. The others are later ones from before, which are worth no search.
        if self.queue.len() > 2 * self.slots.len() + QUEUE_SPARE {
            self.fill_queue();
        }
    }

    /// Makes the queue anew.
    fn fill_queue(&mut self) {
        self.queue.clear();
        for (key, slot) in self.slots.iter_mut() {
            slot.queued_at = slot.waits(&self.settings, self.scene).map(|waits| waits.end());
            if let Some(due) = slot.queued_at {
                self.queue.push(due, key.clone());
            }
        }
    }

    /// Forgets the read models that no screen shows, except the last ones.
    fn forget_idle(&mut self, now: u64) {
        let mut too_many = self.idle.len().saturating_sub(self.settings.remembered);
        self.idle.retain(|(left_at, key)| {
            let forgotten = too_many > 0 || *left_at + self.settings.remembered_for <= now;
            if forgotten {
                too_many = too_many.saturating_sub(1);
                self.slots.remove(key);
            }
            !forgotten
        });
    }

    fn may_fetch(&self) -> bool {
        !self.hidden && self.flights.len() < self.settings.parallel
    }
}

/// Takes one entry out of a list whose order has no meaning.
fn take_at<T>(list: &mut Vec<T>, at: usize) -> Option<T> {
    let last = list.pop()?;
    Some(match list.get_mut(at) {
        Some(place) => std::mem::replace(place, last),
        None => last,
    })
}

/// How many outdated entries the queue may have beside one for each read model.
const QUEUE_SPARE: usize = 64;

#[cfg(test)]
mod tests;
