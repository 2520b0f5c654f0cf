//! The spread: over which time the clients that one notice reaches send their requests.
//!
//! Ten thousand clients that ask in the same millisecond would take the cores from each write for seconds. So a notice that
//! reaches many streams tells its clients to wait a random share of a time: the time in which the server can answer them
//! all with half of a core.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A shorter spread is not sent: the debounce of the clients takes as long.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest spread. A client waits for no longer time, see rule 9 of the contract.
const LONGEST: Duration = Duration::from_secs(60);
/// The weight of a new measurement in the average.
const NEWEST: f64 = 1.0 / 64.0;
/// The cost of an answer before the first one was measured.
const FIRST_GUESS: Duration = Duration::from_micros(100);

/// The average time that the server needs for an answer.
#[derive(Debug)]
pub struct AnswerCost(AtomicU64);

impl Default for AnswerCost {
    fn default() -> Self {
        Self(AtomicU64::new(FIRST_GUESS.as_secs_f64().to_bits()))
    }
}

impl AnswerCost {
    /// Notes the time that an answer took, without its waits.
    pub fn note(&self, took: Duration) {
        // Two notes at once can lose one of them. The average moves on with the next.
        let average = f64::from_bits(self.0.load(Ordering::Relaxed));
        let next = average + (took.as_secs_f64() - average) * NEWEST;
        self.0.store(next.to_bits(), Ordering::Relaxed);
    }

    /// The spread of a notice that reaches so many streams, in milliseconds. None if the streams are few.
    pub fn spread_ms(&self, streams: usize) -> Option<u32> {
        let cost = f64::from_bits(self.0.load(Ordering::Relaxed));
        let spread = Duration::try_from_secs_f64(2.0 * cost * streams as f64).unwrap_or(LONGEST).min(LONGEST);
        (spread >= SHORTEST).then(|| u32::try_from(spread.as_millis()).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::AnswerCost;

    #[test]
    fn the_spread_follows_the_streams_and_the_cost() {
        let cost = AnswerCost::default();
        assert_eq!(cost.spread_ms(1), None);
        assert_eq!(cost.spread_ms(249), None);
        assert_eq!(cost.spread_ms(250), Some(50));
        assert_eq!(cost.spread_ms(10_000), Some(2_000));
        for _ in 0..1_000 {
            cost.note(Duration::from_millis(1));
        }
        assert_eq!(cost.spread_ms(1_000), Some(1_999));
        assert_eq!(cost.spread_ms(usize::MAX), Some(60_000));
    }
}
