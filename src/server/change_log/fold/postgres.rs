//! The fold on Postgres.
//!
//! A step is one transaction. It adds a part of the log and deletes the deltas that it adds, so a reader sees each change
//! once: in the figures, or in the log and the deltas. One server folds at a time: the row of `folded` is locked.
//!
//! A step adds the events to the rows of their tasks too. It never waits for the lock of such a row.

use requery_entities::StoredText;
use sea_orm::{DbErr, FromQueryResult};

use crate::protocol::Snapshot;
use crate::server::access::scope::Scope;
use crate::server::database::sql::{fold, overview};
use crate::server::database::{BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction};

/// How many changes, and how many deltas, a step adds: at least, at first and at most. A transaction is never divided, so
/// a step can add more.
const CHANGES_PER_STEP: StepSize = StepSize::new(5_000, 10_000, 50_000);

/// The part of the log that a step can add.
#[derive(FromQueryResult)]
struct Part {
    next: StoredText,
    now: StoredText,
    /// The transaction with which a part ends that has more changes than a step adds.
    last: Option<StoredText>,
}

#[derive(FromQueryResult)]
struct Added {
    is_full: bool,
    projects: StoredText,
}

/// Folds the log and the deltas that are not in the figures yet.
pub(super) async fn fold_all(database: &Database) -> Result<(), DatabaseError> {
    let mut size = CHANGES_PER_STEP;
    loop {
        let read = database.snapshot(Scope::All).await?;
        let is_behind = fold::IS_BEHIND.number(&read, []).await? != 0;
        drop(read);
        if !is_behind {
            return Ok(());
        }
        let most = i64::from(size.size());
        let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(step(tx, most).await?);
        let step = database.write_in_background(BackgroundWork::Upkeep, write).await?;
        size.note(step.held, step.value);
        if !step.value {
            return Ok(());
        }
    }
}

/// Adds the next part. Returns whether there can be more.
async fn step(tx: &WriteTransaction, most: i64) -> Result<bool, DbErr> {
    let locked: Option<StoredText> = fold::LOCK.value(tx, []).await?;
    if locked.is_none() {
        return Ok(false);
    }
    let part: Option<Part> = fold::PART.one(tx, [most.into()]).await?;
    let part = part.ok_or_else(|| DbErr::RecordNotFound("folded".to_owned()))?;
    let end = part.end()?;
    fold::BEGIN.execute(tx, []).await?;
    let values = [part.next.as_str().into(), end.as_str().into(), most.into(), most.into()];
    let added: Option<Added> = fold::ADD.one(tx, values).await?;
    let added = added.ok_or_else(|| DbErr::RecordNotFound("the sums".to_owned()))?;
    fold::END.execute(tx, []).await?;
    fold::SET.execute(tx, [end.into()]).await?;
    overview::DELETE_ZEROS.execute(tx, []).await?;
    if added.projects.as_str() != "[]" {
        fold::DELETE_OLD_HOURS.execute(tx, [added.projects.as_str().into()]).await?;
    }
    Ok(part.last.is_some() || added.is_full)
}

impl Part {
    /// The snapshot with which the part ends.
    fn end(&self) -> Result<String, DbErr> {
        let Some(last) = &self.last else { return Ok(self.now.to_string()) };
        let snapshot = |text: &StoredText| text.parse::<Snapshot>().map_err(|error| DbErr::Custom(error.to_string()));
        let last = last.parse().map_err(|_| DbErr::Custom(format!("{last} is no transaction")))?;
        Ok(snapshot(&self.next)?.up_to(&snapshot(&self.now)?, last).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Part;

    #[test]
    fn a_part_ends_with_a_whole_transaction() {
        for (next, now, last, end) in [
            ("10:10:", "12:20:12", None, "12:20:12"),
            ("10:10:", "12:20:12", Some("15"), "12:16:12"),
            ("10:14:10,12", "30:30:", Some("12"), "14:14:"),
            ("10:14:10,12", "30:30:", Some("10"), "12:14:12"),
        ] {
            let part = Part { next: next.into(), now: now.into(), last: last.map(Into::into) };
            assert_eq!(part.end().expect("snapshots"), end);
        }
    }
}
