//! The fold: adds the part of the log and of the deltas that is not counted yet to the figures and the hours.
//!
//! A reader adds that part in its own snapshot, so a late fold makes an answer slower and never wrong. The sums are
//! made in a snapshot of a reader. The transaction that writes only adds them, so it holds the write lock for a short
//! time, however far behind the figures are. The tail does not wait for the fold.
//!
//! This is the fold of SQLite. That of `postgres` has its sums made by the statement that adds them.

use std::time::Duration;

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Value};

use super::{between, has_gaps};
use crate::server::access::scope::Scope;
use crate::server::database::sql::overview;
use crate::server::database::sqlite::bell::UNCOUNTED;
use crate::server::database::{
    BackgroundWork, Database, DatabaseError, Position, ReadTransaction, StepSize, WriteTransaction,
};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

mod postgres;

/// How often the log is folded. A reader counts the changes that are not folded yet, so this bounds their number.
const FOLD_INTERVAL: Duration = Duration::from_secs(1);
/// How many changes, and how many deltas, one step folds at most: reading them takes a reader some 200 ms.
const CHANGES_PER_STEP: i64 = 1_000_000;
/// How many sums a transaction adds: at least, at first and at most.
const SUMS_PER_TRANSACTION: StepSize = StepSize::new(100, 1_000, 4_000);
/// How many folded deltas one transaction deletes for each sum that it may add: to delete a delta costs a tenth of it.
const DELTAS_PER_SUM: u32 = 4;

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
    if database.backend() == DbBackend::Postgres {
        return postgres::fold_all(database).await;
    }
    let mut pace = FoldPace { sums: SUMS_PER_TRANSACTION, changes: CHANGES_PER_STEP };
    while fold(database, &mut pace).await? {}
    Ok(())
}

/// How many sums the next transaction adds, and how many changes and deltas make at most so many sums.
struct FoldPace {
    sums: StepSize,
    changes: i64,
}

/// The part that the figures of a snapshot do not contain: the first delta and the end of the deltas, the first change
/// and the end of the log.
#[derive(Clone, Debug)]
pub struct Unfolded {
    deltas: (i64, i64),
    log: (Position, Position),
}

#[derive(FromQueryResult)]
struct Folded {
    oldest_delta: i64,
    deltas: i64,
    deltas_end: i64,
    next: Position,
    changes: i64,
}

#[derive(FromQueryResult)]
struct Sums {
    figures: StoredText,
    hours: StoredText,
    sums: i64,
    changes: i64,
}

impl Unfolded {
    /// The part that is missing in the figures of this snapshot.
    ///
    /// The log can lack rows of that part, if another program deleted them. The figures of this snapshot are then too
    /// low, and no later change would tell so: the fold can have read the rows before. So the file is in doubt, the
    /// tail opens it again with counted events, and every screen reads again.
    ///
    /// On Postgres the statements find the part themselves.
    pub async fn of(read: &ReadTransaction) -> Result<Self, DbErr> {
        let backend = read.get_database_backend();
        if backend == DbBackend::Postgres {
            return Ok(Self { deltas: (0, 0), log: (read.position(), read.position()) });
        }
        let folded = folded(read).await?;
        let unfolded = Self::after(&folded, read.position());
        if has_gaps(backend, &between(&unfolded.log.0, &unfolded.log.1), folded.changes.unsigned_abs()) {
            read.doubt(UNCOUNTED);
        }
        Ok(unfolded)
    }

    fn after(folded: &Folded, now: Position) -> Self {
        Self { deltas: (folded.deltas, folded.deltas_end.max(folded.deltas)), log: (folded.next.clone(), now) }
    }

    fn is_empty(&self) -> bool {
        self.deltas.0 == self.deltas.1 && between(&self.log.0, &self.log.1).is_empty()
    }

    /// The number of changes or of deltas, whichever is higher.
    fn most(&self) -> i64 {
        let changes = between(&self.log.0, &self.log.1).most_changes();
        (self.deltas.1 - self.deltas.0).max(i64::try_from(changes).unwrap_or(i64::MAX))
    }

    /// The first part, with at most `most` changes and `most` deltas.
    fn first(&self, most: i64) -> Self {
        let log = between(&self.log.0, &self.log.1).first(most.unsigned_abs());
        Self {
            deltas: (self.deltas.0, self.deltas.1.min(self.deltas.0.saturating_add(most))),
            log: (log.start().clone(), log.end().clone()),
        }
    }

    /// The first values of a statement: the first delta, the end of the deltas, the first change, the end of the log.
    /// On Postgres a statement takes none of them: it finds the part itself.
    pub fn values(&self, connection: &impl ConnectionTrait) -> Vec<Value> {
        let backend = connection.get_database_backend();
        if backend == DbBackend::Postgres {
            return Vec::new();
        }
        let (from, to) = (self.log.0.to_value(backend), self.log.1.to_value(backend));
        vec![self.deltas.0.into(), self.deltas.1.into(), from, to]
    }
}

/// Folds the next part. Returns whether there was any.
async fn fold(database: &Database, pace: &mut FoldPace) -> Result<bool, DatabaseError> {
    let read = database.snapshot(Scope::All).await?;
    let folded = folded(&read).await?;
    let unfolded = Unfolded::after(&folded, read.position());
    let has_folded_deltas = folded.oldest_delta < folded.deltas.min(folded.deltas_end - 1);
    if unfolded.is_empty() && !has_folded_deltas {
        return Ok(false);
    }
    let size = pace.sums.size();
    let (part, sums) = loop {
        let part = unfolded.first(pace.changes);
        let sums: Option<Sums> = overview::SUMS.one(&read, part.values(&read)).await?;
        let sums = sums.ok_or_else(|| DbErr::RecordNotFound("the sums".to_owned()))?;
        let (deltas, changes) = (part.deltas.1 - part.deltas.0, sums.changes);
        tracing::debug!(deltas, changes, sums = sums.sums, "the sums of a part of the log were made");
        if sums.sums <= i64::from(size) || pace.changes == 1 {
            break (part, sums);
        }
        pace.changes = (part.most() / 2).max(1);
    };
    let backend = read.get_database_backend();
    drop(read);
    if has_gaps(backend, &between(&part.log.0, &part.log.1), sums.changes.unsigned_abs()) {
        database.doubt(UNCOUNTED.to_owned());
    }
    let write = async |tx: &WriteTransaction| add(tx, &part, &sums, size * DELTAS_PER_SUM).await;
    let step = database.write_in_background(BackgroundWork::Upkeep, write).await?;
    pace.sums.note(step.held, step.value || sums.sums > i64::from(size / 2));
    if sums.sums <= i64::from(size / 2) {
        pace.changes = (pace.changes * 2).min(CHANGES_PER_STEP);
    }
    Ok(true)
}

/// Adds the sums of `part` to the figures, and deletes folded deltas, at most `deltas`. Returns whether there were as
/// many. Fails as busy if the figures have moved on since the sums were made.
async fn add(tx: &WriteTransaction, part: &Unfolded, sums: &Sums, deltas: u32) -> Result<bool, DatabaseError> {
    let backend = tx.get_database_backend();
    let (next, before) = (part.log.1.to_value(backend), part.log.0.to_value(backend));
    let values = [part.deltas.1.into(), next, part.deltas.0.into(), before];
    if overview::SET_FOLDED.execute(tx, values).await? == 0 {
        return Err(DatabaseError::Busy);
    }
    if sums.sums > 0 {
        overview::FOLD_FIGURES.execute(tx, [sums.figures.as_str().into()]).await?;
        overview::DELETE_ZEROS.execute(tx, []).await?;
        overview::FOLD_HOURS.execute(tx, [sums.hours.as_str().into()]).await?;
        overview::DELETE_OLD_HOURS.execute(tx, [sums.hours.as_str().into()]).await?;
    }
    let deleted = overview::DELETE_FOLDED_DELTAS.execute(tx, [deltas.into()]).await?;
    Ok(deleted == u64::from(deltas))
}

async fn folded(tx: &impl ConnectionTrait) -> Result<Folded, DbErr> {
    let folded = overview::FOLDED.one(tx, []).await?;
    folded.ok_or_else(|| DbErr::RecordNotFound("folded".to_owned()))
}

#[cfg(test)]
mod tests {
    use requery_entities::{change, task};
    use sea_orm::{ActiveValue, EntityTrait};

    use super::Unfolded;
    use crate::server::access::scope::Scope;
    use crate::server::database::Database;

    /// The fold can have read the rows before another program deleted them. Then only the reader sees that they are
    /// gone.
    #[tokio::test]
    async fn a_reader_that_lacks_changes_puts_the_file_in_doubt() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("requery.db");
        let database = Database::open(path.clone().into()).await.expect("a database");
        let other = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.expect("a connection");
        let titles = ["a", "b", "c"]
            .map(|title| task::ActiveModel { title: ActiveValue::Set(title.to_owned().into()), ..Default::default() });
        let is_in_doubt = async || {
            let read = database.snapshot(Scope::All).await.expect("a snapshot");
            Unfolded::of(&read).await.expect("the unfolded part");
            database.check_doubt().is_err()
        };
        assert!(!is_in_doubt().await, "an empty log");
        task::Entity::insert_many(titles).exec_without_returning(&other).await.expect("tasks");
        assert!(!is_in_doubt().await, "a whole log");
        // The oldest change stays: the tail finds the others by no other sign.
        change::Entity::delete_by_id(2).exec(&other).await.expect("a deletion");
        assert!(is_in_doubt().await, "a log that lacks a change");
    }
}
