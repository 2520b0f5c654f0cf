//! The background job that looks for an overwrite of the database file.

use super::{BackgroundJob, JobError, StepProgress};
use crate::server::database::Database;
use crate::server::database::sqlite::watchdog::{LOOK_EVERY, Watchdog};

/// The background job of the watchdog.
pub struct WatchFileJob {
    database: Database,
    watchdog: Watchdog,
}

impl WatchFileJob {
    /// A job that has not looked yet.
    pub fn new(database: Database) -> Self {
        Self { database, watchdog: Watchdog::default() }
    }
}

impl BackgroundJob for WatchFileJob {
    const PURPOSE: &'static str = "check the database file";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        self.watchdog.look(&self.database).await?;
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
