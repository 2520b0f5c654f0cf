//! The location of a Postgres database, and the settings of the connections to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;

use crate::protocol::limits;
use crate::server::database::location_error::LocationError;

/// The schema of requery in the database of its users.
pub const SCHEMA: &str = "requery";
/// Connections that write at the same time, 8: more of them only wait for the disk of one Postgres server.
pub const WRITERS: u32 = 8;
/// How long a connection to the server may take, and an answer of a connection that keeps a state.
pub(in crate::server) const ANSWER_TIMEOUT: Duration = limits::WRITE_LOCK_WAIT;

/// A database of a Postgres server.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerLocation {
    url: String,
    direct_url: Option<String>,
    schema: String,
    /// Connections that read at the same time: one for each read, search and beginning stream that may run at once.
    pub readers: u32,
    /// Connections that write at the same time.
    pub writers: u32,
    /// How long a statement of a request may run, 10 s: as long as a request waits for a connection.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock of another writer, 5 s: as long as a write waits for the lock of SQLite.
    pub lock_timeout: Duration,
}

impl ServerLocation {
    /// The URL that goes around a proxy, for the connection that listens and for migrations.
    pub fn with_direct_url(mut self, url: Option<String>) -> Result<Self, LocationError> {
        if let Some(url) = &url {
            parse(url)?;
        }
        self.direct_url = url;
        Ok(self)
    }

    /// The location with another schema.
    pub fn with_schema(mut self, schema: &str) -> Result<Self, LocationError> {
        if !requery_migrations::postgres::is_schema_name(schema) {
            return Err(LocationError::Schema(schema.to_owned()));
        }
        schema.clone_into(&mut self.schema);
        Ok(self)
    }

    /// The schema of requery.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The URL for requests.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The URL for the connections that keep a state: they must not go through a proxy that pools transactions.
    pub(super) fn direct_url(&self) -> &str {
        self.direct_url.as_deref().unwrap_or(&self.url)
    }

    /// Whether the URL for requests leads through a proxy that gives each transaction another connection.
    pub(in crate::server::database) fn is_pooled(&self) -> bool {
        self.direct_url.is_some()
    }

    /// The channel of the bell.
    pub(super) fn channel(&self) -> String {
        format!("requery_{}", self.schema)
    }
}

impl FromStr for ServerLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        parse(text)?;
        Ok(Self {
            url: text.to_owned(),
            direct_url: None,
            schema: SCHEMA.to_owned(),
            readers: (limits::READS + limits::SEARCHES + limits::STREAM_BEGINNINGS) as u32,
            writers: WRITERS,
            statement_timeout: limits::CONNECTION_WAIT,
            lock_timeout: limits::WRITE_LOCK_WAIT,
        })
    }
}

/// The options of the driver for a URL.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions, LocationError> {
    url.parse::<PgConnectOptions>().map_err(|error| LocationError::Server(error.to_string()))
}

/// Without a password.
impl fmt::Display for ServerLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = parse(&self.url) else { return f.write_str("postgres") };
        let host = options.get_socket().map_or(options.get_host().to_owned(), |folder| folder.display().to_string());
        let database = options.get_database().unwrap_or(options.get_username());
        write!(f, "postgres {host}:{} database {database} schema {}", options.get_port(), self.schema)
    }
}

impl fmt::Debug for ServerLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{LocationError, ServerLocation};

    #[test]
    fn no_text_of_a_location_has_its_password() {
        let location: ServerLocation = "postgres://me:secret@db.example:6432/agents".parse().expect("a location");
        let text = "postgres db.example:6432 database agents schema requery";
        assert_eq!((location.to_string(), format!("{location:?}")), (text.to_owned(), text.to_owned()));
    }

    #[test]
    fn a_schema_has_a_plain_name() {
        let location: ServerLocation = "postgres://h/d".parse().expect("a location");
        assert_eq!(location.clone().with_schema("agents_2").expect("a name").schema(), "agents_2");
        for name in ["", "2a", "A", "a-b", "a\"b", "pg_a", &"a".repeat(41)] {
            assert_eq!(location.clone().with_schema(name), Err(LocationError::Schema(name.to_owned())), "{name}");
        }
    }
}
