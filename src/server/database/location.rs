//! The location of the database: a file of SQLite, or a Postgres server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::postgres::location::ServerLocation;
use super::sqlite::location::FileLocation;

/// The location of a database: `sqlite:/path/to/file`, just the path, or `postgres://user@host/database`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file of SQLite.
    File(FileLocation),
    /// A database of a Postgres server.
    Server(Box<ServerLocation>),
}

/// Why a text is not the location of a database.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The URL names another kind of database.
    #[error("only SQLite files (sqlite:/path/to/file) and Postgres (postgres://host/database) are served, not `{0}:`")]
    Scheme(String),
    /// A database in memory. It would end with the server, and other processes could not write to it.
    #[error("a database in memory cannot be served: name a file")]
    Memory,
    /// The URL names no file.
    #[error("the database URL names no file")]
    Empty,
    /// The URL has a parameter, which would have no effect.
    #[error("the database URL takes no parameters, and `{0}` would have no effect: leave it out")]
    Parameter(String),
    /// The URL is percent-encoded.
    #[error("the database URL is not decoded, and `%` is a part of the name of a file: write the path alone")]
    Encoded,
    /// The path begins in a home folder, which only a shell knows.
    #[error("`~` stands for no folder here: write the path in full")]
    Home,
    /// The URL of a Postgres server has a part that the driver does not understand.
    #[error("not the URL of a Postgres database: {0} (as in postgres://user@host:5432/database)")]
    Server(String),
    /// The name of the schema.
    #[error("`{0}` is no name of a schema: 1 to 40 lower-case letters, digits and `_`, with a letter or `_` first")]
    Schema(String),
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path.into())
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        match text.split_once(':') {
            Some(("postgres" | "postgresql", _)) => Ok(Self::Server(Box::new(text.parse()?))),
            _ => Ok(Self::File(text.parse()?)),
        }
    }
}

/// As a person reads it: without a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.path().display()),
            Self::Server(server) => server.fmt(f),
        }
    }
}
