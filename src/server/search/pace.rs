//! The pace of the index: how much one step does, and how long the index then leaves the write lock to others.

use std::time::Duration;

/// How many changes or rows one step looks at.
pub(super) const ROWS_PER_STEP: u32 = 200;
/// How long to rest after a step, in times of how long the step held the write lock: others have it most of the time.
const REST_FACTOR: u32 = 2;
/// The shortest rest.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// How long to rest after the write lock was held for `held`.
pub(super) fn rest_after(held: Duration) -> Duration {
    (held * REST_FACTOR).max(SHORTEST_REST)
}
