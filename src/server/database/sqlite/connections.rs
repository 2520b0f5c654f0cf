//! The connections to the file: one writes, a few read, and two check the file. Opening them migrates the schema and
//! begins a run.
//!
//! All connections are opened at the start of the run. A connection that is opened later would use the name of the
//! file, which can lead to another file by then.
//!
//! No connection goes from one transaction to the next with a doubt about its state. SQLite rolls back by itself when
//! the disk is full or fails, or when memory is short. The `ROLLBACK` of the driver then fails, and the driver believes
//! that the transaction is still open: it would make each later transaction a savepoint in a transaction that never
//! ends, whose commits store no row. So a connection whose transaction did not end is closed when it is released, and
//! another is opened. The same holds for the connection that writes after each failure that is more than a broken rule
//! of the schema.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use requery_entities::run;
use requery_migrations::{MigrateError, Migrated};
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::{Connection, Sqlite};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult, TransactionTrait,
};

use super::checkpoint::checkpoint;
use super::continuity::{begin_run, count_events, mark, renumber, vouches};
use super::error_codes::{as_open_error, as_schema_error};
use super::files::{Displacement, OpenFiles};
use super::location::FileLocation;
use super::lock::{BUSY_TIMEOUT, HeldFile, NameLock};
use super::record::{Record, RunMark};
use super::schema;
use crate::protocol::{Cursor, limits};
use crate::server::database::error::{DatabaseError, OpenError};
use crate::server::database::{Position, sql};

/// How long a request waits for a connection. After that the database is overloaded, and the request gets 503.
const ACQUIRE_TIMEOUT: Duration = limits::CONNECTION_WAIT;
/// FileConnections that read at the same time: one for each read, search and beginning stream that may run at once. They
/// are opened when they are first needed.
const READERS: u32 = (limits::READS + limits::SEARCHES + limits::STREAM_BEGINNINGS) as u32;

/// FileConnections that check: one for the whole file, which takes long, and one for the schema, for which the tail of the
/// log waits.
const CHECKERS: u32 = 2;

/// The error text while the file does not contain the run that opened it.
const RESTORED: &str = "the file was restored from another copy";

/// The open connections of one run.
#[derive(Clone)]
pub(in crate::server::database) struct FileConnections {
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

/// Whether the connection that writes is in doubt. It is, from the moment at which a write gets it to the good end of
/// the write: also a write that is cancelled, or that panics, leaves the doubt behind.
#[derive(Clone, Default)]
pub(in crate::server::database) struct WriterDoubt(Arc<Doubt>);

#[derive(Default)]
struct Doubt {
    is_raised: AtomicBool,
    /// The writes that wait for the connection or begin their transaction.
    beginning: AtomicU32,
}

/// A write that waits for the connection or begins its transaction.
pub(in crate::server::database) struct BeginningWrite<'a>(&'a WriterDoubt);

impl WriterDoubt {
    /// Raises the doubt when the write gets the connection, and not before: until then another write uses it. A write
    /// whose beginning fails has given the connection back before it knows of its failure.
    pub(in crate::server::database) fn begin(&self) -> BeginningWrite<'_> {
        self.0.beginning.fetch_add(1, Ordering::SeqCst);
        BeginningWrite(self)
    }

    /// The connection is closed when it is released.
    pub(in crate::server::database) fn raise(&self) {
        self.0.is_raised.store(true, Ordering::SeqCst);
    }

    /// The connection can be used again.
    pub(in crate::server::database) fn clear(&self) {
        self.0.is_raised.store(false, Ordering::SeqCst);
    }

    #[cfg(test)]
    fn is_raised(&self) -> bool {
        self.0.is_raised.load(Ordering::SeqCst)
    }

    fn note_handed_out(&self) {
        if self.0.beginning.load(Ordering::SeqCst) > 0 {
            self.raise();
        }
    }

    fn take(&self) -> bool {
        self.0.is_raised.swap(false, Ordering::SeqCst)
    }
}

impl Drop for BeginningWrite<'_> {
    fn drop(&mut self) {
        self.0.0.beginning.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FileConnections {
    /// Opens the file with its connections and begins a run. `in_doubt` forgets all earlier runs.
    pub(in crate::server::database) async fn open(
        location: &FileLocation,
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
        location: &FileLocation,
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
        let readers = open_all(location, READERS).await?;
        let checker = open_all(location, CHECKERS).await?;
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
        Ok(Cursor::counter(&*self.epoch, seen.last.unwrap_or(0).unsigned_abs().saturating_add(1)))
    }

    /// The position of the highest cursor that was minted in this run.
    pub(in crate::server::database) fn minted(&self) -> Position {
        Position::from_column(self.minted.load(Ordering::SeqCst).cast_signed())
    }

    /// The cursor that contains every change that this run has shown.
    pub(in crate::server::database) fn shown(&self) -> Cursor {
        self.minted().cursor(&self.epoch)
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
                // The lock holds until SQLite gives up its own locks below.
                has_a_name && held.is_alone().await && checkpoint(&self.writer, "passive").await.unwrap_or(false)
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

/// Opens so many connections that read.
async fn open_all(location: &FileLocation, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let readers = connect(location, connections, None).await?;
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(readers.begin().await?);
    }
    drop(opened);
    Ok(readers)
}

/// Opens connections that write, if there is a doubt to heed, or connections that read.
async fn connect(
    location: &FileLocation,
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
    let (new, kept) = (doubt.clone(), doubt.clone());
    pool.after_release(move |connection, _| {
        let doubt = doubt.clone();
        Box::pin(async move {
            // A transaction that was dropped has only queued its `ROLLBACK`.
            connection.ping().await?;
            Ok(!doubt.take() && !connection.is_in_transaction())
        })
    })
    .after_connect(move |_, _| {
        new.note_handed_out();
        Box::pin(std::future::ready(Ok(())))
    })
    .before_acquire(move |connection, _| {
        let is_sound = !connection.is_in_transaction();
        if is_sound {
            kept.note_handed_out();
        }
        Box::pin(std::future::ready(Ok(is_sound)))
    })
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx;

    use crate::server::access::scope::Scope;
    use crate::server::database::{Database, DatabaseError};

    /// SQLite refuses to begin in a transaction that is open, which the driver does not know of here.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_on_which_a_write_could_not_begin_is_gone_before_the_next_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(folder.path().join("requery.db").into()).await.expect("a database");
        let write = async || database.write(Scope::All, async |_| Ok::<_, DatabaseError>(())).await.map(drop);
        for round in 0..200 {
            let connections = database.file().expect("connections");
            let mut writer = connections.writer.get_sqlite_connection_pool().acquire().await.expect("the writer");
            sqlx::raw_sql("begin").execute(&mut *writer).await.expect("a transaction");
            drop(writer);
            assert!(matches!(write().await, Err(DatabaseError::Away(_))), "{round}");
            write().await.unwrap_or_else(|error| panic!("{round}: {error}"));
        }
        database.close("the test ended").await;
    }

    #[tokio::test]
    async fn the_doubt_begins_when_a_write_gets_the_connection_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(folder.path().join("requery.db").into()).await.expect("a database");
        let connections = database.file().expect("connections");
        let beginning = connections.doubt.begin();
        assert!(!connections.doubt.is_raised(), "another write can have the connection");
        let writer = connections.writer.get_sqlite_connection_pool().acquire().await.expect("the writer");
        assert!(connections.doubt.is_raised());
        drop((writer, beginning));
    }
}
