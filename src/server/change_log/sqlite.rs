//! The change log in SQLite: which cursors and positions the log still continues.

use sea_orm::{DbBackend, DbErr, FromQueryResult};

use super::Between;
use crate::protocol::Cursor;
use crate::protocol::limits;
use crate::server::database::sql::change_log;
use crate::server::database::{Position, ReadTransaction};

/// What the database knows of the run of a cursor and of the changes that the cursor does not contain.
#[derive(FromQueryResult)]
pub struct RunAndRows {
    is_known: bool,
    /// The first change after the run, if a later run began.
    ends: Option<i64>,
    /// The changes that the log has.
    rows: i64,
}

impl RunAndRows {
    /// Whether the log still holds every change that `cursor` does not contain.
    ///
    /// The run of the cursor has to be known, the cursor must not reach beyond the beginning of the next run, and the
    /// log must have each later change: it can be pruned, and another program can delete rows anywhere. A run whose
    /// changes can have been taken back is not known, see `sqlite::connections`.
    pub fn continue_at(&self, read: &ReadTransaction, cursor: &Cursor) -> bool {
        let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
        let is_within_its_run = self.ends.is_none_or(|ends| first <= ends.unsigned_abs());
        can_continue(read, cursor) && self.is_known && is_within_its_run && self.rows.unsigned_abs() == now - first
    }
}

/// Whether the log still holds every change that `cursor` does not contain.
pub async fn continues(read: &ReadTransaction, cursor: &Cursor) -> Result<bool, DbErr> {
    if !can_continue(read, cursor) {
        return Ok(false);
    }
    let run: Option<RunAndRows> = change_log::RUN_AND_ROWS
        .one(read, [Position::of(cursor).to_value(DbBackend::Sqlite), cursor.epoch().into()])
        .await?;
    Ok(run.is_some_and(|run| run.continue_at(read, cursor)))
}

/// Whether the numbers of `cursor` are those of a cursor that the log can continue. It costs no statement.
fn can_continue(read: &ReadTransaction, cursor: &Cursor) -> bool {
    let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
    cursor.snapshot().xmin() == first && first != 0 && first <= now && now - first <= limits::RESUME_CHANGES
}

/// Whether a part of the log of which `read` rows were read lacks rows. SQLite gives out the numbers without a gap,
/// also when a transaction is rolled back.
pub fn has_gaps(part: &Between, read: u64) -> bool {
    read < part.most_changes()
}
