//! Times in buckets, so that a long run needs no more memory than a short one.

use std::time::Duration;

/// The buckets of each power of two, so that a bucket is at most 1.6 % wide.
const BUCKETS: usize = 64;

/// How often each time came.
#[derive(Clone, Default)]
pub struct Times {
    counts: Vec<u64>,
}

impl Times {
    pub fn note(&mut self, time: Duration) {
        let bucket = bucket_of(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, others) in self.counts.iter_mut().zip(&other.counts) {
            *mine += others;
        }
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The milliseconds that this share of the times does not exceed. None: there is no time.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let rank = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        bucket.map(|bucket| middle_of(bucket) / 1e3)
    }
}

/// A bucket is one microsecond wide at first, and twice as wide from each power of two on.
fn bucket_of(micros: u64) -> usize {
    if micros < 2 * BUCKETS as u64 {
        return micros as usize;
    }
    let power = micros.ilog2() - BUCKETS.ilog2();
    power as usize * BUCKETS + (micros >> power) as usize
}

/// The middle of a bucket in microseconds.
fn middle_of(bucket: usize) -> f64 {
    if bucket < 2 * BUCKETS {
        return bucket as f64;
    }
    let power = bucket / BUCKETS - 1;
    let width = (1_u64 << power) as f64;
    ((bucket - power * BUCKETS) as f64).mul_add(width, width / 2.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Times, bucket_of, middle_of};

    #[test]
    fn each_time_is_in_a_bucket_near_it() {
        let mut last = 0;
        for micros in (0..200_000).chain([1 << 40, u64::MAX]) {
            let bucket = bucket_of(micros);
            assert!(bucket >= last, "{micros}");
            last = bucket;
            let off = (middle_of(bucket) - micros as f64).abs();
            assert!(off <= micros as f64 * 0.01, "{micros} counts as {}", middle_of(bucket));
        }
    }

    #[test]
    fn a_percentile_is_the_time_that_the_share_does_not_exceed() {
        let mut times = Times::default();
        assert_eq!(times.percentile(0.5), None);
        for micros in 1..=100 {
            times.note(Duration::from_micros(micros));
        }
        let shares = [0.0, 0.5, 0.99, 1.0].map(|share| times.percentile(share));
        assert_eq!(shares, [Some(0.001), Some(0.05), Some(0.099), Some(0.1)]);
        let mut more = Times::default();
        more.note(Duration::from_secs(2));
        more.add(&times);
        assert_eq!(more.count(), 101);
        assert!((more.percentile(1.0).unwrap_or_default() - 2000.0).abs() < 20.0);
    }
}
