//! The arguments that name the database.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use requery::server::database::Location;
use requery::server::database::postgres::location::{SCHEMA, WRITERS};

/// The database, and the settings of the connections to it.
#[derive(clap::Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// Database: a file, as `sqlite:/path/to/file` or as a path, or a Postgres database, as
    /// `postgres://user@host/database` [default: requery/requery.db in your data folder]
    #[arg(long, env = "REQUERY_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Postgres: the URL that goes around a proxy that pools transactions, for the connection that listens and for
    /// migrations [default: the database URL]
    #[arg(long, env = "REQUERY_DATABASE_DIRECT_URL", hide_env_values = true)]
    pub database_direct_url: Option<String>,
    /// Postgres: the schema in which requery keeps everything.
    #[arg(long, env = "REQUERY_DATABASE_SCHEMA", default_value = SCHEMA)]
    pub database_schema: String,
    /// Postgres: how many connections may write at the same time.
    #[arg(long, env = "REQUERY_DATABASE_WRITERS", default_value_t = WRITERS, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub database_writers: u32,
    /// Postgres: how many connections may read at the same time [default: 6, one for each read that runs at once]
    #[arg(long, env = "REQUERY_DATABASE_READERS", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub database_readers: Option<u32>,
    /// Postgres: how long a statement may run [default: 10s, as long as a request waits for a connection]
    #[arg(long, env = "REQUERY_DATABASE_STATEMENT_TIMEOUT", value_parser = timeout)]
    pub database_statement_timeout: Option<Duration>,
    /// Postgres: how long a statement waits for the lock of another writer [default: 5s]
    #[arg(long, env = "REQUERY_DATABASE_LOCK_TIMEOUT", value_parser = timeout)]
    pub database_lock_timeout: Option<Duration>,
}

impl DatabaseArgs {
    /// The location of the database. The default is a file in the user's data folder.
    pub fn location(&self) -> anyhow::Result<Location> {
        match self.database_url.as_deref() {
            Some(url) => self.set(parse("--database-url", url)?),
            None => default_location(),
        }
    }

    /// Sets what only a Postgres database has. On a file the settings have no effect.
    fn set(&self, location: Location) -> anyhow::Result<Location> {
        let Location::Server(server) = location else { return Ok(location) };
        let server = server.with_schema(&self.database_schema).context("--database-schema")?;
        let mut server = server.with_direct_url(self.database_direct_url.clone()).context("--database-direct-url")?;
        server.writers = self.database_writers;
        server.readers = self.database_readers.unwrap_or(server.readers);
        server.statement_timeout = self.database_statement_timeout.unwrap_or(server.statement_timeout);
        server.lock_timeout = self.database_lock_timeout.unwrap_or(server.lock_timeout);
        Ok(Location::Server(Box::new(server)))
    }
}

/// Parses a location. An error does not show the URL of a server, which can have a password.
pub fn parse(argument: &str, url: &str) -> anyhow::Result<Location> {
    let shown = match url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => argument.to_owned(),
        _ => format!("{argument} {url}"),
    };
    url.parse().context(shown)
}

fn default_location() -> anyhow::Result<Location> {
    use etcetera::BaseStrategy;

    let folders = etcetera::choose_base_strategy()
        .context("there is no home folder for the database; name a file with --database-url")?;
    let file: PathBuf = folders.data_dir().join("requery").join("requery.db");
    Ok(file.into())
}

/// Parses a timeout from 1 ms to an hour.
fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(timeout) if (1..=3_600_000).contains(&timeout.as_millis()) => Ok(timeout),
        Ok(_) => Err("expected a duration from 1ms to 1h".to_owned()),
        Err(error) => Err(format!("{error} (examples: 500ms, 10s)")),
    }
}
