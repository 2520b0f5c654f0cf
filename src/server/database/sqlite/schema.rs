//! The checks of the schema: before the first write, and again while the server runs.
//!
//! SQLite drops the triggers of a table with the table. So a program that recreates a table removes the triggers, and
//! no error shows it. From then on no write to that table is logged. The crate `requery_migrations` finds and repairs
//! the difference. This module opens the file for the checks in a way that does not change a single byte of it.

use std::path::Path;
use std::time::Duration;

use requery_migrations::{MigrateError, Migrated};
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr};

use super::location::Location;
use super::lock::BUSY_TIMEOUT;
use crate::server::database::DatabaseError;

/// How often a file is read that no program seems to write, before it is refused.
const TRIES_AT_REST: u32 = 4;
/// The pause between two tries: more than the tick with which a file system notes the time of a write.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Refuses a file that is not a database of requery. A file that is missing or empty is accepted.
pub(in crate::server) async fn admit(location: &Location) -> Result<(), MigrateError> {
    if !std::fs::metadata(location.path()).is_ok_and(|file| file.is_file() && file.len() > 0) {
        return Ok(());
    }
    let mut tries = TRIES_AT_REST;
    loop {
        let at_rest = is_at_rest(location.path());
        match look(location, at_rest).await {
            // An immutable file is read without a lock. Another program that closes the file writes its pages meanwhile,
            // and a mix of old and new pages looks like damage or like another schema.
            Err(_) if at_rest && tries > 1 => {
                tries -= 1;
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            admitted => return admitted,
        }
    }
}

async fn look(location: &Location, at_rest: bool) -> Result<(), MigrateError> {
    let db = open(location, at_rest).await?;
    let admitted = requery_migrations::admit(&db).await;
    db.close().await?;
    admitted
}

/// Fails if the schema is not as it was when the file was opened.
pub(in crate::server) async fn check(db: &DatabaseConnection) -> Result<(), DatabaseError> {
    match requery_migrations::differences(db).await?.join(", ") {
        found if found.is_empty() => Ok(()),
        found => Err(DatabaseError::Away(format!("its schema was changed: {found}"))),
    }
}

/// Logs the changes that were made to the schema.
pub(in crate::server) fn log(migrated: &Migrated) {
    let Migrated { applied, put_right, put_back, lost } = migrated;
    if !applied.is_empty() {
        tracing::debug!(migrations = applied.join(", "), "the schema is up to date");
    }
    if !put_right.is_empty() {
        let put_right = put_right.join("; ");
        tracing::warn!(put_right, "rows that break a rule of this version were changed");
    }
    if !put_back.is_empty() {
        let put_back = put_back.join(", ");
        tracing::warn!(
            put_back,
            "parts of the schema were missing or changed: they were restored, and the figures were counted again"
        );
    }
    if !lost.is_empty() {
        let lost = lost.join(", ");
        tracing::warn!(lost, "tables have lost constraints: other programs can write rows that cannot be shown");
    }
}

/// Opens a connection that only reads.
///
/// In WAL mode even a reader creates the files of the log if they are missing. So a file that is `at_rest` is opened as
/// immutable. No code but SQLite opens the file: when a process closes a file, all its locks on that file are dropped.
async fn open(location: &Location, at_rest: bool) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(location.url());
    options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(move |options| {
        options.create_if_missing(false).read_only(true).immutable(at_rest).busy_timeout(BUSY_TIMEOUT)
    });
    sea_orm::Database::connect(options).await
}

/// Whether the file alone is the whole database: no log beside it has rows, and no transaction is open.
fn is_at_rest(path: &Path) -> bool {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).ok().map(|file| file.len())
    };
    beside("-journal").is_none() && beside("-wal").is_none_or(|length| length == 0)
}
