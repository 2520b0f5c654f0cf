//! The rows of requery's tables: one file a table, no behaviour.
//!
//! The SQL of `requery-migrations` explains the columns. Ids are text. Times are milliseconds since 1970.

#![allow(missing_docs)]

pub mod bookmark;
pub mod change;
pub mod delivery;
pub mod event;
pub mod figure;
pub mod run;
pub mod session;
pub mod task;

mod text;
pub use text::StoredText;
