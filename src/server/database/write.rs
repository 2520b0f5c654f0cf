//! The only way to write: begin the transaction, run the verbs in it, commit it.
//!
//! The check that a commit happened and the cursor apart from the outcome belong into [`Database::write`]. No other
//! place may do them. The transaction carries the scope of the caller, and the verbs find their rows in it with
//! [`in_scope`](super::in_scope).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::error_kind::is_constraint;
use super::postgres::connections::{ServerConnections, WriteOutcome};
use super::sqlite::connections::FileConnections;
use super::transaction::{StatementFailure, Statements, WriteTransaction};
use super::write_health::WriteHealth;
use super::{Database, DatabaseError, Open, sql};
use crate::protocol::Cursor;
use crate::server::access::scope::Scope;

/// How often a transaction runs that meets another one each time.
const MOST_TRIES: u32 = 8;

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
    /// Runs `verbs` in a transaction that writes and commits it. An error of `verbs` rolls everything back.
    ///
    /// On a file it is the only such transaction at its time, and waits for the write lock first. On Postgres it is one
    /// of several, and runs again if it met another one: a deadlock, or a serialization failure. After the commit the
    /// tail of the log is woken. A future that is dropped before its end leaves no transaction open.
    pub async fn write<T, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E> + Clone,
    ) -> Result<Committed<T>, E> {
        let mut tries = 1;
        loop {
            let met_another = AtomicBool::new(false);
            match self.attempt(scope.clone(), verbs.clone(), &met_another).await {
                Err(_) if met_another.load(Ordering::Relaxed) && tries < MOST_TRIES => {
                    // At random: two that met would meet again.
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=5 << tries.min(5)))).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Runs `verbs` like [`Database::write`], but never again.
    pub(super) async fn write_once<T, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<Committed<T>, E> {
        self.attempt(scope, verbs, &AtomicBool::new(false)).await
    }

    /// Runs `verbs` once. Sets `met_another` if the transaction failed because of another one.
    async fn attempt<T, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E>,
        met_another: &AtomicBool,
    ) -> Result<Committed<T>, E> {
        match self.opened()? {
            Open::File(open) => self.write_to_file(&open, scope, verbs).await,
            Open::Server(open) => self.write_to_server(&open, scope, verbs, met_another).await,
        }
    }

    async fn write_to_file<T, E: From<DatabaseError>>(
        &self,
        connections: &FileConnections,
        scope: Scope,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<Committed<T>, E> {
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

    async fn write_to_server<T, E: From<DatabaseError>>(
        &self,
        connections: &ServerConnections,
        scope: Scope,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, E>,
        met_another: &AtomicBool,
    ) -> Result<Committed<T>, E> {
        let transaction = connections.begin_write().await.inspect_err(|error| self.note_failed_write(error))?;
        let statements = Statements::of(transaction, Counter::default()).with_patience(connections.patience);
        let write = WriteTransaction { scope, statements };
        let known = self.0.read_cache.reached();
        // The cursor is known before the commit, so that a write that was committed cannot fail any more.
        let done = match verbs(&write).await {
            Ok(value) => {
                let outcome = connections.written(&write, known.as_ref()).await;
                outcome.map(|outcome| (value, outcome)).map_err(E::from)
            }
            Err(error) => Err(error),
        };
        if let Some(failure) = write.statements.failure() {
            self.write_health().note(failure);
            met_another.store(failure.is_conflict, Ordering::Relaxed);
        }
        let (value, WriteOutcome { cursor, has_logged, has_grown }) = done?;
        if let Err(error) = write.statements.commit().await {
            let failure = StatementFailure::from(&error);
            self.write_health().note(&failure);
            met_another.store(failure.is_conflict, Ordering::Relaxed);
            // Without a word from Postgres about a rule of the schema, the rows may or may not be stored.
            let error = match DatabaseError::from(error) {
                DatabaseError::Db(error) if !failure.is_constraint => {
                    DatabaseError::Away(format!("the commit failed: {error}"))
                }
                error => error,
            };
            return Err(error.into());
        }
        if !has_grown {
            // The cache knows of every change in the cursor.
            self.note_nothing_between(known.as_ref(), &cursor);
        }
        connections.note_minted(&cursor);
        if has_grown {
            self.ring();
        }
        if has_logged {
            self.ring_others();
        }
        Ok(Committed { value, cursor })
    }

    fn note_failed_write(&self, error: &DatabaseError) {
        if let DatabaseError::Storage(detail) = error {
            let (is_constraint, is_conflict) = (false, false);
            let failure = StatementFailure { detail: detail.clone(), is_constraint, is_of_storage: true, is_conflict };
            self.write_health().note(&failure);
        }
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
            let write = async move |tx: &WriteTransaction| Ok::<_, DatabaseError>(statement.execute(tx, []).await?);
            self.write(Scope::All, write).await?;
        }
        self.write_health().note_stored();
        Ok(())
    }
}
