//! The only way to write: begin the transaction, run the verbs in it, commit it.
//!
//! The check that a commit happened and the cursor apart from the outcome belong into [`Database::write`]. No other
//! place may do them. The transaction carries the scope of the caller, and the verbs find their rows in it with
//! [`in_scope`](super::in_scope).

use prometheus_client::metrics::counter::Counter;
use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::sqlite::error_codes::is_constraint;
use super::transaction::{StatementFailure, Statements, WriteTransaction};
use super::write_health::WriteHealth;
use super::{Database, DatabaseError, sql};
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

    /// The outcome with another value, made of this one.
    pub fn map<U>(self, value: impl FnOnce(T) -> U) -> Committed<U> {
        Committed { value: value(self.value), cursor: self.cursor }
    }
}

impl Database {
    /// Runs `verbs` in the one transaction that writes and commits it. An error of `verbs` rolls everything back.
    ///
    /// Waits for the write lock first. After the commit the tail of the log is woken. A future that is dropped before
    /// its end leaves no transaction open.
    pub async fn write<T, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<Committed<T>, E> {
        let connections = self.connections()?;
        // A connection that replaces one in doubt opens the file by its name.
        connections.check_in_place()?;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let beginning = connections.doubt.begin();
        let begun = connections.writer.begin_with_options(options).await;
        drop(beginning);
        // After a failure the next writes get another connection: SQLite refuses to begin in a transaction that is
        // still open.
        let transaction = begun.map_err(|error| {
            self.write_health().note(&StatementFailure::from(&error));
            match DatabaseError::from(error) {
                DatabaseError::Db(error) => DatabaseError::Away(error.to_string()),
                error => error,
            }
        })?;
        let write = WriteTransaction { scope, statements: Statements::of(transaction, Counter::default()) };
        // SQLite has one writer: the last statement of the transaction sees the changes of all commits and its own. So
        // the cursor is known before the commit, and a write that was committed cannot fail any more.
        let done = match verbs(&write).await {
            Ok(value) => connections.cursor(&write).await.map(|cursor| (value, cursor)).map_err(E::from),
            Err(error) => Err(error),
        };
        let failure = write.statements.failure();
        if let Some(failure) = failure {
            self.write_health().note(failure);
        }
        if failure.is_none_or(|failure| failure.is_constraint) {
            connections.doubt.clear();
        }
        let (value, cursor) = done?;
        connections.doubt.raise();
        // The transaction began on a connection without another, so this is `COMMIT`: SQLite refuses it if the
        // transaction has ended in any other way, and its success means that the rows are stored.
        if let Err(error) = write.statements.commit().await {
            self.write_health().note(&StatementFailure::from(&error));
            let refused = is_constraint(&error);
            let error = DatabaseError::from(error);
            // Without a word from SQLite about a rule of the schema, the rows may or may not be stored.
            return Err(match error {
                DatabaseError::Db(error) if !refused => DatabaseError::Away(format!("the commit failed: {error}")),
                error => error,
            }
            .into());
        }
        connections.doubt.clear();
        connections.note_minted(&cursor);
        self.ring();
        connections.check_in_place()?;
        Ok(Committed { value, cursor })
    }

    /// The known state of the storage, as writes found it.
    pub fn write_health(&self) -> &WriteHealth {
        &self.0.write_health
    }

    /// Fails if the storage failed and no probe has succeeded since.
    pub fn check_writable(&self) -> Result<(), DatabaseError> {
        match self.write_health().trouble() {
            None => Ok(()),
            Some(reason) => Err(DatabaseError::Away(format!("writes cannot be stored: {reason}"))),
        }
    }

    /// Stores a row as long as a long request and deletes it again. A success ends the trouble of the storage.
    pub async fn probe_storage(&self) -> Result<(), DatabaseError> {
        for statement in [sql::write_probe::PUT, sql::write_probe::DELETE] {
            let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(statement.execute(tx, []).await?);
            self.write(Scope::All, write).await?;
        }
        self.write_health().note_stored();
        Ok(())
    }
}
