//! The fold: adds the part of the log that is not counted yet to the figures of events.
//!
//! A reader adds the changes that are not folded yet in its own snapshot, so a late fold makes an answer slower and
//! never wrong. The fold waits for the write lock. The tail does not wait for the fold.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};

use super::{Between, between};
use crate::server::access::scope::Scope;
use crate::server::database::sql::change_log;
use crate::server::database::{Database, DatabaseError, Position, WriteTransaction};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

/// How often the log is folded. A reader counts the changes that are not folded yet, so this bounds their number.
const FOLD_INTERVAL: Duration = Duration::from_secs(1);
/// How many changes one transaction folds: it holds the write lock for some milliseconds.
const CHANGES_PER_TRANSACTION: u64 = 10_000;

/// The background job that folds the log.
pub struct FoldJob(pub Database);

impl BackgroundJob for FoldJob {
    const PURPOSE: &'static str = "fold the change log into the figures";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        fold_all(&self.0).await?;
        Ok(StepProgress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(FOLD_INTERVAL).await;
    }
}

/// Folds the part of the log that is not in the figures yet.
pub async fn fold_all(database: &Database) -> Result<(), DatabaseError> {
    loop {
        let read = database.snapshot(Scope::All).await?;
        let unfolded = between(&folded(&read).await?, &read.position());
        drop(read);
        if unfolded.is_empty() {
            return Ok(());
        }
        fold(database, unfolded.end()).await?;
    }
}

/// Folds the next part, towards `end`.
async fn fold(database: &Database, end: &Position) -> Result<(), DatabaseError> {
    let write = async |tx: &WriteTransaction| {
        let part = between(&folded(tx).await?, end).first(CHANGES_PER_TRANSACTION);
        change_log::FOLD_EVENTS.execute(tx, part.values()).await?;
        change_log::FOLD_HOURS.execute(tx, part.values()).await?;
        change_log::SET_FOLDED.execute(tx, [part.end().into()]).await?;
        Ok::<_, DatabaseError>(())
    };
    database.write(Scope::All, write).await?;
    Ok(())
}

/// The position up to which the log is folded.
pub async fn folded(tx: &impl ConnectionTrait) -> Result<Position, DbErr> {
    let folded = change_log::FOLDED.value(tx, []).await?;
    folded.ok_or_else(|| DbErr::RecordNotFound("folded".to_owned()))
}

/// The changes that the figures of this snapshot do not contain.
pub async fn not_folded(tx: &impl ConnectionTrait, now: &Position) -> Result<Between, DbErr> {
    Ok(between(&folded(tx).await?, now))
}
