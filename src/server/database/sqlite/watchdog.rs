//! The watchdog: finds an overwrite of the file that bypassed SQLite.

use std::time::{Duration, Instant, SystemTime};

use sea_orm::sqlx::{self, Connection};
use sea_orm::{DbErr, RuntimeErr};

use super::health::{Health, connect, health};
use crate::server::database::{Database, DatabaseError};

/// How often to open a new connection to look for an overwrite, if the length or the write time of the file changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to check the whole file.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The largest file that is checked as a whole: the check takes about 100 ms of one core.
const CHECKED_WHOLE: u64 = 64 * 1024 * 1024;

/// Looks for an overwrite of the file that bypassed SQLite. An open connection does not notice it, since SQLite caches
/// pages in memory.
#[derive(Default)]
pub(super) struct Probe {
    /// The time of the last write that was looked at, and the size of the file then.
    written: Option<(SystemTime, u64)>,
    looked: Option<Instant>,
    checked: Option<Instant>,
}

impl Probe {
    /// Opens the file afresh if it was written since the last look. A checkpoint writes the file too, so the work is
    /// bounded: the schema is read at most once a second, and a file that is not large is checked as a whole at most
    /// twice a minute.
    pub(super) async fn look(&mut self, database: &Database) -> Result<(), DatabaseError> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let Ok(file) = std::fs::metadata(database.path()) else { return Ok(()) };
        let written = file.modified().ok().map(|at| (at, file.len()));
        if self.written == written {
            return Ok(());
        }
        let mut fresh = connect(database.path()).await?;
        sqlx::query("select count(*) from sqlite_master").fetch_one(&mut fresh).await.map_err(error)?;
        if file.len() <= CHECKED_WHOLE {
            if self.checked.is_some_and(|at| at.elapsed() < CHECK_EVERY) {
                // The check is still due: `written` stays old, so that the next look comes back to it.
                return fresh.close().await.map_err(error);
            }
            self.checked = Some(Instant::now());
            let generation = database.search_index().generation();
            match health(&mut fresh).await? {
                Health::Sound => {}
                // A damaged index is no damaged file: the index job rebuilds it.
                Health::Index(_) => database.search_index().report_damage(generation),
                Health::File(found) => return Err(DatabaseError::Away(format!("the file is damaged: {found}"))),
            }
        }
        self.written = written;
        fresh.close().await.map_err(error)
    }
}

/// The error of a query on a connection of its own.
pub(super) fn error(error: sqlx::Error) -> DatabaseError {
    DbErr::Query(RuntimeErr::SqlxError(error.into())).into()
}
