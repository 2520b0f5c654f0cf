//! The background job that keeps the search index: follows the log, checks a suspect index, rebuilds a corrupt one.

use std::time::Duration;

use sea_orm::DbBackend;
use tokio::time::Instant;

use super::pace::ProgressDue;
use super::{SearchIndex, rebuild, step, write};
use crate::server::database::DatabaseError;
use crate::server::database::sqlite::health::Health;
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

/// How often the job looks at the log without being woken.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// The shortest time between two rebuilds, and between two integrity checks. A fault that comes back sooner is not
/// cured by another rebuild.
const REPAIR_INTERVAL: Duration = Duration::from_secs(60);
/// How often the missing changes are counted on Postgres.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// How often the progress is written on Postgres while there are no changes.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the search index.
pub(super) struct IndexJob {
    index: SearchIndex,
    /// The index can have segments to merge.
    is_unmerged: bool,
    rebuilt: Option<Instant>,
    checked: Option<Instant>,
    /// The server's log already says that a rebuild is due.
    is_rebuild_logged: bool,
    /// When the missing changes were counted on Postgres.
    counted: Option<Instant>,
    /// When progress without changes was due on Postgres.
    noted: Option<Instant>,
}

impl IndexJob {
    pub(super) fn new(index: SearchIndex) -> Self {
        Self {
            index,
            is_unmerged: true,
            rebuilt: None,
            checked: None,
            is_rebuild_logged: false,
            counted: None,
            noted: None,
        }
    }

    /// Does a bounded part of the work. Returns whether there was work to do.
    async fn advance(&mut self) -> Result<bool, DatabaseError> {
        // Postgres has its own tools for a damaged index.
        if self.index.database.backend() == DbBackend::Postgres {
            let due = self.due();
            return step::step(&self.index, due).await;
        }
        let health = self.index.database.search_index();
        if health.is_check_requested() && self.checked.is_none_or(|at| at.elapsed() > REPAIR_INTERVAL) {
            self.checked = Some(Instant::now());
            let generation = health.generation();
            let found = self.index.database.health().await?;
            health.note_checked();
            match found {
                Health::Sound => {}
                Health::Index(_) => health.report_damage(generation),
                Health::File(detail) => return Err(DatabaseError::Damaged(detail)),
            }
        }
        if health.is_damaged() && self.rebuilt.is_none_or(|at| at.elapsed() > REPAIR_INTERVAL) {
            return self.rebuild().await.map(|()| true);
        }
        if step::step(&self.index, ProgressDue { count: true, note: false }).await? {
            self.is_unmerged = true;
            return Ok(true);
        }
        if !self.is_unmerged {
            return Ok(false);
        }
        self.is_unmerged = write::merge(&self.index).await?;
        Ok(true)
    }

    /// What the next step on Postgres does besides its work. It counts as done.
    fn due(&mut self) -> ProgressDue {
        let is_due = |done: &mut Option<Instant>, interval: Duration| {
            let is_due = done.is_none_or(|at| at.elapsed() >= interval);
            if is_due {
                *done = Some(Instant::now());
            }
            is_due
        };
        ProgressDue { count: is_due(&mut self.counted, COUNT_INTERVAL), note: is_due(&mut self.noted, NOTE_INTERVAL) }
    }

    /// Rebuilds the index. A failed rebuild is a failure of the job like any other: it is logged once and tried less
    /// and less often, since each try takes the write lock.
    async fn rebuild(&mut self) -> Result<(), DatabaseError> {
        if !self.is_rebuild_logged {
            tracing::warn!("the search index is damaged: rebuilding it");
            self.is_rebuild_logged = true;
        }
        let began = Instant::now();
        match rebuild::rebuild(&self.index.database).await {
            Ok(()) => {
                self.rebuilt = Some(began);
                self.is_rebuild_logged = false;
                Ok(())
            }
            // The database is closed, so no write waits for a lock.
            Err(error) if self.index.database.epoch().is_none() => Err(error),
            Err(error) => {
                if !matches!(error, DatabaseError::Busy) {
                    self.index.database.search_index().note_failed_rebuild();
                }
                Err(DatabaseError::Index(format!("the rebuild failed, but the rest of the server works: {error}")))
            }
        }
    }
}

impl BackgroundJob for IndexJob {
    const PURPOSE: &'static str = "keep the search index";

    /// A rebuild that fails takes the write lock each time.
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        let generation = self.index.database.search_index().generation();
        match self.advance().await {
            Ok(true) => Ok(StepProgress::More),
            Ok(false) => Ok(StepProgress::Idle),
            Err(
                error @ (DatabaseError::Busy
                | DatabaseError::Closed(_)
                | DatabaseError::Away(_)
                | DatabaseError::Storage(_)),
            ) => Err(error.into()),
            // Other jobs only wait when the database is damaged. This job notes the damage, since it can be in the
            // index.
            Err(error) => {
                self.index.note_damage(&error, generation);
                Err(JobError::failed(error))
            }
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = self.index.log_grew.notified() => {}
            () = self.index.database.search_index().changed() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}
