//! The background job that checks for silent agents, and for answers that no hook reports. It reads the clock, the
//! processes and the files in which the sessions of Claude Code say their status. `judgement` and `client_words`
//! decide.
//!
//! Several servers on several machines can serve one database. The job runs on each of them, because the processes and
//! the words of agents are known only on the machine of the agent. The server with the lease also judges the agents of
//! which no process is known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::agent::process::{Process, ProcessSpace};
use crate::agent::session_file::speaking_sessions;
use crate::agent::spool::Spool;
use crate::server::access::scope::Scope;
use crate::server::database::{BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

mod client_words;
use client_words::find_asking;
pub use client_words::{AnsweredTask, OutsideSigns, carry_out_answer, find_answered, sessions_with_a_word};

mod judgement;
pub use judgement::{Judgement, JudgingServer, SilenceLimits, carry_out, judge_silences};

/// The longest time between two checks. A person sees within this time that a process is gone.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest time between two checks. The job checks every tenth of a short `stale_after`, but no more often than
/// this.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The time between two looks at the files of the sessions. A person sees an answer within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// The time between two looks at the processes of agents that ask for a permission, where no session says a word.
const COMMANDS_INTERVAL: Duration = Duration::from_secs(1);
/// How many tasks a transaction changes: at least, at first and at most.
const JUDGEMENTS_PER_TRANSACTION: StepSize = StepSize::new(1, 8, 32);
/// How long a transaction waits for a pause of other programs. A flag has the time at which the silence became too
/// long, even if the flag comes later.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the job waits for the spool to empty: the spool can hold newer hooks of agents that look silent. The server
/// takes in a full spool within a minute, so the job then judges even if the spool is not empty.
const MAX_WAIT_FOR_SPOOL: Duration = Duration::from_secs(60);

/// How long the words of clients wait for the spool to empty. A word that is older than a record in the spool changes a
/// status only until the server takes the record.
const MAX_WAIT_TO_LOOK: Duration = Duration::from_secs(2);

/// The background job that checks for silent agents. It waits while records are in the spool, up to a bound.
pub struct SilenceJob {
    database: Database,
    limits: SilenceLimits,
    spool: Option<Spool>,
    /// The folder of the files in which sessions say their status.
    session_files: Option<PathBuf>,
    /// The ids of the sessions that said a word. None: not known since the start of the server.
    heard: Option<BTreeSet<String>>,
    commands_seen: Option<Instant>,
    judged: Instant,
    interval: Duration,
    listening: ListeningPeriod,
    waited_for_spool: Duration,
}

impl SilenceJob {
    /// Creates the job. The server listens from now on.
    pub fn new(
        database: Database,
        limits: SilenceLimits,
        spool: Option<Spool>,
        session_files: Option<PathBuf>,
    ) -> Self {
        let interval = (limits.stale_after / 10).clamp(MIN_CHECK_INTERVAL, MAX_CHECK_INTERVAL);
        let listening = ListeningPeriod::begin(now_ms(), interval);
        Self {
            database,
            limits,
            spool,
            session_files,
            heard: None,
            commands_seen: None,
            judged: Instant::now(),
            interval,
            listening,
            waited_for_spool: Duration::ZERO,
        }
    }

    fn pause(&self) -> Duration {
        self.interval.min(LOOK_INTERVAL)
    }

    /// Takes the words of the sessions, and the commands that run.
    async fn look(&mut self) -> Result<(), DatabaseError> {
        let sessions = match self.session_files.clone() {
            Some(folder) => {
                // A folder that cannot be read says no word, as a folder that does not exist.
                tokio::task::spawn_blocking(move || speaking_sessions(&folder).unwrap_or_default())
                    .await
                    .unwrap_or_default()
            }
            None => Vec::new(),
        };
        let is_due = self.commands_seen.is_none_or(|seen| seen.elapsed() >= COMMANDS_INTERVAL);
        let is_silent = sessions.is_empty() && self.heard.as_ref().is_some_and(BTreeSet::is_empty);
        if is_silent && !is_due {
            return Ok(());
        }
        let commands = if is_due { self.running_commands().await? } else { BTreeMap::new() };
        let read = self.database.snapshot(Scope::All).await?;
        let heard_before = match self.heard.take() {
            Some(heard) => heard,
            None => sessions_with_a_word(&read).await?,
        };
        let speaking = sessions.iter().map(|session| session.session_id.clone()).collect();
        let signs = OutsideSigns { sessions, heard_before, commands, now_ms: now_ms() };
        let mut answered = find_answered(&read, &signs).await?;
        drop(read);
        if self.database.is_shared() {
            // A session of another machine says no word here.
            let space = ProcessSpace::here();
            answered.retain(|task| task.is_known_here(|process| runs_here(space.as_ref(), process)));
        }
        let changes: Vec<_> = answered.into_iter().map(TaskChange::Answer).collect();
        write_in_steps(&self.database, &changes, signs.now_ms).await?;
        self.heard = Some(speaking);
        Ok(())
    }

    /// The commands that run below the agents of tasks that ask for a permission, by the id of the task.
    async fn running_commands(&mut self) -> Result<BTreeMap<String, Vec<(i64, String)>>, DatabaseError> {
        self.commands_seen = Some(Instant::now());
        let read = self.database.snapshot(Scope::All).await?;
        let asking = find_asking(&read).await?;
        drop(read);
        let look = move || asking.into_iter().map(|task| (task.id, task.process.commands_below())).collect();
        Ok(tokio::task::spawn_blocking(look).await.unwrap_or_default())
    }

    /// Whether records wait in the spool.
    async fn records_wait(&self) -> bool {
        let Some(spool) = self.spool.clone() else { return false };
        tokio::task::spawn_blocking(move || !spool.is_empty()).await.unwrap_or_default()
    }
}

impl BackgroundJob for SilenceJob {
    const PURPOSE: &'static str = "look for silent agents";

    /// The server has only started to listen: agents get one interval to send a hook.
    const WAITS_FIRST: bool = true;

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        self.listening.note_check(now_ms());
        if self.records_wait().await {
            self.waited_for_spool += self.pause();
        } else {
            self.waited_for_spool = Duration::ZERO;
        }
        let has_waited = |bound| self.waited_for_spool.is_zero() || self.waited_for_spool >= bound;
        let (may_look, may_judge) = (has_waited(MAX_WAIT_TO_LOOK), has_waited(MAX_WAIT_FOR_SPOOL));
        let began = Instant::now();
        let mut done = if may_look { self.look().await } else { Ok(()) };
        if done.is_ok() && may_judge && self.judged.elapsed() >= self.interval {
            (self.judged, self.waited_for_spool) = (Instant::now(), Duration::ZERO);
            done = run_once(&self.database, self.limits, self.listening.since).await;
        }
        self.listening.note_work(began.elapsed());
        done?;
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
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

/// Checks the agents that this server judges once, and writes the judgements.
async fn run_once(database: &Database, limits: SilenceLimits, listening_since: i64) -> Result<(), DatabaseError> {
    let now_ms = now_ms();
    let server = match (database.is_shared(), database.is_keeper()) {
        (false, _) => JudgingServer::Only,
        (true, true) => JudgingServer::WithLease,
        (true, false) => JudgingServer::WithoutLease,
    };
    let space = ProcessSpace::here();
    let is_alive = |process: &str| runs_here(space.as_ref(), process);
    let read = database.snapshot(Scope::All).await?;
    let judgements = judge_silences(&read, server, limits, listening_since, now_ms, is_alive).await?;
    drop(read);
    let changes: Vec<_> = judgements.into_iter().map(TaskChange::Silence).collect();
    write_in_steps(database, &changes, now_ms).await
}

/// Whether the process of this name still runs in the space `here`. None: it is of another space, or not known.
fn runs_here(here: Option<&ProcessSpace>, process: &str) -> Option<bool> {
    here?.has(&process.parse::<Process>().ok()?)
}

/// The change of one task.
enum TaskChange {
    Silence(Judgement),
    Answer(AnsweredTask),
}

/// Writes the changes of tasks in short transactions.
async fn write_in_steps(database: &Database, changes: &[TaskChange], now_ms: i64) -> Result<(), DatabaseError> {
    let (mut size, mut rest) = (JUDGEMENTS_PER_TRANSACTION, changes);
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(rest.len().min(size.size() as usize));
        rest = others;
        let write = async |tx: &WriteTransaction| {
            for change in batch {
                match change {
                    TaskChange::Silence(judgement) => carry_out(tx, judgement, now_ms).await?,
                    TaskChange::Answer(answered) => carry_out_answer(tx, answered, now_ms).await?,
                }
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
