//! The connections to the file: one writes, and a few read. Opening them migrates the schema and begins a run.
//!
//! No connection goes from one transaction to the next with a doubt about its state. SQLite rolls back by itself when
//! the disk is full or fails, or when memory is short. The `ROLLBACK` of the driver then fails, and the driver believes
//! that the transaction is still open: it would make each later transaction a savepoint in a transaction that never
//! ends, whose commits store no row. So a connection whose transaction did not end is closed when it is released, and
//! another is opened. The same holds for the connection that writes after each failure that is more than a broken rule
//! of the schema.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use requery_entities::run;
use requery_migrations::{MigrateError, Migrated};
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::{Connection, Sqlite};
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
/// Connections that read at the same time: one for each read, search and beginning stream that may run at once. They are
/// opened when they are first needed.
const READERS: u32 = (limits::READS + limits::SEARCHES + limits::STREAM_BEGINNINGS) as u32;

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
    pub(in crate::server::database) doubt: WriterDoubt,
}

/// Whether the connection that writes is in doubt. It is, from the beginning of a write to its good end: also a write
/// that is cancelled, or that panics, leaves the doubt behind.
#[derive(Clone, Default)]
pub(in crate::server::database) struct WriterDoubt(Arc<AtomicBool>);

impl WriterDoubt {
    /// The connection is closed when it is released.
    pub(in crate::server::database) fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// The connection can be used again.
    pub(in crate::server::database) fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Connections {
    /// Opens the file with one connection that writes and some that read, and begins a run.
    pub(in crate::server::database) async fn open(location: &Location, in_doubt: bool) -> Result<Self, OpenError> {
        let doubt = WriterDoubt::default();
        let writer = connect(location, 1, Some(doubt.clone())).await.map_err(as_open_error(location))?;
        let opened = Self::begin(location, &writer, doubt, in_doubt).await;
        if opened.is_err() {
            let _ = writer.close().await;
        }
        opened.map_err(as_schema_error(location))
    }

    async fn begin(
        location: &Location,
        writer: &DatabaseConnection,
        doubt: WriterDoubt,
        in_doubt: bool,
    ) -> Result<Self, MigrateError> {
        let migrated = requery_migrations::migrate(writer).await?;
        schema::log(&migrated);
        if in_doubt {
            run::Entity::delete_many().exec(writer).await?;
        }
        let epoch = begin_run(writer).await?;
        let readers = connect(location, READERS, None).await?;
        let minted = Arc::default();
        let (file, migrated) = (file_id(location.path()), Arc::new(migrated));
        Ok(Self { epoch, file, migrated, minted, writer: writer.clone(), readers, doubt })
    }

    /// The changes that `connection` sees, as a cursor. Fails if the file does not contain this run: then it is not the
    /// file that was opened.
    pub(in crate::server::database) async fn cursor(
        &self,
        connection: &impl ConnectionTrait,
    ) -> Result<Cursor, DatabaseError> {
        let seen: Option<Seen> = sql::runs::LAST_CHANGE_AND_RUN.one(connection, [self.epoch.as_ref().into()]).await?;
        let seen = seen.ok_or(DatabaseError::Busy)?;
        if !seen.is_ours {
            return Err(DatabaseError::Away(REPLACED.to_owned()));
        }
        Ok(Cursor::counter(self.epoch.clone(), seen.last.unwrap_or(0).unsigned_abs() + 1))
    }

    /// Notes a cursor that is handed out: its changes are committed. Returns whether it is higher than every cursor
    /// before.
    pub(in crate::server::database) fn note_minted(&self, cursor: &Cursor) -> bool {
        let next = cursor.snapshot().xmax();
        self.minted.fetch_max(next, Ordering::SeqCst) < next
    }

    /// Closes all connections.
    pub(in crate::server::database) async fn close(self) {
        let _ = self.readers.close().await;
        let _ = self.writer.close().await;
    }
}

/// The last change of a snapshot, and whether the run that opened the file is in it.
#[derive(FromQueryResult)]
struct Seen {
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

/// Opens connections that write, if there is a doubt to heed, or connections that read.
async fn connect(
    location: &Location,
    connections: u32,
    doubt: Option<WriterDoubt>,
) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(location.url());
    let read_only = doubt.is_none();
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_pool_opts(move |pool| close_in_doubt(pool, doubt.clone().unwrap_or_default()))
        .map_sqlx_sqlite_opts(move |options| {
            options
                .create_if_missing(!read_only)
                .busy_timeout(BUSY_TIMEOUT)
                // The triggers do the work of the foreign keys, and leave the events of a large task to later steps.
                .foreign_keys(false)
                .pragma("journal_mode", "wal")
                .pragma("synchronous", "normal")
                .pragma("query_only", if read_only { "on" } else { "off" })
        });
    sea_orm::Database::connect(options).await
}

/// Closes a released connection that is in doubt, or whose transaction did not end.
fn close_in_doubt(pool: PoolOptions<Sqlite>, doubt: WriterDoubt) -> PoolOptions<Sqlite> {
    pool.after_release(move |connection, _| {
        let doubt = doubt.clone();
        Box::pin(async move {
            // A transaction that was dropped has only queued its `ROLLBACK`.
            connection.ping().await?;
            Ok(!doubt.0.swap(false, Ordering::SeqCst) && !connection.is_in_transaction())
        })
    })
    .before_acquire(|connection, _| Box::pin(std::future::ready(Ok(!connection.is_in_transaction()))))
}
