//! The database: the only access to it for reads and writes.
//!
//! It is a file of [`sqlite`] or a database of a [`postgres`] server. Each read uses one snapshot. Writes go through
//! [`Database::write`], reads through [`Database::read`]. Every read transaction first reads its cursor, in the same
//! snapshot as the rows, so that an answer never claims to contain more changes than it does.
//!
//! A cursor is only minted while the database has the history that the server opened. A file that was replaced or
//! restored under the server has another one, and so has a Postgres server after a crash or a restore: requests then
//! get errors, until the database is opened again under a new epoch.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
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

mod driver_error;

mod error_kind;
pub use error_kind::is_taken;

mod location;
pub use location::Location;

mod location_error;
pub use location_error::LocationError;

mod position;
pub use position::{ChangePlace, Position};

pub mod sqlite;
use sqlite::health::Health;
use sqlite::place::FilePlace;

pub mod postgres;
use postgres::server::PostgresServer;

mod search_index_health;
use search_index_health::SearchIndexHealth;

pub mod sql;

pub mod copy_ends;

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
    place: Place,
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
}

/// Where the rows are.
enum Place {
    File(Box<FilePlace>),
    Server(Box<PostgresServer>),
}

enum State {
    Open(Open),
    Away(String),
}

/// The open connections.
#[derive(Clone)]
enum Open {
    File(Box<sqlite::connections::FileConnections>),
    Server(Box<postgres::connections::ServerConnections>),
}

impl Database {
    /// Opens the database, creates what is missing, and migrates its schema.
    pub async fn open(location: Location) -> Result<Self, OpenError> {
        let (place, open) = match location {
            Location::File(location) => {
                let (place, open) = FilePlace::open(&location).await?;
                (Place::File(Box::new(place)), Open::File(Box::new(open)))
            }
            Location::Server(location) => {
                let (server, open) = PostgresServer::open(*location).await?;
                (Place::Server(Box::new(server)), Open::Server(Box::new(open)))
            }
        };
        let metrics: Arc<Metrics> = Arc::default();
        Ok(Self(Arc::new(Inner {
            place,
            state: ArcSwap::from_pointee(State::Open(open)),
            bell: Notify::new(),
            doubt: Mutex::default(),
            background: Background::default(),
            search_index: SearchIndexHealth::default(),
            write_health: WriteHealth::default(),
            read_turns: Turns::new(limits::READS),
            read_cache: Arc::new(ReadCache::new(metrics.clone())),
            short_answer: AtomicUsize::default(),
            metrics,
        })))
    }

    /// The engine.
    pub fn backend(&self) -> DbBackend {
        match self.0.place {
            Place::File(_) => DbBackend::Sqlite,
            Place::Server(_) => DbBackend::Postgres,
        }
    }

    /// Whether several servers can serve the database at the same time.
    pub fn is_shared(&self) -> bool {
        self.server().is_some()
    }

    /// Closes the connections to the file and opens it again, as a new run. The cursors of earlier runs may belong to
    /// another history, so no client can resume from them. On Postgres: see [`PostgresServer::reopen`].
    pub async fn reopen(&self) -> Result<(), OpenError> {
        match &self.0.place {
            Place::File(place) => self.reopen_file(place).await,
            Place::Server(server) => {
                let open = server.reopen().await?;
                self.0.state.store(Arc::new(State::Open(Open::Server(Box::new(open)))));
                Ok(())
            }
        }
    }

    async fn reopen_file(&self, place: &FilePlace) -> Result<(), OpenError> {
        self.leave("it is being opened again", false).await;
        *self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match place.open_in_doubt().await {
            Ok((connections, health)) => {
                self.0.search_index.begin_generation();
                if let Health::Index(_) = health {
                    self.0.search_index.report_damage(self.0.search_index.generation());
                }
                self.0.state.store(Arc::new(State::Open(Open::File(Box::new(connections)))));
                Ok(())
            }
            Err(error) => {
                self.0.state.store(Arc::new(State::Away(error.for_clients())));
                Err(error)
            }
        }
    }

    /// Lets requests fail at once while the Postgres server cannot be reached, also the ones that wait for a
    /// connection.
    pub(super) fn note_unreachable(&self) {
        if self.is_shared() {
            let away = State::Away(postgres::connections::UNREACHABLE.to_owned());
            if let State::Open(Open::Server(open)) = &*self.0.state.swap(Arc::new(away)) {
                open.note_lost();
            }
        }
    }

    /// Checks the whole file.
    pub(super) async fn health(&self) -> Result<Health, DatabaseError> {
        self.file()?.check_file().await?.ok_or_else(|| DatabaseError::Away("the file is being closed".to_owned()))
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

    /// Closes the connections in order. Until the database is opened again, every request fails with this reason.
    pub async fn close(&self, reason: &str) {
        self.leave(reason, true).await;
    }

    /// Closes the connections. `in_order` if the run ends without a doubt about the file.
    async fn leave(&self, reason: &str, in_order: bool) {
        let State::Open(open) = &*self.0.state.swap(Arc::new(State::Away(reason.to_owned()))) else { return };
        self.0.read_cache.forget();
        match (open, &self.0.place) {
            (Open::File(open), Place::File(place)) => place.leave((**open).clone(), in_order).await,
            (Open::Server(open), Place::Server(server)) => server.leave(open).await,
            _ => {}
        }
    }

    /// Notes how far the log of the file was read.
    pub(super) fn note_read(&self, end: &Position, newest: Option<&change::Model>) {
        if let (Ok(open), Place::File(place)) = (self.file(), &self.0.place) {
            place.note_read(&open, end, newest);
        }
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

    /// The path of the file. Empty on Postgres.
    pub fn path(&self) -> &Path {
        match &self.0.place {
            Place::File(place) => place.path(),
            Place::Server(_) => Path::new(""),
        }
    }

    /// The database as a person reads it, without a password.
    pub fn name(&self) -> String {
        match &self.0.place {
            Place::File(place) => place.path().display().to_string(),
            Place::Server(server) => server.location().to_string(),
        }
    }

    /// The epoch of the cursors that are minted now. None while the database is away.
    pub fn epoch(&self) -> Option<Arc<str>> {
        match self.opened().ok()? {
            Open::File(open) => Some(open.epoch),
            Open::Server(open) => Some(open.epoch),
        }
    }

    /// Contains every change that the server has shown so far: in an answer, or by the acknowledgement of a write.
    /// Fails while the database is away.
    pub(super) fn shown(&self) -> Result<Cursor, DatabaseError> {
        match &**self.0.state.load() {
            State::Open(Open::File(open)) => Ok(open.shown()),
            State::Open(Open::Server(open)) => Ok(open.shown()),
            State::Away(reason) => Err(DatabaseError::Closed(reason.clone())),
        }
    }

    /// The changes to the schema that were made when the database was opened.
    pub fn migrated(&self) -> Arc<Migrated> {
        match self.opened() {
            Ok(Open::File(open)) => open.migrated,
            Ok(Open::Server(open)) => open.migrated,
            Err(_) => Arc::default(),
        }
    }

    /// Fails if a name leads to another file than the one that is open, or to none.
    pub(super) fn check_in_place(&self) -> Result<(), DatabaseError> {
        self.file()?.check_in_place()?;
        match &self.0.place {
            Place::File(place) => place.check_in_place(),
            Place::Server(_) => Ok(()),
        }
    }

    /// The Postgres server, if the database is one.
    pub(super) fn server(&self) -> Option<&PostgresServer> {
        match &self.0.place {
            Place::File(_) => None,
            Place::Server(server) => Some(server),
        }
    }

    fn opened(&self) -> Result<Open, DatabaseError> {
        match &**self.0.state.load() {
            State::Open(open) => Ok(open.clone()),
            State::Away(reason) => Err(DatabaseError::Closed(reason.clone())),
        }
    }

    /// The connections to the file.
    fn file(&self) -> Result<sqlite::connections::FileConnections, DatabaseError> {
        match self.opened()? {
            Open::File(open) => Ok(*open),
            Open::Server(_) => Err(DatabaseError::Away("the database is no file".to_owned())),
        }
    }
}
