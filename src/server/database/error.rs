//! The errors of the database: why it could not be opened, and why a read or a write failed.

use std::path::PathBuf;

use requery_migrations::MigrateError;
use sea_orm::DbErr;

/// Why a read or a write failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The database cannot be used now. The text is the reason.
    #[error("the database is away: {0}")]
    Away(String),
    /// Another process holds the write lock, or too many requests wait.
    #[error("the database is busy")]
    Busy,
    /// The search index is corrupt. It can be rebuilt from the rows. This error does not tell whether the rows are
    /// sound.
    #[error("the search index is damaged: {0}")]
    Index(String),
    /// A page of the file is corrupt. SQLite does not say to which table the page belongs.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A statement failed.
    #[error(transparent)]
    Db(DbErr),
}

/// Why the database could not be opened. Each text contains its cause, so no variant has a source: the log would print
/// the cause twice.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the lock file cannot be created or locked.
    #[error("could not use {path}: {why}", path = path.display())]
    Io {
        /// The folder or the lock file.
        path: PathBuf,
        /// The cause.
        why: std::io::Error,
    },
    /// Another server has the file open.
    #[error("another requery serves {path}", path = .0.display())]
    InUse(PathBuf),
    /// The file is corrupt.
    #[error("{path} is damaged: {detail}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The message of SQLite.
        detail: String,
    },
    /// The schema is not one of ours, or another program has changed it.
    #[error("{path} cannot be used: {why}; {way_out}", path = path.display(), way_out = why.way_out())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: MigrateError,
    },
    /// The file could not be opened, or its schema could not be migrated.
    #[error("could not open {path}: {why}", path = path.display())]
    Db {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: DbErr,
    },
}
