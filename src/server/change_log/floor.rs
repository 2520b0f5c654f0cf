//! The floor of the log on Postgres: a snapshot that contains each deleted change. The log continues a cursor that
//! contains the floor.
//!
//! The snapshots that can become the floor are noted while they are current, because no later query can tell what a
//! client had seen at an earlier time. On SQLite the numbers of the changes tell it, and nothing is noted.

use std::time::Duration;

use sea_orm::DbErr;

use crate::server::database::sql::floor;
use crate::server::database::{BackgroundWork, Database, DatabaseError, WriteTransaction};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

/// How often the job looks whether a note is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often a snapshot is noted. The log keeps its changes for so much longer.
const NOTE_INTERVAL_MS: i64 = 60_000;
/// After how many changes a snapshot is noted, even if the time has not come.
const CHANGES_PER_NOTE: i64 = 10_000;

/// The background job that notes snapshots.
pub struct FloorJob(pub Database);

impl BackgroundJob for FloorJob {
    const PURPOSE: &'static str = "note how far the change log was written";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        note(&self.0, chrono::Utc::now().timestamp_millis()).await?;
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Notes the current snapshot if a note is due. Several servers share the notes.
pub async fn note(database: &Database, now_ms: i64) -> Result<(), DatabaseError> {
    let values = [now_ms.into(), (now_ms - NOTE_INTERVAL_MS).into(), CHANGES_PER_NOTE.into()];
    let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(floor::NOTE.execute(tx, values).await?);
    database.write_in_background(BackgroundWork::Upkeep, write).await.map(drop)
}

/// Moves the floor to the latest snapshot that was noted before this time.
pub(super) async fn raise(tx: &WriteTransaction, before_ms: i64) -> Result<(), DbErr> {
    if floor::RAISE.execute(tx, [before_ms.into()]).await? > 0 {
        floor::FORGET_NOTES.execute(tx, []).await?;
    }
    Ok(())
}
