//! The database file: the only access to it for reads and writes, and the check that it still is the file that was
//! opened.
//!
//! There are one writer and a few readers, and each read uses one snapshot. Writes go through [`Database::write`],
//! reads through [`Database::read`]. Every read transaction first reads its cursor, in the same snapshot as the rows,
//! so that an answer never claims to contain more changes than it does. A cursor is only minted while the file contains
//! the run that opened it. A file that was replaced or restored under the server does not: requests then get errors,
//! until the file is opened again as a new run.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use requery_migrations::Migrated;
use sea_orm::DbErr;
use tokio::sync::Notify;

use crate::protocol::limits;

mod error;
pub use error::{DatabaseError, OpenError};

mod position;
pub use position::Position;

pub mod sqlite;
use sqlite::connections::Connections;
use sqlite::error_codes::{as_open_error, as_schema_error};
use sqlite::health::{self, Health};
pub use sqlite::location::{Location, LocationError};
use sqlite::lock::{file_id, lock};
use sqlite::schema;

mod search_index_health;
use search_index_health::SearchIndexHealth;

pub mod sql;

mod transaction;
pub use transaction::{ReadTransaction, WriteTransaction};

mod turns;
pub use turns::Turns;

mod read;
pub use read::{Answer, ReadKey};

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
    state: ArcSwap<State>,
    bell: Notify,
    background: Background,
    search_index: SearchIndexHealth,
    write_health: WriteHealth,
    read_turns: Turns,
    /// The lock file, locked while the server runs. Two servers on one database would each fold and prune the log
    /// without knowing of the other.
    _lock: File,
}

enum State {
    Open(Connections),
    Away(String),
}

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
            background: Background::default(),
            search_index: SearchIndexHealth::default(),
            write_health: WriteHealth::default(),
            read_turns: Turns::new(limits::READS),
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
