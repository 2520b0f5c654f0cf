//! The location of the database: a file of SQLite, or a Postgres server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::location_error::LocationError;
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
