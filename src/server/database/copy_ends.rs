//! The two ends of a copy of a whole database: the source, which is only read, and the target, which gets all rows in one
//! transaction.

mod cell;
pub use cell::{Cell, CopiedRow};

mod pages;
pub use pages::CopiedPages;

mod source;
pub use source::CopySource;

mod target;
pub use target::CopyTarget;

use super::OpenError;

/// Why one end of a copy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CopyEndError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no database.
    #[error("there is no database of requery at {0}")]
    Missing(String),
    /// The source has the schema of an earlier version.
    #[error("{0} has the schema of an earlier version: bring it up to date with `requery migrate`, and copy it then")]
    Old(String),
    /// Another program has changed the schema of the source, so its rows may break rules.
    #[error("the schema of {place} was changed: {parts}; put it right with `requery migrate`, and copy it then")]
    Changed {
        /// The source.
        place: String,
        /// The parts that differ.
        parts: String,
    },
    /// The target has rows.
    #[error("{place} has rows already, in the table {table}: copy to an empty database. {way_out}")]
    NotEmpty {
        /// The target.
        place: String,
        /// A table with rows.
        table: String,
        /// What the user can do.
        way_out: &'static str,
    },
    /// The database cannot be used.
    #[error("could not use {place}: {why}")]
    Unusable {
        /// The database.
        place: String,
        /// The message of the database or of its driver.
        why: String,
    },
}

impl CopyEndError {
    fn unusable(place: &str, why: impl std::fmt::Display) -> Self {
        Self::Unusable { place: place.to_owned(), why: why.to_string() }
    }
}
