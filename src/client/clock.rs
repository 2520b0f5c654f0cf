//! The clock of a client. It counts the time during which the machine sleeps, so that an age after a sleep is true.

use std::time::Duration;

/// The time since a client began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: moment::Moment,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: moment::now() }
    }

    pub(super) fn now(self) -> Duration {
        moment::since(self.began)
    }
}

/// `CLOCK_MONOTONIC` of Linux stands still while the machine sleeps, and so does `Instant`. `CLOCK_BOOTTIME` does not.
/// On macOS `CLOCK_MONOTONIC` runs on.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod moment {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(super) type Moment = Duration;

    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;

    pub(super) fn now() -> Moment {
        let time = clock_gettime(CLOCK);
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
    }

    pub(super) fn since(began: Moment) -> Duration {
        now().saturating_sub(began)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod moment {
    use std::time::{Duration, Instant};

    pub(super) type Moment = Instant;

    pub(super) fn now() -> Moment {
        Instant::now()
    }

    pub(super) fn since(began: Moment) -> Duration {
        began.elapsed()
    }
}
