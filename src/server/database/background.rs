//! The door for the server's background work: it gives way to other programs that write the file.
//!
//! A program without a busy timeout, as `sqlite3` is by default, fails if the write lock is taken at the moment in
//! which it writes. So work that no request waits for begins when no other program has written for a while, and in
//! small steps with rests between them. A program that writes without such a pause delays each step of upkeep, but not
//! without end: then one step follows directly after a commit of that program, when it most likely pauses.
//!
//! Writes of the server itself do not count: they wait for each other in this process, so none of them fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::DbBackend;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::transaction::WriteTransaction;
use super::{Database, DatabaseError};
use crate::server::access::scope::Scope;

/// The time for which a step may hold the write lock. The steps are sized by it.
const STEP_TIME: Duration = Duration::from_millis(5);
/// How long other programs can delay a step.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// How long the steps of upkeep rest after a step, in times of how long it held the write lock. A program that begins
/// to write while the server has a long work to do meets a step with this chance, at its first write.
const REST_FACTOR: u32 = 9;
/// The same while another program writes now and then, with longer pauses than a step waits for.
const REST_FACTOR_BESIDE_WRITERS: u32 = 20;
/// The same on Postgres. No writer waits for a step there, but the steps take processor time from the writers.
const REST_FACTOR_ON_POSTGRES: u32 = 4;
/// How long upkeep rests on Postgres at least. Beside programs that write in turn a step for each of their changes would
/// cost as much as the changes.
const SHORTEST_REST_ON_POSTGRES: Duration = Duration::from_millis(25);
/// How many changes in [`BUSY_TIME`] make the writers of Postgres busy: then upkeep rests as beside other writers of a file.
const BUSY_CHANGES: usize = 1_000;
const BUSY_TIME: Duration = Duration::from_millis(500);
/// How long all steps rest at most. A machine that is busy can stop a step for seconds, and the work that waits would
/// rest ten times as long.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// How long a program counts as one that writes now and then.
const WRITERS_REMEMBERED: Duration = Duration::from_secs(30);
/// How often a delayed step looks for the commit that it follows.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The kinds of background work.
#[derive(Clone, Copy, Debug)]
pub enum BackgroundWork {
    /// The upkeep of what the server derives from the rows. The steps of upkeep wait for each other, so that all of
    /// them together take one step in thirty seconds beside a program that never pauses.
    Upkeep,
    /// The reports of agents. They wait at most this long each, and for no upkeep. They rest only beside other writers:
    /// a machine that is busy makes every step long, so with a rest after each the reports would come in slower than
    /// agents make them.
    Agents(Duration),
}

/// A step that was committed.
#[derive(Debug)]
pub struct BackgroundStep<T> {
    /// The value that the verbs returned.
    pub value: T,
    /// How long the write lock was held.
    pub held: Duration,
    /// Whether another program wrote without a pause until the delay was over.
    pub delayed: bool,
}

/// The state of the door.
#[derive(Default)]
pub(super) struct Background {
    /// The pause of other programs that a step waits for, in microseconds. Zero while no server runs on the database.
    quiet: AtomicU64,
    upkeep: Mutex<()>,
    turn: Mutex<Turn>,
    growth: std::sync::Mutex<Growth>,
}

/// What is known about other programs, and when the next step may begin.
#[derive(Debug, Default)]
struct Turn {
    /// The state of the file after the last commit of another program that was seen.
    version: Option<i64>,
    /// Since when no commit of another program was seen.
    quiet_since: Option<Instant>,
    /// The last commit of another program.
    foreign: Option<Instant>,
    /// When all steps have rested.
    rested: Option<Instant>,
    /// The last step of upkeep that did not wait for a pause.
    delayed: Option<Instant>,
}

/// How fast the log of Postgres grows.
#[derive(Debug, Default)]
struct Growth {
    /// Since when changes are counted, and how many there were.
    counted: Option<(Instant, usize)>,
    /// When the log last grew fast.
    fast: Option<Instant>,
}

/// How a step goes on after a look at the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The step begins: no program has written for long enough.
    Begin,
    /// The step begins: its delay is over, and another program has just committed.
    BeginDelayed,
    /// The step looks again at this time.
    Look(Instant),
}

impl Database {
    /// Sets the pause of other programs that background work waits for.
    pub fn give_way(&self, quiet: Duration) {
        let quiet = u64::try_from(quiet.as_micros()).unwrap_or(u64::MAX);
        self.0.background.quiet.store(quiet, Ordering::Relaxed);
    }

    /// Notes that the log of Postgres has grown by so many changes: upkeep rests longer while that goes fast.
    pub(in crate::server) fn note_growth(&self, changes: usize) {
        self.growth().note(changes, Instant::now());
    }

    fn growth(&self) -> MutexGuard<'_, Growth> {
        self.0.background.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `verbs` like [`Database::write`], as one step of background work: it first waits until other programs
    /// pause, at most thirty seconds for each step of upkeep that waits before it.
    pub async fn write_in_background<T, E: From<DatabaseError>>(
        &self,
        work: BackgroundWork,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<BackgroundStep<T>, E> {
        let background = &self.0.background;
        let arrived = Instant::now();
        let _first_of_the_upkeep = match work {
            BackgroundWork::Upkeep => Some(background.upkeep.lock().await),
            BackgroundWork::Agents(_) => None,
        };
        let quiet = Duration::from_micros(background.quiet.load(Ordering::Relaxed));
        let is_postgres = self.backend() == DbBackend::Postgres;
        loop {
            let mut turn = background.turn.lock().await;
            let mut next = Next::Begin;
            if !quiet.is_zero() && is_postgres {
                next = turn.next_on_postgres(Instant::now(), work);
            } else if !quiet.is_zero() {
                let connections = self.file()?;
                let version = connections.foreign_version().await?;
                let until = turn.delayed_until(work, arrived);
                next = turn.next(version, Instant::now(), quiet, until, work);
                // A long transaction has not changed the version yet.
                if next == Next::Begin && connections.is_foreign_write_open().await? {
                    next = turn.note_open_write(Instant::now(), quiet);
                }
            }
            match next {
                Next::Look(at) => {
                    drop(turn);
                    sleep_until(at).await;
                }
                Next::Begin | Next::BeginDelayed => {
                    let mut began = Instant::now();
                    let timed = async |tx: &WriteTransaction| {
                        began = Instant::now();
                        verbs(tx).await
                    };
                    // A job whose step met another transaction comes back to it.
                    let (value, _) = self.write_once(Scope::All, timed).await?.into_parts();
                    let held = began.elapsed();
                    let delayed = next == Next::BeginDelayed;
                    tracing::debug!(?held, delayed, "a step of background work");
                    let is_upkeep = matches!(work, BackgroundWork::Upkeep);
                    match (is_postgres, is_upkeep) {
                        (true, true) => {
                            turn.rest_on_postgres(Instant::now(), held, self.growth().rest_factor(Instant::now()));
                        }
                        (true, false) => {}
                        (false, _) => turn.note_step(Instant::now(), held, delayed && is_upkeep),
                    }
                    return Ok(BackgroundStep { value, held, delayed });
                }
            }
        }
    }
}

impl Turn {
    /// When the step that `arrived` then has waited long enough.
    fn delayed_until(&self, work: BackgroundWork, arrived: Instant) -> Instant {
        match work {
            BackgroundWork::Upkeep => self.delayed.map_or(arrived, |last| last.max(arrived)) + LONGEST_DELAY,
            BackgroundWork::Agents(patience) => arrived + patience,
        }
    }

    /// Notes the version of the file, and says how the step goes on.
    fn next(
        &mut self,
        found: i64,
        now: Instant,
        quiet: Duration,
        delayed_until: Instant,
        work: BackgroundWork,
    ) -> Next {
        let committed = self.version.is_some_and(|version| version != found);
        if committed {
            self.foreign = Some(now);
        }
        if self.version != Some(found) {
            self.quiet_since = Some(now);
        }
        self.version = Some(found);
        let is_late = now >= delayed_until;
        if is_late && committed {
            return Next::BeginDelayed;
        }
        let rested = self.rested.filter(|_| matches!(work, BackgroundWork::Upkeep) || self.is_beside_writers(now));
        let open = self.quiet_since.map_or(now, |since| since + quiet).max(rested.unwrap_or(now));
        if now >= open {
            Next::Begin
        } else if is_late {
            Next::Look(open.min(now + LOOK_INTERVAL))
        } else {
            Next::Look(open.min(delayed_until))
        }
    }

    /// How a step goes on where writers do not wait for each other: upkeep rests.
    fn next_on_postgres(&self, now: Instant, work: BackgroundWork) -> Next {
        match self.rested {
            Some(rested) if matches!(work, BackgroundWork::Upkeep) && now < rested => Next::Look(rested),
            _ => Next::Begin,
        }
    }

    /// Notes that another program holds the write lock.
    fn note_open_write(&mut self, now: Instant, quiet: Duration) -> Next {
        (self.foreign, self.quiet_since) = (Some(now), Some(now));
        Next::Look(now + quiet)
    }

    /// Whether another program wrote not long ago.
    fn is_beside_writers(&self, now: Instant) -> bool {
        self.foreign.is_some_and(|at| now - at < WRITERS_REMEMBERED)
    }

    /// Notes a step that held the write lock.
    fn note_step(&mut self, now: Instant, held: Duration, delayed: bool) {
        let factor = if self.is_beside_writers(now) { REST_FACTOR_BESIDE_WRITERS } else { REST_FACTOR };
        self.rest(now, held * factor);
        if delayed {
            self.delayed = Some(now);
        }
    }

    /// Notes a step where writers do not wait for each other.
    fn rest_on_postgres(&mut self, now: Instant, held: Duration, factor: u32) {
        self.rest(now, (held * factor).max(SHORTEST_REST_ON_POSTGRES));
    }

    /// Lets the next steps rest.
    fn rest(&mut self, now: Instant, time: Duration) {
        self.rested = Some(now + time.min(LONGEST_REST));
    }
}

impl Growth {
    fn note(&mut self, changes: usize, now: Instant) {
        let (since, before) = self.counted.filter(|(since, _)| now - *since < BUSY_TIME).unwrap_or((now, 0));
        let counted = before + changes;
        self.counted = Some((since, counted));
        if counted >= BUSY_CHANGES {
            self.fast = Some(now);
        }
    }

    fn rest_factor(&self, now: Instant) -> u32 {
        match self.fast.is_some_and(|at| now - at < BUSY_TIME) {
            true => REST_FACTOR_BESIDE_WRITERS,
            false => REST_FACTOR_ON_POSTGRES,
        }
    }
}

/// How much work one step does. It follows the time for which the steps hold the write lock.
#[derive(Clone, Copy, Debug)]
pub struct StepSize {
    least: u32,
    size: u32,
    most: u32,
}

impl StepSize {
    /// Begins with steps of `size`, and does from `least` to `most` in one.
    pub const fn new(least: u32, size: u32, most: u32) -> Self {
        Self { least, size, most }
    }

    /// The size of the next step.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Notes how long a step of this size held the write lock. `full`: the step had work for its whole size.
    pub fn note(&mut self, held: Duration, full: bool) {
        if held > STEP_TIME {
            // Not more than halved: a busy machine can stop a step for long, and the next one is not slow for that.
            let share = (STEP_TIME.as_secs_f64() / held.as_secs_f64() * 0.8).max(0.5);
            self.size = ((f64::from(self.size) * share) as u32).max(self.least);
        } else if full && held < STEP_TIME / 2 {
            self.size = (self.size + self.size / 4 + 1).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{BackgroundWork, Growth, LONGEST_DELAY, LONGEST_REST, Next, SHORTEST_REST_ON_POSTGRES, StepSize, Turn};

    const QUIET: Duration = Duration::from_millis(250);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_step_begins_after_a_pause_of_other_programs() {
        let (began, mut turn) = (Instant::now(), Turn::default());
        let next = |turn: &mut Turn, at: u64, version: i64| {
            let until = turn.delayed_until(BackgroundWork::Upkeep, began);
            turn.next(version, began + ms(at), QUIET, until, BackgroundWork::Upkeep)
        };
        assert_eq!(next(&mut turn, 0, 1), Next::Look(began + ms(250)));
        assert_eq!(next(&mut turn, 250, 2), Next::Look(began + ms(500)));
        assert_eq!(next(&mut turn, 500, 2), Next::Begin);
        // A long transaction holds the write lock.
        assert_eq!(turn.note_open_write(began + ms(500), QUIET), Next::Look(began + ms(750)));
        assert_eq!(next(&mut turn, 749, 2), Next::Look(began + ms(750)));
        assert_eq!(next(&mut turn, 750, 2), Next::Begin);
    }

    #[test]
    fn a_program_that_never_pauses_delays_one_step_of_upkeep_by_thirty_seconds() {
        let (began, mut turn) = (Instant::now(), Turn::default());
        let (mut at, mut steps) = (Duration::ZERO, Vec::new());
        while at < 3 * LONGEST_DELAY + ms(500) {
            let until = turn.delayed_until(BackgroundWork::Upkeep, began);
            // Another program commits every 100 ms.
            let version = i64::try_from(at.as_millis() / 100).unwrap_or_default();
            match turn.next(version, began + at, QUIET, until, BackgroundWork::Upkeep) {
                Next::Look(again) => at = again - began,
                Next::Begin => panic!("{at:?}"),
                Next::BeginDelayed => {
                    steps.push(at.as_secs());
                    // The step is less than a millisecond behind the commit.
                    assert_eq!(at.as_millis() % 100, 0);
                    turn.note_step(began + at, ms(5), true);
                    at += ms(5);
                }
            }
        }
        assert_eq!(steps, [30, 60, 90]);
    }

    #[test]
    fn a_report_of_an_agent_waits_as_long_as_it_says() {
        let (began, turn) = (Instant::now(), Turn { delayed: Some(Instant::now()), ..Turn::default() });
        assert_eq!(turn.delayed_until(BackgroundWork::Agents(ms(1)), began), began + ms(1));
    }

    #[test]
    fn steps_rest_longer_while_another_program_writes_now_and_then() {
        let (began, mut turn) = (Instant::now(), Turn::default());
        turn.note_step(began, ms(4), false);
        assert_eq!(turn.rested, Some(began + ms(36)));
        turn.foreign = Some(began);
        turn.note_step(began + ms(29_999), ms(4), false);
        assert_eq!(turn.rested, Some(began + ms(30_079)));
        turn.note_step(began + ms(30_000), ms(4), false);
        assert_eq!(turn.rested, Some(began + ms(30_036)));
    }

    #[test]
    fn upkeep_rests_on_postgres_and_reports_of_agents_do_not() {
        let (began, mut turn) = (Instant::now(), Turn::default());
        assert_eq!(turn.next_on_postgres(began, BackgroundWork::Upkeep), Next::Begin);
        turn.rest_on_postgres(began, ms(10), 4);
        assert_eq!(turn.next_on_postgres(began, BackgroundWork::Upkeep), Next::Look(began + ms(40)));
        assert_eq!(turn.next_on_postgres(began, BackgroundWork::Agents(ms(1))), Next::Begin);
        assert_eq!(turn.next_on_postgres(began + ms(40), BackgroundWork::Upkeep), Next::Begin);
        turn.rest_on_postgres(began, ms(1), 4);
        let shortest = began + SHORTEST_REST_ON_POSTGRES;
        assert_eq!(turn.next_on_postgres(began, BackgroundWork::Upkeep), Next::Look(shortest));
        turn.rest_on_postgres(began, ms(60_000), 4);
        assert_eq!(turn.next_on_postgres(began, BackgroundWork::Upkeep), Next::Look(began + LONGEST_REST));
    }

    #[test]
    fn upkeep_on_postgres_rests_longer_while_the_log_grows_fast() {
        let (began, mut growth) = (Instant::now(), Growth::default());
        let slow = growth.rest_factor(began);
        // 980 changes in half a second.
        for at in 0..49 {
            growth.note(20, began + ms(at * 10));
        }
        assert_eq!(growth.rest_factor(began + ms(490)), slow);
        growth.note(20, began + ms(490));
        assert!(growth.rest_factor(began + ms(490)) > slow);
        assert_eq!(growth.rest_factor(began + ms(990)), slow);
        growth.note(999, began + ms(1_000));
        assert_eq!(growth.rest_factor(began + ms(1_000)), slow);
    }

    #[test]
    fn reports_of_agents_rest_only_beside_other_programs() {
        let (began, mut turn) = (Instant::now(), Turn::default());
        assert_eq!(
            turn.next(1, began, QUIET, began + LONGEST_DELAY, BackgroundWork::Upkeep),
            Next::Look(began + QUIET)
        );
        let at = began + QUIET;
        turn.note_step(at, ms(100), false);
        let agents = BackgroundWork::Agents(LONGEST_DELAY);
        let next = |turn: &mut Turn, work| turn.next(1, at, QUIET, at + LONGEST_DELAY, work);
        assert_eq!(next(&mut turn, BackgroundWork::Upkeep), Next::Look(at + ms(900)));
        assert_eq!(next(&mut turn, agents), Next::Begin);
        turn.foreign = Some(began);
        assert_eq!(next(&mut turn, agents), Next::Look(at + ms(900)));
    }

    #[test]
    fn no_step_rests_for_long_because_the_machine_was_busy() {
        let (began, mut turn) = (Instant::now(), Turn::default());
        for (held, rest) in [(ms(5), ms(45)), (ms(100), ms(900)), (ms(4_000), LONGEST_REST)] {
            turn.note_step(began, held, false);
            assert_eq!(turn.rested, Some(began + rest));
        }
        turn.foreign = Some(began);
        turn.note_step(began, ms(4_000), false);
        let agents = BackgroundWork::Agents(LONGEST_DELAY);
        let until = turn.delayed_until(agents, began);
        assert_eq!(turn.next(1, began, Duration::ZERO, until, agents), Next::Look(began + LONGEST_REST));
        assert_eq!(turn.next(1, began + LONGEST_REST, Duration::ZERO, until, agents), Next::Begin);
    }

    #[test]
    fn a_step_that_held_the_write_lock_for_too_long_makes_the_next_one_smaller() {
        let mut size = StepSize::new(10, 1_000, 1_500);
        size.note(ms(6), true);
        assert_eq!(size.size(), 666);
        size.note(ms(20), true);
        assert_eq!(size.size(), 333);
        size.note(ms(1), false);
        assert_eq!(size.size(), 333);
        for _ in 0..20 {
            size.note(ms(1), true);
        }
        assert_eq!(size.size(), 1_500);
        for _ in 0..20 {
            size.note(Duration::from_secs(60), true);
        }
        assert_eq!(size.size(), 10);
    }
}
