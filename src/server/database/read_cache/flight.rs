//! Flights: for each key, the requests that wait for an answer that is not in memory. One of them reads the database
//! for all.
//!
//! The time is an argument here, as the time since the cache was made.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::protocol::Cursor;

/// How many requests wait for one key at once when the key counts as crowded. Two programs with a request each are no
/// crowd, also if each of them writes and reads in turn.
const CROWD: usize = 4;
/// How long a key stays crowded after so many requests waited at once.
const CROWD_REMEMBERED: Duration = Duration::from_secs(1);
/// The time between the beginnings of two reads of a crowded key: the window in which notices are merged. So a key
/// costs at most 25 reads a second, however many clients watch it and however fast it changes.
const PACE: Duration = Duration::from_millis(40);
/// How many keys are remembered before the ones without a waiting request that are not crowded any more are dropped.
const REMEMBERED: usize = 1_024;

/// The flights of all keys. `A` is an answer.
pub(super) struct Flights<K, A>(Mutex<FlightTable<K, A>>);

struct FlightTable<K, A> {
    flights: HashMap<K, Arc<Flight<A>>>,
    /// The table is searched for keys to drop when it holds so many: twice as many as the last search left, so that a
    /// storm of requests for different keys does not search it for each of them.
    sweep_at: usize,
}

struct Flight<A> {
    state: Mutex<FlightState<A>>,
    /// Rung when the leader is done, with or without an answer.
    landed: Notify,
}

struct FlightState<A> {
    waiting: usize,
    has_leader: bool,
    last_read: Option<Duration>,
    crowded: Option<Duration>,
    /// The oldest base of the requests that joined since the last read began.
    oldest_base: Option<Cursor>,
    /// The last answer, for the requests that still wait. The cache may have no room for it.
    answer: Option<A>,
}

/// A request that waits in a flight. Dropping it leaves the flight, so a request that is cancelled blocks no other.
pub(super) struct Passenger<'f, K: Eq + Hash, A> {
    flights: &'f Flights<K, A>,
    key: K,
    flight: Arc<Flight<A>>,
}

/// The one request of a flight that may read. Dropping it wakes the others, and one of them leads next.
pub(super) struct Leader<A> {
    flight: Arc<Flight<A>>,
    is_reading: bool,
}

impl<K, A> Default for Flights<K, A> {
    fn default() -> Self {
        Self(Mutex::new(FlightTable { flights: HashMap::new(), sweep_at: REMEMBERED }))
    }
}

impl<K: Clone + Eq + Hash, A: Clone> Flights<K, A> {
    /// Joins the requests that wait for `key`. `base`: the request waits for the changes since this cursor.
    pub(super) fn join(&self, key: &K, base: Option<&Cursor>, now: Duration) -> Passenger<'_, K, A> {
        let mut table = lock(&self.0);
        if table.flights.len() >= table.sweep_at && !table.flights.contains_key(key) {
            table.flights.retain(|_, flight| lock(&flight.state).is_needed(now));
            table.sweep_at = REMEMBERED.max(2 * table.flights.len());
        }
        let flight = table.flights.entry(key.clone()).or_insert_with(|| Arc::new(Flight::new())).clone();
        let mut state = lock(&flight.state);
        state.waiting += 1;
        if let Some(base) = base
            && state.oldest_base.as_ref().is_none_or(|oldest| oldest.covers(base))
        {
            state.oldest_base = Some(base.clone());
        }
        if state.waiting >= CROWD {
            state.crowded = Some(now);
        }
        drop(state);
        Passenger { flights: self, key: key.clone(), flight }
    }

    /// The number of keys that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.0).flights.len()
    }
}

impl<K: Eq + Hash, A: Clone> Passenger<'_, K, A> {
    /// The bell of the flight.
    pub(super) fn landed(&self) -> &Notify {
        &self.flight.landed
    }

    /// Whether other requests wait too.
    pub(super) fn has_company(&self) -> bool {
        lock(&self.flight.state).waiting > 1
    }

    /// The last answer that a leader of this flight got.
    pub(super) fn answer(&self) -> Option<A> {
        lock(&self.flight.state).answer.clone()
    }

    /// Makes this request the leader, unless there is one.
    pub(super) fn lead(&self) -> Option<Leader<A>> {
        let has_leader = std::mem::replace(&mut lock(&self.flight.state).has_leader, true);
        (!has_leader).then(|| Leader { flight: self.flight.clone(), is_reading: false })
    }
}

impl<A> Leader<A> {
    /// Begins to read, or returns the time at which the read may begin. Returns the oldest base of the requests that
    /// the read is for.
    pub(super) fn begin_read(&mut self, now: Duration) -> Result<Option<Cursor>, Duration> {
        let mut state = lock(&self.flight.state);
        let paced = state.last_read.filter(|_| state.is_crowded(now)).map(|last| last + PACE);
        match paced {
            Some(begin) if begin > now => Err(begin),
            _ => {
                state.last_read = Some(now);
                self.is_reading = true;
                Ok(state.oldest_base.take())
            }
        }
    }

    /// Ends the read. `answer` is for the other requests of the flight.
    pub(super) fn land(mut self, answer: Option<A>) {
        self.is_reading = false;
        if let Some(answer) = answer {
            lock(&self.flight.state).answer = Some(answer);
        }
    }
}

impl<A> Flight<A> {
    fn new() -> Self {
        let state = FlightState {
            waiting: 0,
            has_leader: false,
            last_read: None,
            crowded: None,
            oldest_base: None,
            answer: None,
        };
        Self { state: Mutex::new(state), landed: Notify::new() }
    }
}

impl<A> FlightState<A> {
    fn is_crowded(&self, now: Duration) -> bool {
        self.crowded.is_some_and(|at| now < at + CROWD_REMEMBERED)
    }

    fn is_needed(&self, now: Duration) -> bool {
        self.waiting > 0 || self.is_crowded(now)
    }
}

impl<A> Drop for Leader<A> {
    fn drop(&mut self) {
        let mut state = lock(&self.flight.state);
        state.has_leader = false;
        if self.is_reading {
            // The read failed or was given up. The requests that wait find that out for themselves, one after the other
            // and without a pause: their patience is bounded.
            state.last_read = None;
        }
        drop(state);
        self.flight.landed.notify_waiters();
    }
}

impl<K: Eq + Hash, A> Drop for Passenger<'_, K, A> {
    fn drop(&mut self) {
        // The map is locked first, as in `join`: a request that joins finds either this flight or none.
        let mut table = lock(&self.flights.0);
        let mut state = lock(&self.flight.state);
        state.waiting -= 1;
        if state.waiting > 0 {
            return;
        }
        state.answer = None;
        state.oldest_base = None;
        if state.crowded.is_none() {
            drop(state);
            table.flights.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
