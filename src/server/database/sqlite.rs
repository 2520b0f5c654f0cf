//! SQLite: the location of the file, the checks of its health and its schema, and the bell that notices writes of other
//! processes.

pub(in crate::server) mod bell;
pub(in crate::server) mod health;
pub mod location;
mod position;
pub(in crate::server) mod schema;
