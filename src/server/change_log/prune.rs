//! The prune: deletes changes that no client can ask for any more, and deliveries that no agent sends again.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend};

use super::floor;
use super::gone::forget_gone_projects;
use crate::protocol::limits;
use crate::server::database::sql::{self, change_log};
use crate::server::database::{BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

/// How often the log is pruned.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
/// How many rows a transaction deletes of each table: at least, at first and at most.
const ROWS_PER_TRANSACTION: StepSize = StepSize::new(100, 1_000, 10_000);

/// The background job that prunes the log.
pub struct PruneJob {
    /// The database.
    pub database: Database,
    /// How long a change is kept.
    pub retention: Duration,
}

impl BackgroundJob for PruneJob {
    const PURPOSE: &'static str = "prune the change log";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        forget_gone_projects(&self.database).await?;
        match prune(&self.database, chrono::Utc::now().timestamp_millis(), self.retention).await.map_err(JobError::from)
        {
            // The next prune comes in time: a try costs the writers some milliseconds each.
            Ok(()) | Err(JobError::DatabaseUnusable) => Ok(StepProgress::Idle),
            Err(error) => Err(error),
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(PRUNE_INTERVAL).await;
    }
}

/// Deletes changes that are older than `retention`, and old deliveries.
///
/// Only the old end of the log is deleted, up to a position. A change that is not folded yet stays. The newest change
/// stays too, as a sign that the numbers before it were given out.
///
/// On Postgres the floor of the log rises first, and the changes that it contains are deleted.
pub async fn prune(database: &Database, now_ms: i64, retention: Duration) -> Result<(), DatabaseError> {
    let before = |kept: Duration| now_ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    // A clock that was ahead by less than the retention only delays the prune.
    let latest = now_ms.saturating_add(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
    let mut size = ROWS_PER_TRANSACTION;
    loop {
        let rows = i64::from(size.size());
        let write = async |tx: &WriteTransaction| {
            let changes = match tx.get_database_backend() {
                DbBackend::Postgres => {
                    floor::raise(tx, before(retention)).await?;
                    sql::floor::PRUNE.execute(tx, [rows.into()]).await?
                }
                _ => {
                    let values = [rows.into(), before(retention).into(), latest.into()];
                    change_log::PRUNE_CHANGES.execute(tx, values).await?
                }
            };
            let values = [before(limits::DELIVERY_MEMORY).into(), rows.into()];
            let deliveries = change_log::PRUNE_DELIVERIES.execute(tx, values).await?;
            Ok::<_, DatabaseError>(changes.max(deliveries))
        };
        let step = database.write_in_background(BackgroundWork::Upkeep, write).await?;
        if step.value < rows.unsigned_abs() {
            return Ok(());
        }
        size.note(step.held, true);
    }
}
