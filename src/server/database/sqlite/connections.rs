//! The connections to the file: one writes, and a few read. Opening them migrates the schema and begins a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use requery_entities::run;
use requery_migrations::{MigrateError, Migrated};
use sea_orm::{ActiveValue, ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult};

use super::error_codes::{as_open_error, as_schema_error};
use super::location::Location;
use super::lock::{BUSY_TIMEOUT, FileId, file_id};
use super::schema;
use crate::protocol::{Cursor, limits};
use crate::server::database::error::{DatabaseError, OpenError};
use crate::server::database::sql;

/// How long a request waits for a connection. After that the database is overloaded, and the request gets 503.
const ACQUIRE_TIMEOUT: Duration = limits::CONNECTION_WAIT;
/// Connections that read at the same time. More connections would only compete for the same two or four cores.
const READERS: u32 = 4;

/// The error text while the file is not the one that was opened.
pub(in crate::server::database) const REPLACED: &str = "the file was replaced by another database";

/// The open connections of one run.
#[derive(Clone)]
pub(in crate::server::database) struct Connections {
    pub(in crate::server::database) epoch: Arc<str>,
    pub(in crate::server::database) file: Option<FileId>,
    pub(in crate::server::database) migrated: Arc<Migrated>,
    /// The highest cursor minted in this run. A file with fewer changes was restored from an older copy.
    pub(in crate::server::database) minted: Arc<AtomicU64>,
    pub(in crate::server::database) writer: DatabaseConnection,
    pub(in crate::server::database) readers: DatabaseConnection,
}

impl Connections {
    /// Opens the file with one connection that writes and some that read, and begins a run.
    pub(in crate::server::database) async fn open(location: &Location, in_doubt: bool) -> Result<Self, OpenError> {
        let writer = connect(location, 1, false).await.map_err(as_open_error(location))?;
        let opened = Self::begin(location, &writer, in_doubt).await;
        if opened.is_err() {
            let _ = writer.close().await;
        }
        opened.map_err(as_schema_error(location))
    }

    async fn begin(location: &Location, writer: &DatabaseConnection, in_doubt: bool) -> Result<Self, MigrateError> {
        let migrated = requery_migrations::migrate(writer).await?;
        schema::log(&migrated);
        if in_doubt {
            run::Entity::delete_many().exec(writer).await?;
        }
        let epoch = begin_run(writer).await?;
        let readers = connect(location, READERS, true).await?;
        let minted = Arc::default();
        let (file, migrated) = (file_id(location.path()), Arc::new(migrated));
        Ok(Self { epoch, file, migrated, minted, writer: writer.clone(), readers })
    }

    /// The cursor of a snapshot on `connection`, and whether it is higher than every cursor minted before. Fails if the
    /// file does not contain this run: then it is not the file that was opened.
    pub(in crate::server::database) async fn mint(
        &self,
        connection: &impl ConnectionTrait,
    ) -> Result<(Cursor, bool), DatabaseError> {
        let minted: Option<Minted> =
            sql::runs::LAST_CHANGE_AND_RUN.one(connection, [self.epoch.as_ref().into()]).await?;
        let minted = minted.ok_or(DatabaseError::Busy)?;
        if !minted.is_ours {
            return Err(DatabaseError::Away(REPLACED.to_owned()));
        }
        let next = minted.last.unwrap_or(0).unsigned_abs() + 1;
        let before = self.minted.fetch_max(next, Ordering::SeqCst);
        Ok((Cursor::counter(self.epoch.clone(), next), before < next))
    }

    /// Closes all connections.
    pub(in crate::server::database) async fn close(self) {
        let _ = self.readers.close().await;
        let _ = self.writer.close().await;
    }
}

/// The last change of a snapshot, and whether the run that opened the file is in it.
#[derive(FromQueryResult)]
struct Minted {
    last: Option<i64>,
    is_ours: bool,
}

async fn begin_run(writer: &DatabaseConnection) -> Result<Arc<str>, DbErr> {
    let token = uuid::Uuid::now_v7().simple().to_string();
    let last: Option<i64> = sql::runs::LAST_CHANGE.value(writer, []).await?;
    let row = run::ActiveModel {
        id: ActiveValue::NotSet,
        token: ActiveValue::Set(token.clone().into()),
        begins: ActiveValue::Set(last.unwrap_or(0) + 1),
        started_at: ActiveValue::NotSet,
    };
    run::Entity::insert(row).exec(writer).await?;
    Ok(token.into())
}

async fn connect(location: &Location, connections: u32, read_only: bool) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(location.url());
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            options
                .create_if_missing(!read_only)
                .busy_timeout(BUSY_TIMEOUT)
                .foreign_keys(true)
                .pragma("journal_mode", "wal")
                .pragma("synchronous", "normal")
                .pragma("query_only", if read_only { "on" } else { "off" })
        });
    sea_orm::Database::connect(options).await
}
