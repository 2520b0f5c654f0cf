//! The database file: the only access to it for reads and writes, and the check that it still is the file that was
//! opened.
//!
//! There are one writer and a few readers, and each read uses one snapshot. Writes go through [`Database::write`],
//! reads through [`Database::read`]. Every read transaction first reads its cursor, in the same snapshot as the rows,
//! so that an answer never claims to contain more changes than it does. A cursor is only minted while the file contains
//! the run that opened it. A file that was replaced or restored under the server does not: requests then get errors,
//! until the file is opened again as a new run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use requery_entities::run;
use requery_migrations::{MigrateError, Migrated};
use sea_orm::{ActiveValue, ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult};
use tokio::sync::Notify;

use crate::protocol::Cursor;

mod position;
pub use position::Position;

pub mod sqlite;
use sqlite::health::{self, Health, code, damage, damage_of_index};
pub use sqlite::location::{Location, LocationError};
use sqlite::schema;

mod search_index_health;
use search_index_health::SearchIndexHealth;

pub mod sql;

mod transaction;
pub use transaction::{ReadTransaction, WriteTransaction};

mod read;
pub use read::{Answer, ReadKey};

mod write;
pub use write::Committed;

/// How long a statement waits for another process that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection. After that the database is overloaded, and the request gets 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read at the same time. More connections would only compete for the same two or four cores.
const READERS: u32 = 4;

/// How long to wait for the lock file. A server that is ending, or a child process that it has forked and that has not
/// executed its program yet, can still hold the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two tries to take the lock.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The error text while the file is not the one that was opened.
const REPLACED: &str = "the file was replaced by another database";

/// A handle on the database. Clones are handles on the same database.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    location: Location,
    state: ArcSwap<State>,
    bell: Notify,
    search_index: SearchIndexHealth,
    /// The lock file, locked while the server runs. Two servers on one database would each fold and prune the log
    /// without knowing of the other.
    _lock: File,
}

enum State {
    Open(Connections),
    Away(String),
}

#[derive(Clone)]
struct Connections {
    epoch: Arc<str>,
    file: Option<FileId>,
    migrated: Arc<Migrated>,
    /// The highest cursor minted in this run. A file with fewer changes was restored from an older copy.
    minted: Arc<AtomicU64>,
    writer: DatabaseConnection,
    readers: DatabaseConnection,
}

/// Why a read or a write failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The database cannot be used now. The text is the reason.
    #[error("the database is away: {0}")]
    Away(String),
    /// Another process holds the write lock, or too many requests wait.
    #[error("the database is busy")]
    Busy,
    /// The search index is corrupt. It can be rebuilt from the rows. This error does not tell whether the rows are
    /// sound.
    #[error("the search index is damaged: {0}")]
    Index(String),
    /// A page of the file is corrupt. SQLite does not say to which table the page belongs.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A statement failed.
    #[error(transparent)]
    Db(DbErr),
}

/// Why the database could not be opened. Each text contains its cause, so no variant has a source: the log would print
/// the cause twice.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the lock file cannot be created or locked.
    #[error("could not use {path}: {why}", path = path.display())]
    Io {
        /// The folder or the lock file.
        path: PathBuf,
        /// The cause.
        why: std::io::Error,
    },
    /// Another server has the file open.
    #[error("another requery serves {path}", path = .0.display())]
    InUse(PathBuf),
    /// The file is corrupt.
    #[error("{path} is damaged: {detail}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The message of SQLite.
        detail: String,
    },
    /// The schema is not one of ours, or another program has changed it.
    #[error("{path} cannot be used: {why}; {way_out}", path = path.display(), way_out = why.way_out())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: MigrateError,
    },
    /// The file could not be opened, or its schema could not be migrated.
    #[error("could not open {path}: {why}", path = path.display())]
    Db {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: DbErr,
    },
}

/// The identity of a file: its device and its inode.
type FileId = (u64, u64);

impl Database {
    /// Opens the file, creates it if it is missing, migrates its schema and begins a run.
    pub async fn open(location: Location) -> Result<Self, OpenError> {
        schema::admit(&location).await.map_err(as_schema_error(&location))?;
        let lock = lock(location.path()).await?;
        let connections = Connections::open(&location, false).await?;
        let state = ArcSwap::from_pointee(State::Open(connections));
        Ok(Self(Arc::new(Inner {
            location,
            state,
            bell: Notify::new(),
            search_index: SearchIndexHealth::default(),
            _lock: lock,
        })))
    }

    /// Closes the connections and opens the file again, as a new run. The cursors of earlier runs may belong to another
    /// history, so no client can resume from them.
    pub async fn reopen(&self) -> Result<(), OpenError> {
        self.close("it is being opened again").await;
        match self.open_in_doubt().await {
            Ok((connections, health)) => {
                self.0.search_index.begin_generation();
                if let Health::Index(_) = health {
                    self.0.search_index.report_damage(self.0.search_index.generation());
                }
                self.0.state.store(Arc::new(State::Open(connections)));
                Ok(())
            }
            Err(error) => {
                self.0.state.store(Arc::new(State::Away(error.to_string())));
                Err(error)
            }
        }
    }

    /// Opens a file that may have been replaced. Such a file is checked completely first, even if it is large.
    async fn open_in_doubt(&self) -> Result<(Connections, Health), OpenError> {
        schema::admit(&self.0.location).await.map_err(as_schema_error(&self.0.location))?;
        let health = if self.path().exists() { self.health().await } else { Ok(Health::Sound) };
        match health.map_err(as_open_error(&self.0.location))? {
            Health::File(detail) => Err(OpenError::Damaged { path: self.path().to_owned(), detail }),
            health => Ok((Connections::open(&self.0.location, true).await?, health)),
        }
    }

    /// Checks the whole file.
    pub(super) async fn health(&self) -> Result<Health, DbErr> {
        health::of_file(self.path()).await
    }

    /// The known health of the search index.
    pub(super) fn search_index(&self) -> &SearchIndexHealth {
        &self.0.search_index
    }

    /// Closes the connections. Until the file is opened again, every request fails with this reason.
    pub async fn close(&self, reason: &str) {
        if let State::Open(open) = &*self.0.state.swap(Arc::new(State::Away(reason.to_owned()))) {
            open.clone().close().await;
        }
    }

    /// Wakes the tail of the log.
    pub fn ring(&self) {
        self.0.bell.notify_one();
    }

    /// Waits until the bell has rung since the last call.
    pub async fn rung(&self) {
        self.0.bell.notified().await;
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.0.location.path()
    }

    /// The token of the current run, which is the epoch of its cursors. None while the database is away.
    pub fn epoch(&self) -> Option<Arc<str>> {
        self.connections().ok().map(|open| open.epoch)
    }

    /// The position of the highest cursor that was minted in this run.
    pub(super) fn minted(&self) -> Position {
        let next = self.connections().map_or(0, |open| open.minted.load(Ordering::SeqCst));
        Position::from_column(next.cast_signed())
    }

    /// The changes to the schema that were made when the file was opened.
    pub fn migrated(&self) -> Arc<Migrated> {
        self.connections().map_or_else(|_| Arc::default(), |open| open.migrated)
    }

    /// Whether the path still names the file that is open.
    pub fn is_in_place(&self) -> bool {
        self.connections().is_ok_and(|open| open.file == file_id(self.path()))
    }

    fn connections(&self) -> Result<Connections, DatabaseError> {
        match &**self.0.state.load() {
            State::Open(open) => Ok(open.clone()),
            State::Away(reason) => Err(DatabaseError::Away(reason.clone())),
        }
    }
}

impl Connections {
    async fn open(location: &Location, in_doubt: bool) -> Result<Self, OpenError> {
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
    async fn mint(&self, connection: &impl ConnectionTrait) -> Result<(Cursor, bool), DatabaseError> {
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

    async fn close(self) {
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
        token: ActiveValue::Set(token.clone()),
        begins: ActiveValue::Set(last.unwrap_or(0) + 1),
        started_at: ActiveValue::NotSet,
    };
    run::Entity::insert(row).exec(writer).await?;
    Ok(token.into())
}

fn as_open_error(location: &Location) -> impl Fn(DbErr) -> OpenError {
    let path = location.path().to_owned();
    move |why| match damage(&why) {
        Some(detail) => OpenError::Damaged { path: path.clone(), detail },
        None => OpenError::Db { path: path.clone(), why },
    }
}

fn as_schema_error(location: &Location) -> impl Fn(MigrateError) -> OpenError {
    let location = location.clone();
    move |why| match why {
        MigrateError::Db(why) => as_open_error(&location)(why),
        why => OpenError::Schema { path: location.path().to_owned(), why },
    }
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

fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

async fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        |why| OpenError::Io { path, why }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io(folder))?;
    }
    // The lock is a file beside the database. Locking the database itself would be wrong: when a process closes a file,
    // all its locks on that file are dropped, SQLite's too.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let file = File::options().create(true).truncate(false).write(true).open(&beside).map_err(io(&beside))?;
    let until = tokio::time::Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(std::fs::TryLockError::Error(source)) => return Err(io(&beside)(source)),
        }
    }
}

impl From<DbErr> for DatabaseError {
    fn from(error: DbErr) -> Self {
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        const READ_ONLY: i32 = 8;
        const IO_ERROR: i32 = 10;
        const FULL: i32 = 13;
        const CANNOT_OPEN: i32 = 14;
        if let Some(detail) = damage_of_index(&error) {
            return DatabaseError::Index(detail);
        }
        if let Some(detail) = damage(&error) {
            return if health::is_within(&error) {
                DatabaseError::Damaged(detail)
            } else {
                DatabaseError::Away(detail)
            };
        }
        match (&error, code(&error)) {
            (DbErr::ConnectionAcquire(_), _) | (_, Some(BUSY | LOCKED)) => DatabaseError::Busy,
            (_, Some(READ_ONLY | IO_ERROR | FULL | CANNOT_OPEN)) => DatabaseError::Away(error.to_string()),
            _ => DatabaseError::Db(error),
        }
    }
}
