//! The only way to write: begin the transaction, run the verbs in it, commit it.
//!
//! The check that a commit happened, the cursor apart from the outcome and the check of the caller's scope belong into
//! [`Database::write`]. No other place may do them. Today a commit whose cursor cannot be read afterwards is answered as
//! a failure.

use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::transaction::WriteTransaction;
use super::{Database, DatabaseError};
use crate::protocol::Cursor;
use crate::server::access::scope::Scope;

/// The outcome of a transaction that was committed. Only [`Database::write`] makes one.
#[derive(Debug)]
pub struct Committed<T> {
    value: T,
    cursor: Cursor,
}

impl<T> Committed<T> {
    /// The value that the verbs returned, and a cursor that contains the commit.
    pub fn into_parts(self) -> (T, Cursor) {
        (self.value, self.cursor)
    }
}

impl Database {
    /// Runs `verbs` in the one transaction that writes and commits it. An error of `verbs` rolls everything back.
    ///
    /// Waits for the write lock first. After the commit the tail of the log is woken. The cursor is read after the
    /// commit and so contains it.
    pub async fn write<T, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<Committed<T>, E> {
        let connections = self.connections()?;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let transaction = connections.writer.begin_with_options(options).await.map_err(DatabaseError::from)?;
        let write = WriteTransaction { scope, transaction };
        let value = verbs(&write).await?;
        write.transaction.commit().await.map_err(DatabaseError::from)?;
        self.ring();
        connections.check_in_place()?;
        // The cursor is read on a reader, since other writes wait for the writer's connection.
        let (cursor, _) = connections.mint(&connections.readers).await?;
        Ok(Committed { value, cursor })
    }
}
