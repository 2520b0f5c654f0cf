//! The probe of the storage: a row as long as a long request, in the table of deliveries.

use super::Sql;

/// Stores the row. Its id is no id of a delivery, and its time lets the prune delete a row that was left behind.
pub const PUT: Sql = Sql::new(
    "insert into deliveries (id, at) values ('storage-probe ' || hex(zeroblob(16384)), 0) on conflict do nothing",
);

/// Deletes the row.
pub const DELETE: Sql = Sql::new("delete from deliveries where at = 0 and id like 'storage-probe %'");
