//! The times from a change to each watcher.
//!
//! The cursor of a change is known when its write is answered, and a frame can arrive before that. So an arrival is
//! kept until no older write waits for its answer. A sample of the changes is measured, so that a long run with many
//! watchers needs little memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use requery::protocol::Cursor;
use tokio::time::Instant;

use super::times::Times;

/// About how many changes are measured at most. Each of them is measured at each watcher that notes times.
const MEASURED: u64 = 1_000;

/// The changes and the arrivals of a run.
pub struct Delays {
    /// One change of so many is measured.
    one_of: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The times at which the measured changes began whose cursor is not known yet.
    open: Vec<Instant>,
    changes: Vec<(Cursor, Instant)>,
    watchers: Vec<Watcher>,
    arrivals: Vec<Arrival>,
    /// The last cursor that came, with its text.
    newest: Option<(Box<str>, Arc<Cursor>)>,
    flushes: u64,
    /// The text of a notice.
    sample: String,
    times: Times,
}

/// A watcher that notes times.
#[derive(Clone, Default)]
struct Watcher {
    reached: Option<Arc<Cursor>>,
    /// The changes that did not arrive yet, as places in the list of changes.
    waiting: Vec<usize>,
}

/// The arrival of a cursor at a watcher.
struct Arrival {
    watcher: usize,
    cursor: Arc<Cursor>,
    at: Instant,
}

/// What arrived.
#[derive(Default)]
pub struct Arrived {
    /// The number of flushes that the watchers saw.
    pub flushes: u64,
    /// The text of a notice.
    pub sample: String,
    /// The times from a change to the first frame that contains the change.
    pub times: Times,
}

impl Delays {
    /// The delays of a run with so many changes.
    pub fn new(watchers: usize, changes: u64) -> Self {
        let state = State { watchers: vec![Watcher::default(); watchers], ..State::default() };
        Self { one_of: changes.div_ceil(MEASURED).max(1), state: Mutex::new(state) }
    }

    /// A change begins. Returns whether the change is measured: then [`Delays::end`] has to follow.
    pub fn begin(&self, at: Instant) -> bool {
        // A fixed step could always meet the same tasks.
        let is_measured = fastrand::u64(..self.one_of) == 0;
        if is_measured {
            self.lock().open.push(at);
        }
        is_measured
    }

    /// The measured change that began at this time has this cursor. None: it failed.
    pub fn end(&self, at: Instant, cursor: Option<&Cursor>) {
        let state = &mut *self.lock();
        if let Some(place) = state.open.iter().position(|began| *began == at) {
            state.open.swap_remove(place);
        }
        if let Some(cursor) = cursor {
            let place = state.changes.len();
            state.changes.push((cursor.clone(), at));
            state.watchers.iter_mut().for_each(|watcher| watcher.waiting.push(place));
        }
    }

    /// The last frame of a flush arrived.
    pub fn note(&self, watcher: usize, cursor: &str, text: &str, is_sample: bool, at: Instant) {
        let state = &mut *self.lock();
        let known = state.newest.as_ref().filter(|(newest, _)| **newest == *cursor).map(|(_, newest)| newest.clone());
        let cursor = match known {
            Some(cursor) => cursor,
            None => {
                let Ok(parsed) = cursor.parse::<Cursor>() else { return };
                let parsed = Arc::new(parsed);
                // A watcher that is behind brings a cursor again that another one brought before.
                if state.newest.as_ref().is_none_or(|(_, newest)| !newest.covers(&parsed)) {
                    state.newest = Some((cursor.into(), parsed.clone()));
                    state.flushes += 1;
                    if is_sample {
                        text.clone_into(&mut state.sample);
                    }
                }
                parsed
            }
        };
        state.watchers[watcher].reached = Some(cursor.clone());
        state.arrivals.push(Arrival { watcher, cursor, at });
    }

    /// Whether each watcher that notes times has the changes of this cursor.
    pub fn have_all(&self, cursor: &Cursor) -> bool {
        let has_it = |watcher: &Watcher| watcher.reached.as_ref().is_some_and(|reached| reached.covers(cursor));
        self.lock().watchers.iter().all(has_it)
    }

    /// Measures the arrivals before which no write waits for its answer, and forgets them.
    pub fn settle(&self) {
        let state = &mut *self.lock();
        let State { open, changes, watchers, times, .. } = state;
        let oldest = open.iter().min().copied();
        state.arrivals.retain(|arrival| {
            if oldest.is_some_and(|oldest| arrival.at >= oldest) {
                return true;
            }
            watchers[arrival.watcher].waiting.retain(|place| {
                let (change, began) = &changes[*place];
                let is_there = arrival.cursor.covers(change);
                if is_there {
                    times.note(arrival.at.saturating_duration_since(*began));
                }
                !is_there
            });
            false
        });
    }

    /// Takes the figures at the end of the run.
    pub fn finish(&self) -> Arrived {
        self.lock().open.clear();
        self.settle();
        let state = std::mem::take(&mut *self.lock());
        Arrived { flushes: state.flushes, sample: state.sample, times: state.times }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use requery::protocol::Cursor;
    use tokio::time::Instant;

    use super::Delays;

    #[test]
    fn a_frame_that_comes_before_the_answer_to_its_write_is_measured() {
        let (delays, start) = (Delays::new(2, 1), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let arrives = |watcher, number, ms| {
            let cursor = Cursor::counter("epoch", number).to_string();
            delays.note(watcher, &cursor, "a notice", true, at(ms));
            delays.settle();
        };
        arrives(0, 1, 0);
        assert!(delays.begin(at(10)));
        arrives(0, 2, 20);
        delays.end(at(10), Some(&Cursor::counter("epoch", 2)));
        arrives(0, 3, 30);
        assert!(!delays.have_all(&Cursor::counter("epoch", 2)));
        arrives(1, 2, 50);
        arrives(1, 3, 60);
        assert!(delays.have_all(&Cursor::counter("epoch", 3)));
        let arrived = delays.finish();
        assert_eq!((arrived.flushes, arrived.times.count(), arrived.sample.as_str()), (3, 2, "a notice"));
        let [first, second] = [0.5, 1.0].map(|share| arrived.times.percentile(share).unwrap_or_default().round());
        assert_eq!((first, second), (10.0, 40.0));
    }
}
