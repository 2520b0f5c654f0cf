//! The work that one server does for all servers of a database, the lease of that work, and the check of the schema.

use std::time::Duration;

use super::{BackgroundJob, JobError, StepProgress};
use crate::server::database::Database;
use crate::server::database::postgres::lease::RENEWAL;

/// A job that only the server with the lease does.
pub struct KeeperJob<J> {
    job: J,
    database: Database,
    is_keeper: bool,
}

impl<J: BackgroundJob> KeeperJob<J> {
    /// The job of the server that has the lease of `database`.
    pub fn new(job: J, database: Database) -> Self {
        Self { job, database, is_keeper: false }
    }
}

impl<J: BackgroundJob> BackgroundJob for KeeperJob<J> {
    const PURPOSE: &'static str = J::PURPOSE;
    const LONGEST_PAUSE: Duration = J::LONGEST_PAUSE;

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        let was_keeper = std::mem::replace(&mut self.is_keeper, self.database.is_keeper());
        if !self.is_keeper {
            return Ok(StepProgress::Idle);
        }
        if J::WAITS_FIRST && !was_keeper {
            return Ok(StepProgress::Idle);
        }
        self.job.step().await
    }

    async fn wait(&mut self) {
        if self.is_keeper {
            self.job.wait().await;
        } else {
            tokio::time::sleep(RENEWAL).await;
        }
    }
}

/// The background job that takes and renews the lease.
pub struct LeaseJob(pub Database);

impl BackgroundJob for LeaseJob {
    const PURPOSE: &'static str = "renew the lease";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        self.0.take_lease().await?;
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(RENEWAL).await;
    }
}

/// The background job that puts the schema right.
pub struct SchemaJob {
    /// The database.
    pub database: Database,
    /// How often the schema is checked.
    pub interval: Duration,
}

impl BackgroundJob for SchemaJob {
    const PURPOSE: &'static str = "check the schema";
    const WAITS_FIRST: bool = true;

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        if let Some(server) = self.database.server()
            && server.mend_schema().await?
        {
            // The epoch is a new one, which the tail finds out.
            self.database.ring();
        }
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.interval).await;
    }
}
