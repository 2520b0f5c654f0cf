//! Postgres: the location of the database, its connections, its epoch, the reader of its log, the bell between servers,
//! and the leases of the work that one server does for all.

pub(in crate::server) mod bell;
pub(in crate::server::database) mod connections;
mod epoch;
pub(in crate::server::database) mod error_codes;
mod held_lease;
pub(in crate::server) mod lease;
pub mod location;
pub(in crate::server) mod log_reader;
pub(in crate::server) mod server;
