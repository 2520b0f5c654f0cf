//! The background job that checks for silent agents. It reads the clock and the processes. `judgement` decides.

use std::time::{Duration, Instant};

use crate::agent::process::{Process, ProcessSpace};
use crate::agent::spool::Spool;
use crate::server::access::scope::Scope;
use crate::server::database::{BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

mod judgement;
pub use judgement::{Judgement, SilenceLimits, carry_out, judge_silences};

/// The longest time between two checks. A person sees within this time that a process is gone.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest time between two checks. The job checks every tenth of a short `stale_after`, but no more often than
/// this.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How many tasks a transaction changes: at least, at first and at most.
const JUDGEMENTS_PER_TRANSACTION: StepSize = StepSize::new(1, 8, 32);
/// How long a transaction waits for a pause of other programs. A flag has the time at which the silence became too long,
/// even if the flag comes later.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the job waits for the spool to empty: the spool can hold newer hooks of agents that look silent. The server
/// takes in a full spool within a minute, so the job then judges even if the spool is not empty.
const MAX_WAIT_FOR_SPOOL: Duration = Duration::from_secs(60);

/// The background job that checks for silent agents. It waits while records are in the spool, up to a bound.
pub struct SilenceJob {
    database: Database,
    limits: SilenceLimits,
    spool: Option<Spool>,
    interval: Duration,
    listening: ListeningPeriod,
    waited_for_spool: Duration,
}

impl SilenceJob {
    /// Creates the job. The server listens from now on.
    pub fn new(database: Database, limits: SilenceLimits, spool: Option<Spool>) -> Self {
        let interval = (limits.stale_after / 10).clamp(MIN_CHECK_INTERVAL, MAX_CHECK_INTERVAL);
        let listening = ListeningPeriod::begin(now_ms(), interval);
        Self { database, limits, spool, interval, listening, waited_for_spool: Duration::ZERO }
    }
}

impl BackgroundJob for SilenceJob {
    const PURPOSE: &'static str = "look for silent agents";

    /// The server has only started to listen: agents get one interval to send a hook.
    const WAITS_FIRST: bool = true;

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        self.listening.note_check(now_ms());
        if self.waited_for_spool < MAX_WAIT_FOR_SPOOL && self.spool.as_ref().is_some_and(|spool| !spool.is_empty()) {
            self.waited_for_spool += self.interval;
            return Ok(StepProgress::Idle);
        }
        self.waited_for_spool = Duration::ZERO;
        let began = Instant::now();
        let judged = run_once(&self.database, self.limits, self.listening.since).await;
        self.listening.note_work(began.elapsed());
        judged?;
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.interval).await;
    }
}

/// The period for which the server has listened without a break. While a machine sleeps, its server takes no hook and
/// its agents send none, so the period starts again after the sleep.
struct ListeningPeriod {
    since: i64,
    last_check: i64,
    longest_gap: u64,
}

impl ListeningPeriod {
    fn begin(now_ms: i64, interval: Duration) -> Self {
        // A check that is only late is no break: a busy machine delays it.
        let longest_gap = (interval * 4 + MAX_CHECK_INTERVAL).as_millis();
        Self { since: now_ms, last_check: now_ms, longest_gap: u64::try_from(longest_gap).unwrap_or(u64::MAX) }
    }

    fn note_check(&mut self, now_ms: i64) {
        if now_ms.abs_diff(self.last_check) > self.longest_gap {
            self.since = now_ms;
        }
        self.last_check = now_ms;
    }

    /// Notes that a check took this long, measured by a clock that stands still while the machine sleeps. A check can
    /// wait for other programs that write, and the server takes hooks meanwhile.
    fn note_work(&mut self, took: Duration) {
        self.last_check = self.last_check.saturating_add(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
    }
}

/// Checks all agents once, and writes the judgements.
async fn run_once(database: &Database, limits: SilenceLimits, listening_since: i64) -> Result<(), DatabaseError> {
    let now_ms = now_ms();
    let space = ProcessSpace::here();
    let is_alive = |process: &str| space.as_ref()?.has(&process.parse::<Process>().ok()?);
    let read = database.snapshot(Scope::All).await?;
    let judgements = judge_silences(&read, limits, listening_since, now_ms, is_alive).await?;
    drop(read);
    let (mut size, mut rest) = (JUDGEMENTS_PER_TRANSACTION, judgements.as_slice());
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(rest.len().min(size.size() as usize));
        rest = others;
        let write = async |tx: &WriteTransaction| {
            for judgement in batch {
                carry_out(tx, judgement, now_ms).await?;
            }
            Ok::<_, DatabaseError>(())
        };
        let step = database.write_in_background(BackgroundWork::Agents(PATIENCE), write).await?;
        size.note(step.held, batch.len() >= size.size() as usize);
    }
    Ok(())
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ListeningPeriod, MAX_CHECK_INTERVAL};

    #[test]
    fn a_long_gap_between_checks_restarts_the_listening_period() {
        let mut listening = ListeningPeriod::begin(1_000, MAX_CHECK_INTERVAL);
        for now in [6_000, 11_500, 30_000, 55_000] {
            listening.note_check(now);
            assert_eq!(listening.since, 1_000, "{now}");
        }
        // The check waited for other programs.
        listening.note_work(Duration::from_secs(26));
        listening.note_check(82_000);
        assert_eq!(listening.since, 1_000);
        listening.note_check(108_000);
        assert_eq!(listening.since, 108_000);
        // The clock was set back.
        listening.note_check(1_000);
        assert_eq!(listening.since, 1_000);
    }
}
