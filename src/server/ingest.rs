//! The write side: one function for each verb, in a transaction of the caller.
//!
//! A verb takes a parsed body and the time. It checks the rules that the types do not express, writes the row, and
//! returns whether the row is new. The answer is not made here: `read` reads the row. No code here publishes a notice:
//! the database's triggers log each write.
//!
//! A verb finds the rows that a request names with [`in_scope`](super::database::in_scope), in the scope of the
//! transaction. [`WriteError`] has the one answer to a row that is not found, and the one answer to a taken id: neither
//! tells whether a project outside of the scope has such a row.

use sea_orm::DbErr;

pub mod task;

pub mod session;

pub mod event;

pub mod agent;
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
    /// The row does not exist, or is outside of the scope.
    #[error("there is no {what} {id}")]
    NotFound {
        /// The kind of row: task, session, event or bookmark.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A new row cannot have this id. The caller may not know the row that has it, so no more is told.
    #[error("the id {id} cannot be used for this {what}")]
    Conflict {
        /// The kind of row: task, session, event or bookmark.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// Values of fields are refused.
    #[error("{}", describe(.0))]
    Invalid(Vec<Invalid>),
    /// A statement failed.
    #[error(transparent)]
    Db(#[from] DbErr),
}

impl WriteError {
    /// The error for a row that the path names.
    fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    /// The error for an id that a new row cannot have.
    fn conflict(what: &'static str, id: impl ToString) -> Self {
        Self::Conflict { what, id: id.to_string() }
    }

    /// The error for a field that names a row, in the words of [`WriteError::NotFound`].
    fn missing(field: &str, what: &'static str, id: impl ToString) -> Self {
        Self::invalid(field, Self::not_found(what, id).to_string())
    }

    /// The error for one field.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid { field: field.into(), detail: detail.into() }])
    }
}

fn describe(fields: &[Invalid]) -> String {
    fields.iter().map(|one| format!("{}: {}", one.field, one.detail)).collect::<Vec<_>>().join("; ")
}
