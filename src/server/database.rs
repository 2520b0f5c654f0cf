//! The database file: the only access to it for reads and writes, and the check that it still is the file that was
//! opened.
//!
//! There are one writer and a few readers, and each read uses one snapshot. Writes go through [`Database::write`],
//! reads through [`Database::read`]. Every read transaction first reads its cursor, in the same snapshot as the rows,
//! so that an answer never claims to contain more changes than it does. A cursor is only minted while the file contains
//! the run that opened it. A file that was replaced or restored under the server does not: requests then get errors,
//! until the file is opened again as a new run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use requery_entities::change;
use requery_migrations::Migrated;
use sea_orm::DbBackend;
use tokio::sync::Notify;

use crate::protocol::{Cursor, limits};
use crate::server::metrics::Metrics;

mod error;
pub use error::{DatabaseError, OpenError};

mod position;
pub use position::Position;

pub mod sqlite;
use sqlite::connections::Connections;
use sqlite::error_codes::{as_open_error, as_schema_error};
use sqlite::health::{self, Health};
pub use sqlite::location::{Location, LocationError};
use sqlite::lock::{NameLock, create_folder};
use sqlite::presence::{self, Presence};
use sqlite::record::Record;
use sqlite::schema;

mod search_index_health;
use search_index_health::SearchIndexHealth;

pub mod sql;

pub mod in_scope;

mod transaction;
pub use transaction::{ReadTransaction, WriteTransaction};

mod turns;
pub use turns::Turns;

mod read_key;
pub use read_key::{ListedRows, ReadKey, most_changed_rows};

mod encoded;

mod read_cache;
pub use read_cache::READ_CACHE;
use read_cache::ReadCache;

mod answer;
pub use answer::Answer;

mod read;

mod write;
pub use write::Committed;

mod write_health;
use write_health::WriteHealth;
mod background;
use background::Background;
pub use background::{BackgroundStep, BackgroundWork, StepSize};

/// A handle on the database. Clones are handles on the same database.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    location: Location,
    /// The path that the server was given, which can be a symbolic link.
    given: PathBuf,
    state: ArcSwap<State>,
    bell: Notify,
    doubt: Mutex<Option<String>>,
    background: Background,
    search_index: SearchIndexHealth,
    write_health: WriteHealth,
    read_turns: Turns,
    metrics: Arc<Metrics>,
    read_cache: Arc<ReadCache>,
    short_answer: AtomicUsize,
    presence: tokio::sync::Mutex<Presence>,
    /// Locked while the server runs. Two servers on one database would each fold and prune the log without knowing of
    /// the other.
    lock: NameLock,
}

enum State {
    Open(Box<Connections>),
    Away(String),
}

impl Database {
    /// Opens the file, creates it if it is missing, migrates its schema and begins a run.
    pub async fn open(location: Location) -> Result<Self, OpenError> {
        let given = location.path().to_owned();
        // A path has a canonical name only if its folder is there.
        create_folder(&given)?;
        let location = location.resolved();
        // The record is read before the lock is taken, so that no lock file is created beside a file that is refused.
        // Another server can change the record until the lock is taken.
        Record::beside(location.path()).admit(location.path())?;
        schema::admit(&location).await.map_err(as_schema_error(&location))?;
        let lock = NameLock::take(location.path()).await?;
        lock.record().admit(location.path())?;
        if lock.record().has_lost(location.path()) {
            tracing::warn!(
                path = %location.path().display(),
                "the database file that was served here is gone, and no log of it is left: an empty database begins"
            );
        }
        let mut presence = Presence::default();
        let held = presence.hold(location.path(), true, &lock).await?;
        let connections = Connections::open(&location, false, &lock, held).await?;
        let metrics: Arc<Metrics> = Arc::default();
        Ok(Self(Arc::new(Inner {
            location,
            given,
            state: ArcSwap::from_pointee(State::Open(Box::new(connections))),
            bell: Notify::new(),
            doubt: Mutex::default(),
            background: Background::default(),
            search_index: SearchIndexHealth::default(),
            write_health: WriteHealth::default(),
            read_turns: Turns::new(limits::READS),
            read_cache: Arc::new(ReadCache::new(metrics.clone())),
            short_answer: AtomicUsize::default(),
            metrics,
            presence: tokio::sync::Mutex::new(presence),
            lock,
        })))
    }

    /// Closes the connections and opens the file again, as a new run. The cursors of earlier runs may belong to another
    /// history, so no client can resume from them.
    pub async fn reopen(&self) -> Result<(), OpenError> {
        self.leave("it is being opened again", false).await;
        *self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match self.open_in_doubt().await {
            Ok((connections, health)) => {
                self.0.search_index.begin_generation();
                if let Health::Index(_) = health {
                    self.0.search_index.report_damage(self.0.search_index.generation());
                }
                self.0.state.store(Arc::new(State::Open(Box::new(connections))));
                Ok(())
            }
            Err(error) => {
                self.0.state.store(Arc::new(State::Away(error.for_clients())));
                Err(error)
            }
        }
    }

    /// Opens a file that may have been replaced. Such a file is checked completely first, even if it is large. A
    /// missing file is not created: the file that was served can come back.
    async fn open_in_doubt(&self) -> Result<(Connections, Health), OpenError> {
        let (location, path) = (&self.0.location, self.path());
        if !location.is_the_place_of(&self.0.given) {
            return Err(OpenError::LeadsElsewhere(self.0.given.clone()));
        }
        let mut presence = self.0.presence.lock().await;
        presence.bring_log_back(&self.0.lock)?;
        if !std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
            return Err(OpenError::Missing(path.to_owned()));
        }
        presence.wait_for_log(path).await;
        self.0.lock.record().admit(path)?;
        let held = presence.hold(path, false, &self.0.lock).await?;
        schema::admit(location).await.map_err(as_schema_error(location))?;
        match health::of_file(path).await.map_err(as_open_error(location))? {
            Health::File(detail) => Err(OpenError::Damaged { path: path.to_owned(), detail }),
            health => Ok((Connections::open(location, true, &self.0.lock, held).await?, health)),
        }
    }

    /// Checks the whole file.
    pub(super) async fn health(&self) -> Result<Health, DatabaseError> {
        self.connections()?
            .check_file()
            .await?
            .ok_or_else(|| DatabaseError::Away("the file is being closed".to_owned()))
    }

    /// Fails if the schema is not as it was when the file was opened.
    async fn check_schema(&self) -> Result<(), DatabaseError> {
        schema::check(&self.connections()?.checker).await
    }

    /// Lets the tail of the log open the database again.
    pub(super) fn doubt(&self, reason: String) {
        *self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        self.ring();
    }

    /// Fails if the file is in doubt.
    pub(super) fn check_doubt(&self) -> Result<(), DatabaseError> {
        let doubt = self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner);
        doubt.as_ref().map_or(Ok(()), |reason| Err(DatabaseError::Away(reason.clone())))
    }

    /// The known health of the search index.
    pub(super) fn search_index(&self) -> &SearchIndexHealth {
        &self.0.search_index
    }

    /// Closes the connections in order. Until the file is opened again, every request fails with this reason.
    pub async fn close(&self, reason: &str) {
        self.leave(reason, true).await;
    }

    /// Closes the connections. `in_order` if the run ends without a doubt about the file.
    async fn leave(&self, reason: &str, in_order: bool) {
        if let State::Open(open) = &*self.0.state.swap(Arc::new(State::Away(reason.to_owned()))) {
            self.0.read_cache.forget();
            self.0.presence.lock().await.leave((**open).clone(), &self.0.lock, in_order).await;
        }
    }

    /// Notes in the lock file how far the log was read. The next start compares the note with the log: an older copy of
    /// the file that is put back is told by it.
    pub(super) fn note_read(&self, end: &Position, newest: Option<&change::Model>) {
        if let Ok(open) = self.connections() {
            presence::note_read(&self.0.lock, &open, end, newest);
        }
    }

    /// The engine of the database.
    pub fn backend(&self) -> DbBackend {
        DbBackend::Sqlite
    }

    /// The counters of the server.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.0.metrics.clone()
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

    /// Contains every change that the server has shown so far: in an answer, or by the acknowledgement of a write.
    /// Fails while the database is away.
    pub(super) fn shown(&self) -> Result<Cursor, DatabaseError> {
        match &**self.0.state.load() {
            State::Open(open) => {
                let next = open.minted.load(Ordering::SeqCst);
                Ok(Position::from_column(next.cast_signed()).cursor(&open.epoch))
            }
            State::Away(reason) => Err(DatabaseError::Closed(reason.clone())),
        }
    }

    /// The changes to the schema that were made when the file was opened.
    pub fn migrated(&self) -> Arc<Migrated> {
        self.connections().map_or_else(|_| Arc::default(), |open| open.migrated)
    }

    /// Fails if a name leads to another file than the one that is open, or to none.
    pub(super) fn check_in_place(&self) -> Result<(), DatabaseError> {
        self.connections()?.check_in_place()?;
        match self.0.location.is_the_place_of(&self.0.given) {
            true => Ok(()),
            false => Err(DatabaseError::Away("the path leads to another file".to_owned())),
        }
    }

    fn connections(&self) -> Result<Connections, DatabaseError> {
        match &**self.0.state.load() {
            State::Open(open) => Ok((**open).clone()),
            State::Away(reason) => Err(DatabaseError::Closed(reason.clone())),
        }
    }
}
