//! The probe of the storage: a row in the table of deliveries, on SQLite one as long as a long request.

use super::Sql;

/// Stores the row. Its id is no id of a delivery, and its time lets the prune delete a row that was left behind.
pub const PUT: Sql = Sql::both(
    "insert into deliveries (id, at) values ('storage-probe ' || hex(zeroblob(16384)), 0) on conflict do nothing",
    "insert into deliveries (id, at) values ('storage-probe ' || pg_backend_pid(), 0) on conflict do nothing",
);

/// Deletes the row.
pub const DELETE: Sql = Sql::same("delete from deliveries where at = 0 and id like 'storage-probe %'");
