//! The times that all views of a client share: a heartbeat moves one of them, and rewrites no view.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;

/// The longest wait of one timer. The timers of the operating system may stand still while the machine sleeps, so the
/// driver looks at the clock at least this often.
pub(super) const LONGEST_TIMER: Duration = Duration::from_secs(10);

/// A driver that is later than this did not run: the machine slept, or the runtime is blocked.
const LATE: Duration = Duration::from_secs(12);

#[derive(Debug)]
pub(super) struct SharedTimes {
    pub(super) clock: Clock,
    /// Milliseconds of the clock.
    last_message_at: AtomicU64,
    driver_ran_at: AtomicU64,
}

/// The times at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) clock: Clock,
    pub(super) last_message_at: Duration,
    driver_ran_at: Duration,
}

impl SharedTimes {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, last_message_at: AtomicU64::new(0), driver_ran_at: AtomicU64::new(0) }
    }

    pub(super) fn note_message(&self, now: Duration) {
        self.last_message_at.store(as_ms(now), Ordering::Release);
    }

    pub(super) fn note_driver(&self, now: Duration) {
        self.driver_ran_at.store(as_ms(now), Ordering::Release);
    }

    pub(super) fn moment(&self) -> Moment {
        let time = |ms: &AtomicU64| Duration::from_millis(ms.load(Ordering::Acquire));
        Moment {
            clock: self.clock,
            last_message_at: time(&self.last_message_at),
            driver_ran_at: time(&self.driver_ran_at),
        }
    }
}

impl Moment {
    /// Whether the driver did not look at the clock for longer than its longest wait.
    pub(super) fn is_driver_late(&self) -> bool {
        self.clock.now().saturating_sub(self.driver_ran_at) > LATE
    }
}

fn as_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
