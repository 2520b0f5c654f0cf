//! The connections to the file: one writes, a few read, and one checks the file. Opening them migrates the schema and
//! begins a run.
//!
//! All connections are opened at the start of the run. A connection that is opened later would use the name of the file,
//! which can lead to another file by then.
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
use sea_orm::sqlx::{self, Connection, Row, Sqlite};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult, RuntimeErr,
    TransactionTrait,
};

use super::continuity::{begin_run, count_events, mark, renumber, vouches};
use super::error_codes::{as_open_error, as_schema_error};
use super::files::{Displacement, OpenFiles};
use super::location::Location;
use super::lock::{BUSY_TIMEOUT, HeldFile, NameLock};
use super::record::{Record, RunMark};
use super::schema;
use crate::protocol::{Cursor, limits};
use crate::server::database::error::{DatabaseError, OpenError};
use crate::server::database::sql;

/// How long a request waits for a connection. After that the database is overloaded, and the request gets 503.
const ACQUIRE_TIMEOUT: Duration = limits::CONNECTION_WAIT;
/// Connections that read at the same time: one for each read, search and beginning stream that may run at once. They are
/// opened when they are first needed.
const READERS: u32 = (limits::READS + limits::SEARCHES + limits::STREAM_BEGINNINGS) as u32;

/// The error text while the file does not contain the run that opened it.
const RESTORED: &str = "the file was restored from another copy";

/// The open connections of one run.
#[derive(Clone)]
pub(in crate::server::database) struct Connections {
    pub(in crate::server::database) epoch: Arc<str>,
    pub(in crate::server::database) files: OpenFiles,
    pub(in crate::server::database) migrated: Arc<Migrated>,
    /// The highest cursor minted in this run. A file with fewer changes was restored from an older copy.
    pub(in crate::server::database) minted: Arc<AtomicU64>,
    pub(in crate::server::database) writer: DatabaseConnection,
    pub(in crate::server::database) readers: DatabaseConnection,
    /// Checks the file and its schema. A check takes long, and no request may wait for it.
    pub(in crate::server::database) checker: DatabaseConnection,
    /// Ends a check that runs.
    pub(in crate::server::database) is_closing: Arc<AtomicBool>,
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
    /// Opens the file with its connections and begins a run. `in_doubt` forgets all earlier runs.
    pub(in crate::server::database) async fn open(
        location: &Location,
        in_doubt: bool,
        lock: &NameLock,
        held: &HeldFile,
    ) -> Result<Self, OpenError> {
        let doubt = WriterDoubt::default();
        let writer = connect(location, 1, Some(doubt.clone())).await.map_err(as_open_error(location))?;
        let opened = Self::begin(location, &writer, doubt, in_doubt, &lock.record()).await;
        let (connections, mark) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = writer.close().await;
                return Err(as_schema_error(location)(error));
            }
        };
        // The names led to the held file before the connections were opened and lead to it now. A move away and back in
        // between is not seen.
        let admitted = match connections.files.displacement() {
            None if connections.files.file() == held.id => lock.update(|record| {
                let (file, wal) = (Some(held.id), connections.files.wal());
                *record = Record { file, wal, run: Some(mark), ..Record::default() };
            }),
            _ => Err(OpenError::Moved(location.path().to_owned())),
        };
        match admitted {
            Ok(()) => Ok(connections),
            Err(error) => {
                connections.close(None, held).await;
                Err(error)
            }
        }
    }

    async fn begin(
        location: &Location,
        writer: &DatabaseConnection,
        doubt: WriterDoubt,
        in_doubt: bool,
        record: &Record,
    ) -> Result<(Self, RunMark), MigrateError> {
        let migrated = requery_migrations::migrate(writer).await?;
        schema::log(&migrated);
        let is_vouched_for = vouches(record, location, writer).await?;
        let is_renumbered = renumber(writer).await?;
        count_events(writer, in_doubt).await?;
        if in_doubt || !is_vouched_for || is_renumbered {
            run::Entity::delete_many().exec(writer).await?;
        }
        let epoch = begin_run(writer).await?;
        let mark = mark(writer, &epoch).await?;
        // The file alone is a database with all tables from now on: its log can get lost.
        checkpoint(writer, "passive").await?;
        let readers = connect(location, READERS, None).await?;
        let mut opened = Vec::new();
        for _ in 0..READERS {
            opened.push(readers.begin().await?);
        }
        drop(opened);
        let checker = connect(location, 1, None).await?;
        let files = OpenFiles::at(location.path())
            .ok_or_else(|| DbErr::Custom("the file was moved while it was opened".to_owned()))?;
        let (minted, is_closing) = (Arc::default(), Arc::default());
        let (writer, migrated) = (writer.clone(), Arc::new(migrated));
        Ok((Self { epoch, files, migrated, minted, writer, readers, checker, is_closing, doubt }, mark))
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
            return Err(DatabaseError::Away(RESTORED.to_owned()));
        }
        Ok(Cursor::counter(self.epoch.clone(), seen.last.unwrap_or(0).unsigned_abs().saturating_add(1)))
    }

    /// Notes a cursor that is handed out: its changes are committed. Returns whether it is higher than every cursor
    /// before.
    pub(in crate::server::database) fn note_minted(&self, cursor: &Cursor) -> bool {
        let next = cursor.snapshot().xmax();
        self.minted.fetch_max(next, Ordering::SeqCst) < next
    }

    /// Closes all connections. Returns whether the file then has all changes of its log.
    ///
    /// The last connection of SQLite that is closed brings the log into the file and deletes the log, but not if the
    /// file was moved. Then this function brings the log into the moved file, if no other program has that file open:
    /// such a program can have begun another log under the new name of the file.
    pub(in crate::server::database) async fn close(self, displaced: Option<Displacement>, held: &HeldFile) -> bool {
        self.is_closing.store(true, Ordering::SeqCst);
        let _ = self.readers.close().await;
        let _ = self.checker.close().await;
        let is_whole = match displaced {
            None => false,
            Some(Displacement::LogLost) => checkpoint(&self.writer, "full").await.unwrap_or(false),
            Some(Displacement::Missing | Displacement::Replaced) => {
                let has_a_name =
                    held.file.metadata().is_ok_and(|file| std::os::unix::fs::MetadataExt::nlink(&file) > 0);
                // The lock holds until SQLite gives up its own locks below. It fails if another program has any lock.
                let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
                has_a_name
                    && rustix::fs::fcntl_lock(&held.file, exclusive).is_ok()
                    && checkpoint(&self.writer, "passive").await.unwrap_or(false)
            }
        };
        let _ = self.writer.close().await;
        if displaced.is_some() {
            let _ = rustix::fs::fcntl_lock(&held.file, rustix::fs::FlockOperation::Unlock);
        }
        is_whole
    }

    /// The mark of this run after its last change.
    pub(super) async fn last_mark(&self) -> Option<RunMark> {
        mark(&self.writer, &self.epoch).await.ok().map(|mark| RunMark { ended: true, ..mark })
    }
}

/// The last change of a snapshot, and whether the run that opened the file is in it.
#[derive(FromQueryResult)]
struct Seen {
    last: Option<i64>,
    is_ours: bool,
}

/// Brings the log into the file. Returns whether the whole log is in the file.
async fn checkpoint(writer: &DatabaseConnection, mode: &str) -> Result<bool, DbErr> {
    let sql = sqlx::AssertSqlSafe(format!("pragma wal_checkpoint({mode})"));
    let pool = writer.get_sqlite_connection_pool();
    let row = sqlx::query(sql).fetch_one(pool).await.map_err(query_error)?;
    let [busy, log, done] = [0, 1, 2].map(|column| row.try_get::<i64, _>(column).ok());
    Ok(busy == Some(0) && log == done)
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
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
                .create_if_missing(false)
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
