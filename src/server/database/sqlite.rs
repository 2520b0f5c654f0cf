//! SQLite: the location of the file, its lock and its connections, the checks of its health and its schema, the bell
//! that notices writes of other processes, the signs that they are pausing, and the watchdog that notices overwrites.

pub(in crate::server) mod bell;
pub(in crate::server::database) mod connections;
pub(in crate::server::database) mod error_codes;
pub(in crate::server) mod health;
pub mod location;
pub(in crate::server::database) mod lock;
mod position;
mod quiet;
pub(in crate::server) mod schema;
mod watchdog;
