//! The probe of the storage: while writes cannot be stored, it finds out when they can be stored again.

use super::{BackgroundJob, JobError, StepProgress};
use crate::server::database::Database;

/// The background job that writes a probe every second after the storage failed, until a probe is stored.
pub struct StorageProbeJob {
    database: Database,
    is_logged: bool,
}

impl StorageProbeJob {
    /// The job. It writes to the database only after the storage failed.
    pub fn new(database: Database) -> Self {
        Self { database, is_logged: false }
    }
}

impl BackgroundJob for StorageProbeJob {
    const PURPOSE: &'static str = "store a write";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        let Some(reason) = self.database.write_health().trouble() else { return Ok(StepProgress::Idle) };
        if !self.is_logged {
            self.is_logged = true;
            return Err(JobError::failed(reason));
        }
        // The log has the reason already.
        self.database.probe_storage().await.map_err(|_| JobError::DatabaseUnusable)?;
        self.is_logged = false;
        tracing::info!("writes are stored again");
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        self.database.write_health().trouble_began().await;
    }
}
