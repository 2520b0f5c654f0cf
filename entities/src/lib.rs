//! The rows of requery's tables: one file a table, no behaviour.
//!
//! The columns are explained where they are made, in `requery-migrations`. Ids are text, times are milliseconds since
//! 1970.

#![allow(missing_docs)]

pub mod bookmark;
pub mod change;
pub mod delivery;
pub mod event;
pub mod figure;
pub mod run;
pub mod session;
pub mod task;
