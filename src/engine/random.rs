//! A small random number generator that repeats for the same seed: jitter has to differ between screens and need not be
//! unpredictable, and a test has to know it.

use super::settings::{LONG, Timing};

/// SplitMix64.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, so that the draws of one part do not depend on the draws of another.
    pub(super) fn split(&mut self) -> Self {
        Self(self.draw())
    }

    /// A random share of `span` milliseconds, both ends included.
    pub(super) fn share(&mut self, span: u64) -> u64 {
        let span = span.min(u32::MAX.into());
        ((self.draw() >> 32) * (span + 1)) >> 32
    }

    /// `span`, give or take up to a quarter.
    pub(super) fn about(&mut self, span: u64) -> u64 {
        span - span / 4 + self.share(span / 2)
    }

    /// The wait of a polled read model: the interval, or up to a quarter less.
    pub(super) fn poll(&mut self, settings: &Timing) -> u64 {
        let interval = settings.poll_interval;
        interval - interval / 4 + self.share(interval / 4)
    }

    /// A random share of a wait over which a server spreads its clients. Zero: there is no such wait.
    pub(super) fn spread(&mut self, spread: Option<u64>, settings: &Timing) -> u64 {
        spread.map_or(0, |spread| self.share(spread.min(settings.longest_wait)).max(1))
    }

    /// How long to wait after `failures` in a row: full jitter under a ceiling that doubles.
    pub(super) fn backoff(&mut self, settings: &Timing, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(16);
        self.share((settings.backoff_first.min(LONG) << doublings).min(settings.backoff_most))
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
