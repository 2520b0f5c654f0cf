//! The job that deletes the rows of deleted tasks, in steps that leave the write lock to others.

use std::time::Duration;

use super::access::scope::Scope;
use super::database::{BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction};
use super::ingest::task::{delete_left_rows, is_leaving};
use super::jobs::{BackgroundJob, JobError, StepProgress};

/// How often the job looks for deleted tasks. No reader shows their rows, so only the file is larger meanwhile.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many rows one step deletes.
const ROWS_PER_STEP: StepSize = StepSize::new(20, 250, 2_000);

/// The background job.
pub struct LeavingJob {
    database: Database,
    size: StepSize,
}

impl LeavingJob {
    /// The job for this database.
    pub fn new(database: Database) -> Self {
        Self { database, size: ROWS_PER_STEP }
    }
}

impl BackgroundJob for LeavingJob {
    const PURPOSE: &'static str = "delete the rows of deleted tasks";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        let read = self.database.snapshot(Scope::All).await?;
        let is_leaving = is_leaving(&read).await.map_err(DatabaseError::from)?;
        drop(read);
        if !is_leaving {
            return Ok(StepProgress::Idle);
        }
        let most = self.size.size();
        let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(delete_left_rows(tx, most).await?);
        let step = self.database.write_in_background(BackgroundWork::Upkeep, write).await?;
        self.size.note(step.held, step.value);
        Ok(StepProgress::More)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}
