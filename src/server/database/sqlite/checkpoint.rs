//! The checkpoint: brings the changes of the write-ahead log into the file.
//!
//! SQLite does so itself with the commit that makes the log longer than 1,000 pages. It does not tell the writer when
//! this fails, because the commit is stored in the log. The log then grows without an end, so the server looks at the
//! log.

use sea_orm::sqlx::{self, Row};
use sea_orm::{DatabaseConnection, DbErr};

use super::health::query;
use crate::server::database::{Database, DatabaseError};

/// The pages of a log that SQLite brings into the file without being asked: the default of `wal_autocheckpoint`.
const AUTOMATIC: i64 = 1_000;

/// The pages that the log has, and those of them that are in the file.
struct Log {
    is_busy: bool,
    pages: i64,
    done: i64,
}

impl Database {
    /// Brings the log into the file if SQLite should have done so itself. Fails with the reason for which SQLite did
    /// not. A reader of an old snapshot is no failure: the log waits for it.
    pub async fn bring_in_log(&self) -> Result<(), DatabaseError> {
        let checker = self.file()?.checker;
        let log = run(&checker, "noop").await?;
        if log.pages - log.done > AUTOMATIC {
            run(&checker, "passive").await?;
        }
        Ok(())
    }
}

/// Brings the log into the file. Returns whether the whole log is in the file.
pub(super) async fn checkpoint(connection: &DatabaseConnection, mode: &str) -> Result<bool, DbErr> {
    let log = run(connection, mode).await?;
    Ok(!log.is_busy && log.pages == log.done)
}

async fn run(connection: &DatabaseConnection, mode: &str) -> Result<Log, DbErr> {
    let sql = sqlx::AssertSqlSafe(format!("pragma wal_checkpoint({mode})"));
    let row = sqlx::query(sql).fetch_one(connection.get_sqlite_connection_pool()).await.map_err(query)?;
    let column = |column| row.try_get::<i64, _>(column).map_err(query);
    Ok(Log { is_busy: column(0)? != 0, pages: column(1)?, done: column(2)? })
}
