//! The checks of the schema: before the first write, and again while the server runs.
//!
//! SQLite drops the triggers of a table with the table. So a program that recreates a table removes the triggers, and
//! no error shows it. From then on no write to that table is logged. The crate `requery_migrations` finds and repairs
//! the difference. This module opens the file for the checks in a way that changes not a single byte of it, except to
//! undo a write that did not end.

use std::path::Path;
use std::time::Duration;

use requery_migrations::{MigrateError, Migrated};
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr};

use super::file_id::{FileId, beside, length};
use super::files::unfinished_write;
use super::location::FileLocation;
use super::lock::BUSY_TIMEOUT;
use crate::server::database::DatabaseError;

/// How often a file is read that no program seems to write, before it is refused.
const TRIES_AT_REST: u32 = 4;
/// The pause between two tries: more than the tick with which a file system notes the time of a write.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Refuses a file that is not a database of requery. A file that is missing or empty is accepted.
pub(in crate::server) async fn admit(location: &FileLocation) -> Result<(), MigrateError> {
    if !std::fs::metadata(location.path()).is_ok_and(|file| file.is_file() && file.len() > 0) {
        return Ok(());
    }
    let mut tries = TRIES_AT_REST;
    loop {
        let access = Access::to(location.path());
        match look(location, access).await {
            // An immutable file is read without a lock. Another program that closes the file writes its pages
            // meanwhile, and a mix of old and new pages looks like damage or like another schema. So does a failed read
            // of the disk.
            Err(_) if access == Access::AtRest && tries > 1 => {
                tries -= 1;
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            admitted => return admitted,
        }
    }
}

/// How a file is read that may belong to another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// The file alone is the whole database: no log beside it has rows, and no transaction is open. In WAL mode even a
    /// reader creates the files of the log if they are missing, so such a file is opened as immutable.
    AtRest,
    Read,
    /// A program was killed in the middle of a write. No reader can use the file before the old pages are back in it,
    /// and only a connection that may write brings them back. SQLite does that whoever opens the file.
    UndoWrite,
}

impl Access {
    fn to(path: &Path) -> Self {
        let is_empty = |suffix| length(&beside(path, suffix)) == 0;
        if unfinished_write(path).is_some() {
            Self::UndoWrite
        } else if is_empty("-wal") && FileId::at(&beside(path, "-journal")).is_none() {
            Self::AtRest
        } else {
            Self::Read
        }
    }
}

async fn look(location: &FileLocation, access: Access) -> Result<(), MigrateError> {
    let db = open(location, access).await?;
    let admitted = requery_migrations::admit(&db).await;
    db.close().await?;
    if access == Access::UndoWrite && unfinished_write(location.path()).is_none() {
        tracing::warn!(path = %location.path().display(), "a write of another program had not ended: it was undone");
    }
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

/// Opens a connection that makes no change of its own.
///
/// No code but SQLite opens the file: when a process closes a file, all its locks on that file are dropped.
async fn open(location: &FileLocation, access: Access) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(location.url());
    options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(move |options| {
        let options = options.create_if_missing(false).read_only(access != Access::UndoWrite);
        options.immutable(access == Access::AtRest).busy_timeout(BUSY_TIMEOUT)
    });
    sea_orm::Database::connect(options).await
}
