//! SQLite: the location of the file, its identity, its locks and its connections, the checkpoint, the checks of its
//! health and its schema, the bell that notices writes of other processes, the signs that they are pausing, and the
//! watchdog that notices overwrites.

pub(in crate::server) mod bell;
mod checkpoint;
pub(in crate::server::database) mod connections;
mod continuity;
pub(in crate::server::database) mod error_codes;
mod file_id;
pub(in crate::server::database) mod files;
pub(in crate::server) mod health;
pub mod location;
pub(in crate::server::database) mod lock;
pub(in crate::server::database) mod place;
mod position;
pub(in crate::server::database) mod presence;
mod quiet;
pub(in crate::server::database) mod record;
pub(in crate::server) mod schema;
pub(in crate::server) mod watchdog;
