//! The background job that finds out why the write-ahead log is not brought into the database file.

use std::time::Duration;

use super::{BackgroundJob, JobError, StepProgress};
use crate::server::database::{Database, DatabaseError};

/// How often to look. The writes are stored in the log meanwhile, which only grows.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The background job that brings the log into the file where SQLite could not.
pub struct BringInLogJob {
    database: Database,
    is_logged: bool,
}

impl BringInLogJob {
    /// A job that has not looked yet.
    pub fn new(database: Database) -> Self {
        Self { database, is_logged: false }
    }
}

impl BackgroundJob for BringInLogJob {
    const PURPOSE: &'static str = "bring the write-ahead log into the database file";
    const WAITS_FIRST: bool = true;

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        // While no write can be stored, the log of the server says so already.
        if self.database.write_health().trouble().is_some() {
            return Ok(StepProgress::Idle);
        }
        match self.database.bring_in_log().await {
            Ok(()) => {
                if std::mem::take(&mut self.is_logged) {
                    tracing::info!("the write-ahead log is brought into the database file again");
                }
                Ok(StepProgress::Idle)
            }
            Err(DatabaseError::Busy | DatabaseError::Closed(_) | DatabaseError::Away(_)) => Ok(StepProgress::Idle),
            Err(_) if self.is_logged => Ok(StepProgress::Idle),
            Err(error) => {
                self.is_logged = true;
                Err(JobError::failed(error))
            }
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
