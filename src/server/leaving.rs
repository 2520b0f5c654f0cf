//! The job that deletes the events of deleted tasks, in steps that leave the write lock to others.

use std::time::Duration;

use super::access::scope::Scope;
use super::database::{Database, DatabaseError, WriteTransaction};
use super::ingest::task::{delete_left_events, leaving};
use super::jobs::{BackgroundJob, JobError, StepProgress};

/// How often the job looks for deleted tasks. No reader shows their events, so only the file is larger meanwhile.
const INTERVAL: Duration = Duration::from_secs(1);
/// The pause between two steps.
const REST: Duration = Duration::from_millis(10);

/// The background job.
pub struct LeavingJob(pub Database);

impl BackgroundJob for LeavingJob {
    const PURPOSE: &'static str = "delete the events of deleted tasks";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        let read = self.0.snapshot(Scope::All).await?;
        let found = leaving(&read).await.map_err(DatabaseError::from)?;
        drop(read);
        let Some(task_id) = found else { return Ok(StepProgress::Idle) };
        let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(delete_left_events(tx, &task_id).await?);
        self.0.write(Scope::All, write).await?;
        Ok(StepProgress::More { rest: REST })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}
