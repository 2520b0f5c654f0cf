//! A failure that repeats is logged once and tried again less and less often.

use std::time::Duration;

/// The first pause after a failure. Each further failure doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long after the last failure the pauses begin anew. A success alone does not shorten them: a job whose steps fail
/// and succeed in turn would otherwise never slow down.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// How many different failures are logged in a row. A text that differs each time must not fill the log.
const LOGGED_FAILURES: usize = 10;

/// The failures of one job, and the pause after the newest of them. The time is an argument: the age of the job.
#[derive(Debug)]
pub struct TroubleLog {
    longest_pause: Duration,
    logged: Vec<String>,
    pause: Duration,
    last: Option<Duration>,
}

impl TroubleLog {
    /// No failures yet. No pause is longer than `longest_pause`.
    pub fn new(longest_pause: Duration) -> Self {
        Self { longest_pause, logged: Vec::new(), pause: Duration::ZERO, last: None }
    }

    /// Notes a failure at `now`. Returns whether it has to be logged.
    pub fn is_new(&mut self, failure: &str, now: Duration) -> bool {
        if self.last.is_none_or(|last| now.saturating_sub(last) > FORGOTTEN_AFTER) {
            *self = Self::new(self.longest_pause);
        }
        self.last = Some(now);
        self.pause = (self.pause * 2).max(FIRST_PAUSE).min(self.longest_pause);
        let is_new = self.logged.len() < LOGGED_FAILURES && !self.logged.iter().any(|logged| logged == failure);
        if is_new {
            self.logged.push(failure.to_owned());
        }
        is_new
    }

    /// Notes a success: the same failure is logged again when it comes back.
    pub fn note_success(&mut self) {
        self.logged.clear();
    }

    /// How long to wait before the next try.
    pub fn pause(&self) -> Duration {
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FIRST_PAUSE, FORGOTTEN_AFTER, TroubleLog};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_repeated_failure_is_logged_once_and_tried_less_often() {
        let mut trouble = TroubleLog::new(MINUTE);
        let now = Duration::ZERO;
        assert!(trouble.is_new("a", now));
        assert_eq!(trouble.pause(), FIRST_PAUSE);
        assert!(!trouble.is_new("a", now) && trouble.is_new("b", now));
        assert_eq!(trouble.pause(), FIRST_PAUSE * 4);
        assert_eq!((0..100).filter(|n| trouble.is_new(&n.to_string(), now)).count(), 8);
        assert_eq!(trouble.pause(), MINUTE);
    }

    #[test]
    fn a_failure_long_after_the_last_is_new() {
        let mut trouble = TroubleLog::new(MINUTE);
        assert!(trouble.is_new("a", Duration::ZERO));
        assert!(!trouble.is_new("a", FORGOTTEN_AFTER));
        assert!(trouble.is_new("a", FORGOTTEN_AFTER * 2 + Duration::from_millis(1)));
        assert_eq!(trouble.pause(), FIRST_PAUSE);
    }

    #[test]
    fn a_failure_after_a_success_is_logged_again_and_the_pause_stays() {
        let mut trouble = TroubleLog::new(MINUTE);
        assert!(trouble.is_new("a", Duration::ZERO));
        trouble.note_success();
        assert!(trouble.is_new("a", Duration::ZERO));
        assert_eq!(trouble.pause(), FIRST_PAUSE * 2);
    }

    #[test]
    fn no_pause_is_longer_than_the_job_allows() {
        let mut trouble = TroubleLog::new(FIRST_PAUSE);
        (0..10).for_each(|_| _ = trouble.is_new("a", Duration::ZERO));
        assert_eq!(trouble.pause(), FIRST_PAUSE);
    }
}
