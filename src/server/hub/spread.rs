//! The spread: over which time the clients that one notice reaches send their requests.
//!
//! Ten thousand clients that ask in the same millisecond would take the cores from each write for seconds. So a notice
//! that reaches many streams tells its clients to wait a random share of a time: the time in which the server can
//! answer them all with half of a core.

use std::time::Duration;

/// A shorter spread is not sent: the debounce of the clients takes as long.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest spread. A client waits for no longer time, see rule 9 of the contract.
const LONGEST: Duration = Duration::from_secs(60);
/// The cost of a request besides its answer: the HTTP library takes so much of a core.
const REQUEST: Duration = Duration::from_micros(100);

/// The spread of a notice that reaches so many streams, in milliseconds. None if the streams are few. `answer` is the
/// average time that the server needs for an answer.
pub(super) fn spread_ms(streams: usize, answer: Duration) -> Option<u32> {
    let seconds = 2.0 * (REQUEST + answer).as_secs_f64() * streams as f64;
    let spread = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST);
    (spread >= SHORTEST).then(|| u32::try_from(spread.as_millis()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::spread_ms;

    #[test]
    fn the_spread_follows_the_streams_and_the_cost() {
        for (streams, answer_us, expected) in [
            (0, 0, None),
            (1, 1_000, None),
            (249, 0, None),
            (250, 0, Some(50)),
            (10_000, 0, Some(2_000)),
            (1_000, 900, Some(2_000)),
            (usize::MAX, 0, Some(60_000)),
        ] {
            assert_eq!(spread_ms(streams, Duration::from_micros(answer_us)), expected, "{streams} {answer_us}");
        }
    }
}
