//! The write side: one verb a function, each in a transaction of its caller's.
//!
//! A verb is given a body that has parsed, and the time. It checks what a type cannot say, writes, and tells whether
//! the row is new; what the row then looks like is `read`'s to tell. Nothing here publishes: the database's triggers
//! log what was written.

use sea_orm::DbErr;

pub mod task;

pub mod session;

pub mod event;

pub mod bookmark;

pub mod usage;

pub mod delivery;

pub mod text;

mod bounds;

/// Whether a write made its row or found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It was made.
    New,
    /// It was there already.
    There,
}

/// A field that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its path in the body, as in `events[3].title`.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Why a write was refused. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What it is about is not there.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The id is taken by something else.
    #[error("{what} {id} is there already, and {detail}")]
    Conflict {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
        /// What sets the two apart.
        detail: &'static str,
    },
    /// Fields cannot be taken as they are.
    #[error("{}", describe(.0))]
    Invalid(Vec<Invalid>),
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbErr),
}

impl WriteError {
    /// One field that cannot be taken.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid { field: field.into(), detail: detail.into() }])
    }
}

fn describe(fields: &[Invalid]) -> String {
    fields.iter().map(|one| format!("{}: {}", one.field, one.detail)).collect::<Vec<_>>().join("; ")
}
