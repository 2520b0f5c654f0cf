//! The job that gives tasks their place in the indexes of the lists.
//!
//! A write takes the place away, see `tasks_leave_the_lists` in `migrations`. So a task with many events costs its
//! writers no page of these indexes. A reader looks at each task without a place: at each task that changes all the
//! time, and at the quiet ones that this job has left, which it keeps few.
//!
//! The job also counts the events of quiet tasks into their rows, see `tasks_are_counted`.
//!
//! A task that changes all the time gets no place: its next event would take the place away again, from four indexes.

use std::time::Duration;

use super::access::scope::Scope;
use super::database::{BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction, sql};
use super::jobs::{BackgroundJob, JobError, StepProgress};

/// How often the job looks for tasks without a place.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a task must not have changed before it gets its place. A task that changes more often costs no index.
const QUIET: Duration = Duration::from_secs(2);
/// The quiet tasks that may stay without a place, so that a step is worth its transaction. A reader reads up to twice
/// so many rows more.
const UNLISTED: i64 = 50;
/// The events of these tasks that may stay uncounted. A reader reads so many entries of an index more.
const UNCOUNTED: i64 = 500;
/// How many tasks one step puts in their place. Each is in four indexes.
const TASKS_PER_STEP: StepSize = StepSize::new(20, 100, 1_000);

/// The background job.
pub struct ListingJob {
    database: Database,
    size: StepSize,
}

impl ListingJob {
    /// The job for this database.
    pub fn new(database: Database) -> Self {
        Self { database, size: TASKS_PER_STEP }
    }
}

impl BackgroundJob for ListingJob {
    const PURPOSE: &'static str = "give tasks their place in the lists";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        let read = self.database.snapshot(Scope::All).await?;
        // On Postgres the triggers and the fold keep the places.
        if read.is_postgres() {
            return Ok(StepProgress::Idle);
        }
        let most = i64::from(self.size.size());
        let counted_up_to = 2 * UNLISTED + most;
        // After a clock stepped back, the tasks wait until the clock is there again.
        let before = chrono::Utc::now().timestamp_millis() - i64::try_from(QUIET.as_millis()).unwrap_or(i64::MAX);
        let values = [counted_up_to.into(), before.into()];
        let unlisted = sql::tasks::UNLISTED.number(&read, values).await.map_err(DatabaseError::from)?;
        let values = [(UNCOUNTED + 1).into(), before.into()];
        let uncounted = sql::tasks::UNCOUNTED.number(&read, values).await.map_err(DatabaseError::from)?;
        drop(read);
        let is_full = unlisted > 2 * UNLISTED;
        if !is_full && uncounted <= UNCOUNTED {
            return Ok(StepProgress::Idle);
        }
        let tasks = if is_full { most.min(unlisted - UNLISTED) } else { most };
        let write = async |tx: &WriteTransaction| {
            sql::tasks::COUNT.execute(tx, [tasks.into(), before.into()]).await?;
            if is_full {
                sql::tasks::LIST.execute(tx, [tasks.into(), before.into()]).await?;
            }
            Ok::<_, DatabaseError>(())
        };
        let step = self.database.write_in_background(BackgroundWork::Upkeep, write).await?;
        self.size.note(step.held, unlisted > 2 * UNLISTED + most / 2);
        Ok(StepProgress::More)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}
