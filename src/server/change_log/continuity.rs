//! Which cursors and positions the change log still continues.
//!
//! On SQLite the changes have numbers without a gap, so the log is known to be whole by the number of its rows. On
//! Postgres no number tells that a row is missing. The log has a floor instead: a snapshot that contains each deleted
//! change.

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult};

use super::Between;
use crate::protocol::limits;
use crate::protocol::{Cursor, Snapshot};
use crate::server::database::sql::change_log;
use crate::server::database::{Position, ReadTransaction};

/// What the database knows of the run of a cursor and of the changes that the cursor does not contain.
#[derive(FromQueryResult)]
pub struct RunAndRows {
    /// Whether the log has the run of the cursor, or whether its epoch is the one of the database.
    is_known: bool,
    /// The first change after the run, if a later run began.
    ends: Option<i64>,
    /// The changes that the log has. On Postgres they are counted up to a limit.
    rows: i64,
    /// The snapshot that contains each deleted change, on Postgres.
    floor: Option<StoredText>,
}

impl RunAndRows {
    /// Whether the log still holds every change that `cursor` does not contain.
    ///
    /// On SQLite the run of the cursor has to be known, the cursor must not reach beyond the beginning of the next run,
    /// and the log must have each later change: it can be pruned, and another program can delete rows anywhere. A run
    /// whose changes can have been taken back is not known, see `sqlite::connections`.
    ///
    /// On Postgres the cursor has to contain the floor, and to be of the epoch of the database: a database that can have
    /// lost changes has another epoch.
    pub fn continue_at(&self, read: &ReadTransaction, cursor: &Cursor) -> bool {
        can_continue(read, cursor) && self.is_known && self.has_rows_after(read, cursor)
    }

    fn has_rows_after(&self, read: &ReadTransaction, cursor: &Cursor) -> bool {
        let rows = self.rows.unsigned_abs();
        if is_postgres(read) {
            let floor = self.floor.as_ref().and_then(|text| text.parse::<Snapshot>().ok());
            return rows <= limits::RESUME_CHANGES && floor.is_some_and(|floor| cursor.snapshot().covers(&floor));
        }
        let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
        self.ends.is_none_or(|ends| first <= ends.unsigned_abs()) && rows == now - first
    }
}

/// Whether the log still holds every change that `cursor` does not contain.
pub async fn continues(read: &ReadTransaction, cursor: &Cursor) -> Result<bool, DbErr> {
    if !can_continue(read, cursor) {
        return Ok(false);
    }
    let from = Position::of(cursor).to_value(read.get_database_backend());
    let run: Option<RunAndRows> = change_log::RUN_AND_ROWS.one(read, [from, cursor.epoch().into()]).await?;
    Ok(run.is_some_and(|run| run.continue_at(read, cursor)))
}

/// Whether `cursor` by itself is one that the log can continue. It costs no statement.
fn can_continue(read: &ReadTransaction, cursor: &Cursor) -> bool {
    if is_postgres(read) {
        return read.cursor().covers(cursor);
    }
    let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
    cursor.snapshot().xmin() == first && first != 0 && first <= now && now - first <= limits::RESUME_CHANGES
}

fn is_postgres(read: &ReadTransaction) -> bool {
    read.get_database_backend() == DbBackend::Postgres
}

/// Whether a part of the log of which `read` rows were read lacks rows. SQLite gives out the numbers without a gap,
/// also when a transaction is rolled back. On Postgres only the owner of the tables can delete rows of the log, and no
/// number tells it.
pub fn has_gaps(backend: DbBackend, part: &Between, read: u64) -> bool {
    backend != DbBackend::Postgres && read < part.most_changes()
}
