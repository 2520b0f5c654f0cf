//! SQLite: where the file is, whether it is sound, whether its schema is ours, and how a write of another process is
//! noticed.

pub(in crate::server) mod bell;
pub(in crate::server) mod health;
pub mod location;
mod position;
pub(in crate::server) mod schema;
