//! A position in the change log: how far a follower has read.
//!
//! Every follower of the log (the tail, the fold, the search index, the hourly activity) remembers one position and
//! asks for the changes between that and a newer one. A position is the snapshot of a cursor and not a number: on a
//! database with several writers a change can become visible after a change with a higher number, and a follower that
//! remembered only the highest number would lose it.
//!
//! A column holds a position as the number of the first change that is not contained on SQLite, see `sqlite::position`,
//! and as the text of the snapshot on Postgres.

use sea_orm::{ColIdx, DbBackend, QueryResult, TryGetError, TryGetable, Value};

use crate::protocol::{Cursor, Snapshot};

/// A set of changes that a follower of the log has read, without the history that the set belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position(Snapshot);

impl Position {
    /// The position that `cursor` names.
    pub fn of(cursor: &Cursor) -> Self {
        Self(cursor.snapshot().clone())
    }

    /// The position that contains exactly the changes of `snapshot`.
    pub(super) fn of_snapshot(snapshot: Snapshot) -> Self {
        Self(snapshot)
    }

    /// The set of changes.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.0
    }

    /// The cursor of this position in the history `epoch`.
    pub fn cursor(&self, epoch: &str) -> Cursor {
        Cursor::new(epoch, self.0.clone())
    }

    /// This position, and the transactions of the later position `now` up to the number `id`: how far a follower got that
    /// read the changes in the order of their transactions, on Postgres.
    pub fn up_to(&self, now: &Position, id: u64) -> Position {
        Self(self.0.up_to(&now.0, id))
    }

    /// Whether the transaction with this number is contained.
    pub fn contains(&self, transaction: u64) -> bool {
        transaction < self.0.xmax() && self.0.xip().binary_search(&transaction).is_err()
    }

    /// The value for a column, or for a statement, of this engine.
    pub fn to_value(&self, backend: DbBackend) -> Value {
        match backend {
            DbBackend::Postgres => self.0.to_string().into(),
            _ => self.to_column().into(),
        }
    }

    /// Whether every change that `other` contains is contained here.
    pub fn covers(&self, other: &Position) -> bool {
        self.0.covers(&other.0)
    }
}

/// Where a change is in the log.
#[derive(Clone, Debug)]
pub struct ChangePlace {
    /// A position that contains the change and all changes before it.
    pub position: Position,
    /// The number of its transaction, on Postgres.
    pub transaction: Option<u64>,
}

impl TryGetable for Position {
    fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
        match row.try_as_pg_row() {
            // A text that is no snapshot contains no change, so that a follower begins anew.
            Some(_) => Ok(String::try_get_by(row, column)?.parse().map_or_else(|_| Self::start(), Self)),
            None => i64::try_get_by(row, column).map(Self::from_column),
        }
    }
}
