//! The write side: one function for each verb, in a transaction of the caller.
//!
//! A verb takes a parsed body and the time. It checks the rules that the types do not express, writes the row, and
//! returns whether the row is new. The answer is not made here: `read` reads the row. No code here publishes a notice:
//! the database's triggers log each write.

use sea_orm::DbErr;

pub mod task;

pub mod session;

pub mod event;

pub mod bookmark;

pub mod usage;

pub mod delivery;

mod bounds;
pub use bounds::CheckedBody;

/// Whether a write created its row or found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The row was created.
    New,
    /// The row existed already.
    There,
}

/// A field whose value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its path in the body, as in `events[3].title`.
    pub field: String,
    /// The reason.
    pub detail: String,
}

/// Why a write was refused. A refused write changes no row.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The row does not exist.
    #[error("there is no {what} {id}")]
    NotFound {
        /// The kind of row: task, session, event or bookmark.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Another row has this id.
    #[error("{what} {id} exists already and {detail}")]
    Conflict {
        /// The kind of row: task, session, event or bookmark.
        what: &'static str,
        /// Its id.
        id: String,
        /// The difference between the existing row and the request.
        detail: &'static str,
    },
    /// Values of fields are refused.
    #[error("{}", describe(.0))]
    Invalid(Vec<Invalid>),
    /// A statement failed.
    #[error(transparent)]
    Db(#[from] DbErr),
}

impl WriteError {
    /// The error for one field.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid { field: field.into(), detail: detail.into() }])
    }
}

fn describe(fields: &[Invalid]) -> String {
    fields.iter().map(|one| format!("{}: {}", one.field, one.detail)).collect::<Vec<_>>().join("; ")
}
