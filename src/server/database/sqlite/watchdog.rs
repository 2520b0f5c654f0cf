//! The watchdog: finds an overwrite of the file that bypassed SQLite.
//!
//! A check of the whole file takes a second for 64 MiB. So it has a connection of its own, and neither a request nor the
//! tail of the log waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use sea_orm::sqlx;

use super::connections::Connections;
use super::files::stamp;
use super::health::{Health, health, query};
use crate::server::database::{Database, DatabaseError};

/// How often to look for an overwrite, if the length or the write time of the file changed.
pub(in crate::server) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to check the whole file.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The largest file that is checked as a whole: the check takes about a second of one core.
const CHECKED_WHOLE: u64 = 64 * 1024 * 1024;
/// How many steps of its program SQLite does between two questions whether the check has to end: some 100 µs.
const STEPS_PER_QUESTION: i32 = 10_000;

/// Looks for an overwrite of the file that bypassed SQLite. A connection does not notice it as long as it has the pages
/// in memory.
#[derive(Default)]
pub(in crate::server) struct Watchdog {
    /// The size of the file and the time of its last write when it was looked at, and the run.
    seen: Option<((u64, SystemTime), Arc<str>)>,
    checked: Option<Instant>,
}

impl Watchdog {
    /// Reads the file again if it was written since the last look. A checkpoint writes the file too, so the work is
    /// bounded: the caller looks at most once a second, and a file that is not large is checked as a whole at most
    /// twice a minute.
    ///
    /// The connection was opened with the file. A new one would use the name of the file, and the name can lead to
    /// another file by now.
    pub(in crate::server) async fn look(&mut self, database: &Database) -> Result<(), DatabaseError> {
        let connections = database.connections()?;
        let Some(written) = stamp(database.path()) else { return Ok(()) };
        let seen = (written, connections.epoch.clone());
        if self.seen.as_ref() == Some(&seen) {
            return Ok(());
        }
        let found = if written.0 > CHECKED_WHOLE {
            connections.read_first_page().await
        } else if self.checked.is_some_and(|at| at.elapsed() < CHECK_EVERY) {
            // The check is still due: `seen` stays old, so that the next look comes back to it.
            return database.doubt_damage(connections.read_first_page().await);
        } else {
            self.checked = Some(Instant::now());
            let generation = database.search_index().generation();
            connections.check_file().await.and_then(|health| match health {
                None | Some(Health::Sound) => Ok(()),
                // A damaged index is no damaged file: the index job rebuilds it.
                Some(Health::Index(_)) => {
                    database.search_index().report_damage(generation);
                    Ok(())
                }
                Some(Health::File(found)) => Err(DatabaseError::Damaged(found)),
            })
        };
        database.doubt_damage(found)?;
        self.seen = Some(seen);
        Ok(())
    }
}

impl Database {
    /// Lets the tail open the database again if the error says that the file is damaged.
    fn doubt_damage(&self, found: Result<(), DatabaseError>) -> Result<(), DatabaseError> {
        match found {
            Err(DatabaseError::Away(detail) | DatabaseError::Damaged(detail)) => {
                self.doubt(format!("the file is damaged: {detail}"));
                Ok(())
            }
            found => found,
        }
    }
}

impl Connections {
    /// Reads the first page and the schema from the disk.
    async fn read_first_page(&self) -> Result<(), DatabaseError> {
        let mut connection = self.checker.get_sqlite_connection_pool().acquire().await.map_err(query)?;
        sqlx::query("pragma shrink_memory").execute(&mut *connection).await.map_err(query)?;
        sqlx::query("select count(*) from sqlite_schema").fetch_one(&mut *connection).await.map_err(query)?;
        Ok(())
    }

    /// Checks the whole file, from the disk. None if the connections are being closed meanwhile.
    pub(in crate::server::database) async fn check_file(&self) -> Result<Option<Health>, DatabaseError> {
        let mut connection = self.checker.get_sqlite_connection_pool().acquire().await.map_err(query)?;
        let is_closing = self.is_closing.clone();
        let go_on = move || !is_closing.load(Ordering::SeqCst);
        connection.lock_handle().await.map_err(query)?.set_progress_handler(STEPS_PER_QUESTION, go_on);
        sqlx::query("pragma shrink_memory").execute(&mut *connection).await.map_err(query)?;
        match health(&mut connection).await {
            _ if self.is_closing.load(Ordering::SeqCst) => Ok(None),
            found => Ok(Some(found?)),
        }
    }
}
