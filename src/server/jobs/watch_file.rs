//! The background job that looks for an overwrite of the database file.

use std::time::Duration;

use super::{BackgroundJob, JobError, StepProgress};
use crate::server::database::sqlite::watchdog::{LOOK_EVERY, Watchdog};
use crate::server::database::{Database, DatabaseError};

/// The background job of the watchdog.
pub struct WatchFileJob {
    database: Database,
    watchdog: Watchdog,
}

impl WatchFileJob {
    /// A job that has not looked yet.
    pub fn new(database: Database, check_interval: Duration) -> Self {
        Self { database, watchdog: Watchdog::new(check_interval) }
    }
}

impl BackgroundJob for WatchFileJob {
    const PURPOSE: &'static str = "check the database file";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        match self.watchdog.look(&self.database).await {
            Ok(()) => Ok(StepProgress::Idle),
            // No request may have met the failure: all its pages can be in memory.
            Err(error @ DatabaseError::Storage(_)) => Err(JobError::failed(error)),
            Err(error) => Err(error.into()),
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
