//! The signs of other programs that write the file. Both are looked for on the connection that writes: a commit of the
//! server itself is no sign there, and no transaction of the server is open.

use sea_orm::sqlx::{self, Row};

use super::connections::FileConnections;
use super::health::query;
use super::lock::BUSY_TIMEOUT;
use crate::server::database::DatabaseError;

impl FileConnections {
    /// A number that changes with each commit of another program.
    pub(in crate::server::database) async fn foreign_version(&self) -> Result<i64, DatabaseError> {
        let mut writer = self.writer.get_sqlite_connection_pool().acquire().await.map_err(query)?;
        let row = sqlx::query("pragma data_version").fetch_one(&mut *writer).await.map_err(query)?;
        let version = row.try_get(0).map_err(query)?;
        // A write that waits for the connection has raised a doubt.
        self.doubt.clear();
        Ok(version)
    }

    /// Whether another program holds the write lock: a transaction without a wait for the lock fails then.
    pub(in crate::server::database) async fn is_foreign_write_open(&self) -> Result<bool, DatabaseError> {
        let wait = format!("pragma busy_timeout = {}", BUSY_TIMEOUT.as_millis());
        // The database runs all of these statements in a row, so the lock is held for microseconds.
        let take_lock = format!("pragma busy_timeout = 0; begin immediate; rollback; {wait}");
        let mut writer = self.writer.get_sqlite_connection_pool().acquire().await.map_err(query)?;
        // A future that is dropped in between leaves a connection without a wait for the lock, or with the lock.
        self.doubt.raise();
        let taken = sqlx::raw_sql(sqlx::AssertSqlSafe(take_lock)).execute(&mut *writer).await;
        let is_open = match taken.map_err(|error| DatabaseError::from(query(error))) {
            Ok(_) => false,
            Err(DatabaseError::Busy) => {
                sqlx::raw_sql(sqlx::AssertSqlSafe(wait)).execute(&mut *writer).await.map_err(query)?;
                true
            }
            Err(failed) => return Err(failed),
        };
        self.doubt.clear();
        Ok(is_open)
    }
}
