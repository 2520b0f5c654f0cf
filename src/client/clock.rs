//! The clock of a client. It counts the time during which the machine sleeps, so that an age after a sleep is true.

use std::time::Duration;

/// The time since a client began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: moment::now() }
    }

    pub(super) fn now(self) -> Duration {
        moment::now().saturating_sub(self.began)
    }

    /// The clock of a client that began when the machine did.
    #[cfg(test)]
    pub(super) fn since_boot() -> Self {
        Self { began: Duration::ZERO }
    }
}

/// `CLOCK_MONOTONIC` of Linux stands still while the machine sleeps, and so does `Instant`. `CLOCK_BOOTTIME` does not.
/// On macOS `CLOCK_MONOTONIC` runs on.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod moment {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;

    pub(super) fn now() -> Duration {
        let time = clock_gettime(CLOCK);
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
    }
}

/// On other systems the sleep of the machine may be left out.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod moment {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(super) fn now() -> Duration {
        BEGAN.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn time_runs_forward() {
        let clock = Clock::start();
        let first = clock.now();
        while clock.now() == first {}
        assert!(clock.now() > first);
    }
}
