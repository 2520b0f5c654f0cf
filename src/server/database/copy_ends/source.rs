//! The source of a copy: one snapshot of a database, which may be in use.

use requery_migrations::MigrateError;
use sea_orm::{AccessMode, ConnectOptions, DatabaseConnection, DatabaseTransaction, IsolationLevel, TransactionTrait};

use super::{CopiedPages, CopyEndError};
use crate::server::database::postgres::location::ServerLocation;
use crate::server::database::postgres::server::connect_direct;
use crate::server::database::sql::copied_tables::CopiedTable;
use crate::server::database::sql::copy as sql;
use crate::server::database::sqlite::error_codes::{as_open_error, as_schema_error};
use crate::server::database::sqlite::location::FileLocation;
use crate::server::database::sqlite::lock::BUSY_TIMEOUT;
use crate::server::database::sqlite::schema;
use crate::server::database::{Location, OpenError};

/// One snapshot of the database that is copied. Nothing is written to it.
pub struct CopySource {
    tx: DatabaseTransaction,
    connection: DatabaseConnection,
    place: String,
}

impl CopySource {
    /// Opens the database. Fails if it has not the newest schema, or if parts of the schema are missing.
    pub async fn open(location: &Location) -> Result<Self, CopyEndError> {
        let place = location.to_string();
        let connection = match location {
            Location::File(file) => open_file(&file.resolved(), &place).await?,
            Location::Server(server) => {
                connect_direct(server).await.map_err(|why| CopyEndError::unusable(&place, why))?
            }
        };
        let begun = match location {
            Location::File(file) => begin_in_file(&connection, &file.resolved(), &place).await,
            Location::Server(server) => begin_on_server(&connection, server, &place).await,
        };
        match begun {
            Ok(tx) => Ok(Self { tx, connection, place }),
            Err(error) => {
                let _ = connection.close().await;
                Err(error)
            }
        }
    }

    /// The database as a person reads it, without a password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// About how many rows are copied of a table.
    pub async fn count(&self, table: &CopiedTable) -> Result<u64, CopyEndError> {
        sql::count(&self.tx, table).await.map_err(|why| CopyEndError::unusable(&self.place, why))
    }

    /// The rows of a table.
    pub fn pages(&self, table: &'static CopiedTable) -> CopiedPages<'_> {
        CopiedPages::of(&self.tx, table)
    }

    /// The last place that was given to an event.
    pub async fn last_position(&self) -> Result<i64, CopyEndError> {
        sql::LAST_POSITION.number(&self.tx, []).await.map_err(|why| CopyEndError::unusable(&self.place, why))
    }

    /// Ends the snapshot.
    pub async fn close(self) {
        let _ = self.tx.rollback().await;
        let _ = self.connection.close().await;
    }
}

/// Opens the file without a change of its contents. The last reader of a file brings its log into it, as each program
/// that uses SQLite does.
async fn open_file(location: &FileLocation, place: &str) -> Result<DatabaseConnection, CopyEndError> {
    if !std::fs::metadata(location.path()).is_ok_and(|file| file.is_file() && file.len() > 0) {
        return Err(CopyEndError::Missing(place.to_owned()));
    }
    schema::admit(location).await.map_err(as_schema_error(location))?;
    let mut options = ConnectOptions::new(location.url());
    options.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|options| {
        options.create_if_missing(false).busy_timeout(BUSY_TIMEOUT).pragma("query_only", "on")
    });
    Ok(sea_orm::Database::connect(options).await.map_err(as_open_error(location))?)
}

async fn begin_in_file(
    connection: &DatabaseConnection,
    location: &FileLocation,
    place: &str,
) -> Result<DatabaseTransaction, CopyEndError> {
    let tx = connection.begin().await.map_err(as_open_error(location))?;
    let is_current = requery_migrations::is_current(&tx).await.map_err(as_schema_error(location))?;
    let differences = match is_current {
        true => requery_migrations::differences(&tx).await.map_err(as_open_error(location))?,
        false => Vec::new(),
    };
    check(place, is_current, differences)?;
    Ok(tx)
}

async fn begin_on_server(
    connection: &DatabaseConnection,
    location: &ServerLocation,
    place: &str,
) -> Result<DatabaseTransaction, CopyEndError> {
    let schema = location.schema();
    let refused = |why: MigrateError| {
        let why = format!("{why}; {}", why.way_out_of_schema());
        CopyEndError::Open(OpenError::Server { place: place.to_owned(), why })
    };
    let begin = async {
        let (isolation, access) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
        let tx = connection.begin_with_config(Some(isolation), Some(access)).await?;
        sql::UNHURRIED.execute_all(&tx).await?;
        let is_current = requery_migrations::postgres::is_current(&tx, schema).await?;
        let differences = match is_current {
            true => requery_migrations::postgres::differences(&tx, schema).await?,
            false => Vec::new(),
        };
        Ok::<_, MigrateError>((tx, is_current, differences))
    };
    let (tx, is_current, differences) = begin.await.map_err(refused)?;
    check(place, is_current, differences)?;
    Ok(tx)
}

fn check(place: &str, is_current: bool, differences: Vec<String>) -> Result<(), CopyEndError> {
    match (is_current, differences.as_slice()) {
        (false, _) => Err(CopyEndError::Old(place.to_owned())),
        (true, []) => Ok(()),
        (true, parts) => Err(CopyEndError::Changed { place: place.to_owned(), parts: parts.join(", ") }),
    }
}
