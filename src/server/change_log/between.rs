//! The part of the change log between two positions.

use sea_orm::{ConnectionTrait, Value};

use crate::server::database::Position;

/// The changes that one position contains and an earlier one does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Between {
    from: Position,
    to: Position,
}

/// The place of a row in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// The id of the row.
    pub id: i64,
    /// The transaction that wrote the row. Only the log on Postgres has it: there a change can become visible after a
    /// change with a higher id, and the rows are read in the order of their transactions.
    pub xid: Option<u64>,
}

impl LogPlace {
    /// The place of a row in a database with one writer.
    pub fn of_id(id: i64) -> Self {
        Self { id, xid: None }
    }
}

/// The part of the log after `from`, up to `to`.
pub fn between(from: &Position, to: &Position) -> Between {
    Between { from: from.clone(), to: to.clone() }
}

impl Between {
    /// Whether no change can be in between.
    pub fn is_empty(&self) -> bool {
        self.from.covers(&self.to)
    }

    /// At most how many changes are in between.
    pub fn most_changes(&self) -> u64 {
        self.from.changes_until(&self.to)
    }

    /// The part with the first `changes` changes, or the whole part if it has fewer.
    pub fn first(&self, changes: u64) -> Between {
        between(&self.from, &self.from.advanced(changes, &self.to))
    }

    /// The part up to the row at `place`, with that row.
    pub fn up_to_row(&self, place: LogPlace) -> Between {
        between(&self.from, &self.after_row(place))
    }

    /// The position before this part of the log.
    pub fn start(&self) -> &Position {
        &self.from
    }

    /// The end of this part of the log.
    pub fn end(&self) -> &Position {
        &self.to
    }

    /// How far a follower got that has read this part up to the row at `place`. On Postgres: and all rows of its
    /// transaction.
    pub fn after_row(&self, place: LogPlace) -> Position {
        match place.xid {
            Some(xid) => self.from.up_to(&self.to, xid),
            None => self.from.after_row(place.id),
        }
    }

    /// How far a follower got that has read the rows of this part before the row at `place`. On Postgres: the rows of
    /// the transactions before its transaction.
    pub fn before_row(&self, place: LogPlace) -> Position {
        match place.xid {
            Some(xid) => self.from.up_to(&self.to, xid.saturating_sub(1)),
            None => self.from.before_row(place.id),
        }
    }

    /// The two values of a statement. On SQLite: the first change, and the end that is not contained. On Postgres: the
    /// two snapshots.
    pub fn values(&self, connection: &impl ConnectionTrait) -> [Value; 2] {
        let backend = connection.get_database_backend();
        [self.from.to_value(backend), self.to.to_value(backend)]
    }
}
