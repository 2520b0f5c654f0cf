//! Runs and the cursors they mint.

use super::Sql;

/// The number of the last change, and whether the run `?` is in the file.
pub const LAST_CHANGE_AND_RUN: Sql = Sql::new(
    "select (select seq from sqlite_sequence where name = 'changes') as last,
        exists (select 1 from runs where token = ?) as is_ours",
);

/// The number of the last change; no row in a database without changes.
pub const LAST_CHANGE: Sql = Sql::new("select seq from sqlite_sequence where name = 'changes'");
