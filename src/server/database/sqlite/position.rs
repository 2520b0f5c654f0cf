//! A position in SQLite.
//!
//! SQLite has one writer, so changes become visible in the order of their ids. A position is therefore one number, the
//! id of the first change that the position does not contain, and a column holds it as an integer.

use crate::protocol::Snapshot;
use crate::server::database::Position;

impl Position {
    /// The position before the first change: it contains no change.
    pub fn start() -> Self {
        Self::from_column(0)
    }

    /// How far a follower got that began here, reads the log in order, and has read the row `id` last. In SQLite the
    /// row alone tells it.
    pub fn after_row(&self, id: i64) -> Position {
        Self::from_column(id.saturating_add(1))
    }

    /// How far a follower got that began here, reads the log in order, and reads the row `id` next.
    pub fn before_row(&self, id: i64) -> Position {
        Self::from_column(id)
    }

    /// The position that a column holds: the id of the first change that is not contained.
    pub(in crate::server::database) fn from_column(next: i64) -> Self {
        Self::of_snapshot(Snapshot::counter(u64::try_from(next).unwrap_or(0)))
    }

    /// The value for a column.
    pub(in crate::server::database) fn to_column(&self) -> i64 {
        i64::try_from(self.next()).unwrap_or(i64::MAX)
    }

    /// How many changes there can be from here to `end`. The log can hold fewer: ids have gaps, and old rows are
    /// pruned.
    pub fn changes_until(&self, end: &Position) -> u64 {
        end.next().saturating_sub(self.next())
    }

    /// The position `changes` further on, but not beyond `end`.
    pub fn advanced(&self, changes: u64, end: &Position) -> Position {
        Self::of_snapshot(Snapshot::counter(self.next().saturating_add(changes).min(end.next())))
    }

    /// The same position, or the one before the first change: no cursor is below that.
    pub fn at_least_first(&self) -> Position {
        if self.next() == 0 { Self::of_snapshot(Snapshot::counter(1)) } else { self.clone() }
    }

    fn next(&self) -> u64 {
        self.snapshot().xmax()
    }
}
