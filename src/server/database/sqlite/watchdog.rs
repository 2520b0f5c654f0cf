//! The watchdog: finds an overwrite of the file that bypassed SQLite.
//!
//! A check of the whole file takes a second for 64 MiB. So it has a connection of its own, and neither a request nor
//! the tail of the log waits for it.
//!
//! SQLite reports one failed read of the disk as damage. To open the file again costs every stream a resync, so the
//! file is in doubt only if two looks in a row find damage.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use sea_orm::{DbErr, sqlx};

use super::connections::FileConnections;
use super::files::stamp;
use super::health::{Health, damage, health, query};
use crate::server::database::{Database, DatabaseError};

/// How often to look for an overwrite, if the length or the write time of the file changed.
pub(in crate::server) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest file that is checked as a whole: the check takes about a second of one core.
const CHECKED_WHOLE: u64 = 64 * 1024 * 1024;
/// How many steps of its program SQLite does between two questions whether the check has to end: some 100 µs.
const STEPS_PER_QUESTION: i32 = 10_000;

/// Looks for an overwrite of the file that bypassed SQLite. A connection does not notice it as long as it has the pages
/// in memory.
pub(in crate::server) struct Watchdog {
    /// How often to check the whole file.
    check_interval: Duration,
    /// The size of the file and the time of its last write when it was looked at, and the run.
    seen: Option<((u64, SystemTime), Arc<str>)>,
    checked: Option<Instant>,
    /// The run in which the last look found damage or could not read the file.
    suspected: Option<Arc<str>>,
}

impl Watchdog {
    /// A watchdog that has not looked yet.
    pub(in crate::server) fn new(check_interval: Duration) -> Self {
        Self { check_interval, seen: None, checked: None, suspected: None }
    }

    /// Reads the file again if it was written since the last look. A checkpoint writes the file too, so the work is
    /// bounded: the caller looks at most once a second, and a file that is not large is checked as a whole once in each
    /// interval, and once more if damage was found.
    ///
    /// The connection was opened with the file. A new one would use the name of the file, and the name can lead to
    /// another file by now.
    pub(in crate::server) async fn look(&mut self, database: &Database) -> Result<(), DatabaseError> {
        let connections = database.file()?;
        let Some(written) = stamp(database.path()) else { return Ok(()) };
        let seen = (written, connections.epoch.clone());
        // The tail leaves a file whose name leads elsewhere.
        if self.seen.as_ref() == Some(&seen) || database.check_in_place().is_err() {
            return Ok(());
        }
        let is_suspected = self.suspected.as_ref() == Some(&connections.epoch);
        let is_large = written.0 > CHECKED_WHOLE;
        let is_whole = !is_large && (is_suspected || self.checked.is_none_or(|at| at.elapsed() >= self.check_interval));
        let generation = database.search_index().generation();
        let found = if is_whole {
            self.checked = Some(Instant::now());
            connections.check_file().await.map(|health| health.unwrap_or(Health::Sound))
        } else {
            connections.read_first_page().await.map(|()| Health::Sound)
        };
        let found = match found {
            Ok(health) => health,
            Err(error) => match damage(&error) {
                Some(detail) => Health::File(detail),
                // The next look checks the whole file again, and the looks after that in their own time.
                None => {
                    self.suspected = Some(connections.epoch).filter(|_| !is_suspected);
                    return Err(error.into());
                }
            },
        };
        self.suspected = None;
        match found {
            Health::Sound => {}
            // A connection that was replaced after a failure uses the name.
            _ if database.check_in_place().is_err() => return Ok(()),
            _ if !is_suspected => {
                self.suspected = Some(connections.epoch);
                return Ok(());
            }
            // A damaged index is no damaged file: the index job rebuilds it.
            Health::Index(_) => database.search_index().report_damage(generation),
            Health::File(detail) => database.doubt(format!("the file is damaged: {detail}")),
        }
        // Otherwise the check is still due: the next look comes back to it.
        if is_whole || is_large {
            self.seen = Some(seen);
        }
        Ok(())
    }
}

impl FileConnections {
    /// Reads the first page and the schema from the disk.
    async fn read_first_page(&self) -> Result<(), DbErr> {
        let mut connection = self.checker.get_sqlite_connection_pool().acquire().await.map_err(query)?;
        sqlx::query("pragma shrink_memory").execute(&mut *connection).await.map_err(query)?;
        sqlx::query("select count(*) from sqlite_schema").fetch_one(&mut *connection).await.map_err(query)?;
        tracing::debug!("the first page of the file was read again");
        Ok(())
    }

    /// Checks the whole file, from the disk. None if the connections are being closed meanwhile.
    pub(in crate::server::database) async fn check_file(&self) -> Result<Option<Health>, DbErr> {
        let mut connection = self.checker.get_sqlite_connection_pool().acquire().await.map_err(query)?;
        let is_closing = self.is_closing.clone();
        let go_on = move || !is_closing.load(Ordering::SeqCst);
        connection.lock_handle().await.map_err(query)?.set_progress_handler(STEPS_PER_QUESTION, go_on);
        sqlx::query("pragma shrink_memory").execute(&mut *connection).await.map_err(query)?;
        tracing::debug!("a check of the whole file begins");
        let found = health(&mut connection).await;
        if self.is_closing.load(Ordering::SeqCst) {
            return Ok(None);
        }
        tracing::debug!(?found, "a check of the whole file ended");
        found.map(Some)
    }
}
