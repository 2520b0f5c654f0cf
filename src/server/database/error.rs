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
    /// The storage failed: the disk, its space, the memory, or the right to use a file. The next try can succeed. The
    /// text is the message of the database.
    #[error("the storage of the database failed: {0}")]
    Storage(String),
    /// The file is not open. The text is the reason, without a path and without a message of the driver.
    #[error("the database is away: {0}")]
    Closed(String),
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
    /// There is no file at the path, or an empty one, and the server ran on another file.
    #[error("{path} is missing or empty: put the file back; only a new start of the server makes an empty database",
        path = .0.display())]
    Missing(PathBuf),
    /// The file was moved or replaced while it was opened.
    #[error("{path} was moved or replaced while it was opened", path = .0.display())]
    Moved(PathBuf),
    /// The path given at the start leads to another file now.
    #[error("{path} leads to another file than at the start: start the server again to serve that file",
        path = .0.display())]
    LeadsElsewhere(PathBuf),
    /// The file has several names, and no lock tells whether another server has it open under another one.
    #[error("{path} has another name too, a hard link, and each name would get a write-ahead log of its own: serve the \
        name that was served before, or copy the file and serve the copy", path = .0.display())]
    Linked(PathBuf),
    /// The file has several names, and the log of another name has changes.
    #[error("{path} has another name too, a hard link, and {log} has changes of that name: if the file was served by that \
        name last, serve it by that name; if {log} belongs to a backup, move {log} to another folder and start again",
        path = path.display(), log = log.display())]
    LogOfOtherName {
        /// The file.
        path: PathBuf,
        /// The log of the other name.
        log: PathBuf,
    },
    /// Another file was served here before, and an unfinished write left its journal.
    #[error("{path} is not the file that was served here before, and {journal} has an unfinished write: if that was a write \
        to {path}, let SQLite undo it (sqlite3 {path} .tables); if it was a write to the file before, move {journal} to \
        another folder", path = path.display(), journal = journal.display())]
    JournalOfAnother {
        /// The file.
        path: PathBuf,
        /// The journal.
        journal: PathBuf,
    },
    /// The write-ahead log beside the file belongs to another file.
    #[error("{log} belongs to another database file than {path}, and SQLite would bring its changes into that file: move \
        {log} to another folder to serve {path} as it is, or put the file back that the log belongs to",
        path = path.display(), log = log.display())]
    LogOfAnother {
        /// The file.
        path: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// There is a write-ahead log, at its own name or moved aside by the server, or a journal, but no database file.
    #[error("{path} is missing or empty, but there is {log} with changes of it: put the file back, or move {log} to \
        another folder to begin an empty database", path = path.display(), log = log.display())]
    LogWithoutFile {
        /// The missing file.
        path: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// The write-ahead log of the file has another name.
    #[error("{path} lacks its newest changes, which are in {aside}: rename that file to {log} if no program has \
        written {path} since, or move it to another folder to go without these changes", path = path.display(), log = log.display(), aside = aside.display())]
    LogAside {
        /// The file.
        path: PathBuf,
        /// The name of its log.
        log: PathBuf,
        /// The log under its present name.
        aside: PathBuf,
    },
    /// The file is no database.
    #[error("{path} is no SQLite database: name another file", path = .0.display())]
    NoDatabase(PathBuf),
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
    /// The Postgres server could not be reached, or its database cannot be used.
    #[error("could not open {place}: {why}")]
    Server {
        /// The database, without a password.
        place: String,
        /// The message of Postgres or of the driver.
        why: String,
    },
    /// The file could not be opened, or its schema could not be migrated.
    #[error("could not open {path}: {why}", path = path.display())]
    Db {
        /// The file.
        path: PathBuf,
        /// The message of SQLite or of the driver.
        why: String,
    },
}

impl OpenError {
    /// The reason for the clients of the server: without a path and without a message of the driver.
    pub(super) fn for_clients(&self) -> String {
        match self {
            Self::InUse(_) => "another server has the file open".to_owned(),
            Self::Missing(_) => "the file is missing or empty".to_owned(),
            Self::Moved(_) => "the file was moved while it was opened".to_owned(),
            Self::LeadsElsewhere(_) => "the path leads to another file than at the start".to_owned(),
            Self::Linked(_) | Self::LogOfOtherName { .. } => "the file has two names".to_owned(),
            Self::JournalOfAnother { .. } => "a journal beside the file has an unfinished write".to_owned(),
            Self::LogOfAnother { .. } => "the write-ahead log beside the file belongs to another file".to_owned(),
            Self::LogWithoutFile { .. } => "the file is missing, and its write-ahead log is there".to_owned(),
            Self::LogAside { .. } => "the newest changes of the file are in another file".to_owned(),
            Self::NoDatabase(_) => "the file is no database".to_owned(),
            Self::Damaged { .. } => "the file is damaged".to_owned(),
            Self::Schema { why, .. } => format!("{why}; {}", why.way_out()),
            Self::Io { .. } | Self::Db { .. } => "the file cannot be opened".to_owned(),
            Self::Server { .. } => "the Postgres server cannot be used".to_owned(),
        }
    }
}
