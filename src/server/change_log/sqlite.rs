//! The change log in SQLite: which cursors and positions the log still continues.

use sea_orm::{DbErr, FromQueryResult};

use super::Between;
use crate::protocol::Cursor;
use crate::protocol::limits;
use crate::server::database::sql::change_log;
use crate::server::database::{Position, ReadTransaction};

/// The first change after the run of a cursor, if a later run began, and the number of changes that the cursor does not
/// contain and that the log has.
#[derive(FromQueryResult)]
struct RunAndRows {
    ends: Option<i64>,
    rows: i64,
}

/// Whether the log still holds every change that `cursor` does not contain.
///
/// The run of the cursor has to be known, the cursor must not reach beyond the beginning of the next run, and the log
/// must have each later change: it can be pruned, and another program can delete rows anywhere. A run whose changes can
/// have been taken back is not known, see `sqlite::connections`.
pub async fn continues(read: &ReadTransaction, cursor: &Cursor) -> Result<bool, DbErr> {
    let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
    if cursor.snapshot().xmin() != first || first == 0 || first > now || now - first > limits::RESUME_CHANGES {
        return Ok(false);
    }
    let values = [cursor.epoch().into(), (&Position::of(cursor)).into()];
    let run: Option<RunAndRows> = change_log::RUN_AND_ROWS.one(read, values).await?;
    let Some(RunAndRows { ends, rows }) = run else { return Ok(false) };
    let is_within_its_run = ends.is_none_or(|ends| first <= ends.unsigned_abs());
    Ok(is_within_its_run && rows.unsigned_abs() == now - first)
}

/// Whether a part of the log of which `read` rows were read lacks rows. SQLite gives out the numbers without a gap, also
/// when a transaction is rolled back.
pub fn has_gaps(part: &Between, read: u64) -> bool {
    read < part.most_changes()
}
