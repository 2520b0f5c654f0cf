//! Transactions: one snapshot to read from, or the one transaction that writes.
//!
//! Both run queries only through [`ConnectionTrait`]. The transaction inside is private to `database`, so every query
//! passes here, and no code outside can commit. A transaction that is dropped rolls back.
//!
//! A transaction whose statement failed takes no further statement. A database can end the transaction by itself when a
//! statement fails, and the next statements would then be transactions of their own.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::driver_error::silent;
use super::error_kind::{is_conflict, is_constraint, is_of_storage};
use super::{Database, Position};
use crate::protocol::Cursor;
use crate::server::access::scope::Scope;

/// The target of the log for the texts of queries.
const SQL_TARGET: &str = "requery::sql";

/// One snapshot of the database.
pub struct ReadTransaction {
    pub(super) database: Database,
    pub(super) cursor: Cursor,
    pub(super) scope: Scope,
    pub(super) statements: Statements,
}

/// A transaction that writes: the only one at its time on SQLite.
pub struct WriteTransaction {
    pub(super) scope: Scope,
    pub(super) statements: Statements,
}

/// The statements of one transaction, until the first that fails.
pub(super) struct Statements {
    transaction: DatabaseTransaction,
    failure: OnceLock<StatementFailure>,
    rows: Counter,
    /// How long a statement waits for its answer. None: as long as it takes, since no network is in between.
    patience: Option<Duration>,
}

/// The first statement that failed.
#[derive(Clone, Debug)]
pub(super) struct StatementFailure {
    /// The message of the database.
    pub(super) detail: String,
    /// Whether the statement only broke a rule of the schema. The connection is sound then.
    pub(super) is_constraint: bool,
    /// Whether the storage failed.
    pub(super) is_of_storage: bool,
    /// Whether the transaction met another one, and can be run again.
    pub(super) is_conflict: bool,
}

impl From<&DbErr> for StatementFailure {
    fn from(error: &DbErr) -> Self {
        Self {
            detail: error.to_string(),
            is_constraint: is_constraint(error),
            is_of_storage: is_of_storage(error),
            is_conflict: is_conflict(error),
        }
    }
}

impl ReadTransaction {
    /// The changes that the snapshot contains.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The changes that the snapshot contains, for a follower of the change log.
    pub fn position(&self) -> Position {
        Position::of(&self.cursor)
    }

    /// Counts keys that a query returned in one row: they are no rows of an answer, and yet the query read each of
    /// them.
    pub(in crate::server) fn count_keys(&self, keys: usize) {
        self.database.metrics().keys_read.inc_by(keys as u64);
    }

    /// Says that the snapshot lacks rows. The tail of the log opens the database again, and every stream resyncs.
    pub(in crate::server) fn doubt(&self, reason: &str) {
        self.database.doubt(reason.to_owned());
    }

    /// The projects that the caller reads.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl WriteTransaction {
    /// The projects that the caller writes.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl Statements {
    /// `rows` counts the rows that the queries of the transaction return.
    pub(super) fn of(transaction: DatabaseTransaction, rows: Counter) -> Self {
        Self { transaction, failure: OnceLock::new(), rows, patience: None }
    }

    /// The same with a bound on the wait for the answer of each statement.
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        match self.patience {
            None => answer.await,
            Some(patience) => tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(silent())),
        }
    }

    /// The first statement that failed.
    pub(super) fn failure(&self) -> Option<&StatementFailure> {
        self.failure.get()
    }

    /// Commits the transaction.
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        self.admit()?;
        let patience = self.patience;
        match patience {
            None => self.transaction.commit().await,
            Some(patience) => {
                let committed = tokio::time::timeout(patience, self.transaction.commit()).await;
                committed.unwrap_or_else(|_| Err(silent()))
            }
        }
    }

    fn admit(&self) -> Result<&DatabaseTransaction, DbErr> {
        match self.failure.get() {
            None => Ok(&self.transaction),
            Some(failure) => Err(DbErr::Custom(format!("a statement failed before: {}", failure.detail))),
        }
    }

    /// Runs a query and counts its rows.
    async fn query_all(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        trace(&statement);
        let rows = self.note(self.in_time(self.admit()?.query_all_raw(statement)).await)?;
        self.rows.inc_by(rows.len() as u64);
        Ok(rows)
    }

    /// Runs a query of one row and counts it.
    async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        trace(&statement);
        let row = self.note(self.in_time(self.admit()?.query_one_raw(statement)).await)?;
        self.rows.inc_by(row.is_some().into());
        Ok(row)
    }

    fn note<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &result {
            let _ = self.failure.set(error.into());
        }
        result
    }
}

/// Logs the text of a query in one line, without its values. A test reads the plan of each query from this log.
fn trace(statement: &Statement) {
    if tracing::enabled!(target: SQL_TARGET, tracing::Level::TRACE) {
        let words: Vec<&str> = statement.sql.split_whitespace().collect();
        tracing::trace!(target: SQL_TARGET, "{}", words.join(" "));
    }
}

macro_rules! run_queries {
    ($($name:ty)*) => {$(
        #[async_trait]
        impl ConnectionTrait for $name {
            fn get_database_backend(&self) -> DbBackend {
                self.statements.transaction.get_database_backend()
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                let answer = self.statements.admit()?.execute_raw(statement);
                self.statements.note(self.statements.in_time(answer).await)
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
                let answer = self.statements.admit()?.execute_unprepared(sql);
                self.statements.note(self.statements.in_time(answer).await)
            }

            async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
                self.statements.query_one(statement).await
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                self.statements.query_all(statement).await
            }
        }
    )*};
}

run_queries! { ReadTransaction WriteTransaction }
