//! Where the database is.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A database file: `sqlite:/path/to/file` or just the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(PathBuf);

/// Why a text does not say where a database is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Another kind of database.
    #[error("only SQLite files are served (sqlite:/path/to/file), not `{0}:`")]
    Scheme(String),
    /// Nothing that outlives the server, or that other processes could write.
    #[error("a database in memory cannot be served: name a file")]
    Memory,
    /// No file named.
    #[error("the database URL names no file")]
    Empty,
}

impl Location {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the driver is told. The characters that mean something in a URL are written as such.
    pub(in crate::server::database) fn url(&self) -> String {
        let mut url = "sqlite://".to_owned();
        for byte in self.0.as_os_str().as_encoded_bytes() {
            match byte {
                b'%' | b'?' | b'#' => url.push_str(&format!("%{byte:02X}")),
                0x21..0x7f => url.push(char::from(*byte)),
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let path = match text.split_once(':') {
            Some(("sqlite", rest)) => {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                rest.split_once('?').map_or(rest, |(path, _)| path)
            }
            Some((scheme, _)) if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                return Err(LocationError::Scheme(scheme.to_owned()));
            }
            _ => text,
        };
        match path {
            "" => Err(LocationError::Empty),
            ":memory:" => Err(LocationError::Memory),
            path => Ok(Self(path.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Location, LocationError};

    #[test]
    fn a_url_or_a_path() {
        for (text, path) in [
            ("sqlite:///var/lib/r.db", "/var/lib/r.db"),
            ("sqlite:r.db", "r.db"),
            ("sqlite://r.db?mode=rwc", "r.db"),
            ("/tmp/a b.db", "/tmp/a b.db"),
            ("./x:y.db", "./x:y.db"),
        ] {
            assert_eq!(text.parse::<Location>().map(|it| it.0), Ok(path.into()), "{text}");
        }
    }

    #[test]
    fn nothing_else() {
        assert_eq!("postgres://h/d".parse::<Location>(), Err(LocationError::Scheme("postgres".to_owned())));
        assert_eq!("sqlite::memory:".parse::<Location>(), Err(LocationError::Memory));
        assert_eq!("sqlite:".parse::<Location>(), Err(LocationError::Empty));
    }

    #[test]
    fn the_driver_gets_every_path_as_it_is() {
        assert_eq!(Location("/tmp/50% a?.db".into()).url(), "sqlite:///tmp/50%25%20a%3F.db");
    }
}
