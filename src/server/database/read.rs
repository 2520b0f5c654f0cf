//! The only way to read for an answer: take a snapshot, run the queries in it, encode the answer once.
//!
//! A cache of answers, one query for concurrent reads of equal keys and the wait for `Requery-At-Least` belong into
//! [`Database::read`]. No other place may do them. The transaction carries the scope of the caller: lists are limited to
//! it, and a row is found by its id with [`in_scope`](super::in_scope).

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use sea_orm::{DbErr, TransactionTrait};
use serde::Serialize;

use super::transaction::{ReadTransaction, Statements};
use super::{Database, DatabaseError};
use crate::protocol::Cursor;
use crate::server::access::scope::Scope;

/// The name of a read: its operation and its parameters. Two reads of equal scope and equal key have equal answers in
/// one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadKey {
    operation: &'static str,
    parameters: Vec<(&'static str, String)>,
}

/// The answer to a read: its JSON, encoded once.
#[derive(Clone, Debug)]
pub struct Answer {
    bytes: Vec<u8>,
    etag: String,
    cursor: Cursor,
}

impl ReadKey {
    /// The key of an operation, without parameters.
    pub fn new(operation: &'static str) -> Self {
        Self { operation, parameters: Vec::new() }
    }

    /// Adds a parameter. A parameter that was left out is left out here too.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Option<impl fmt::Display>) -> Self {
        self.parameters.extend(value.map(|value| (name, value.to_string())));
        self
    }
}

impl fmt::Display for ReadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        self.parameters.iter().try_for_each(|(name, value)| write!(f, " {name}={value:?}"))
    }
}

impl Answer {
    /// Encodes `value`. `cursor` contains the changes that the value shows.
    fn new(value: &impl Serialize, cursor: Cursor) -> Result<Self, DatabaseError> {
        let bytes = serde_json::to_vec(value).map_err(|error| DatabaseError::Db(DbErr::Json(error.to_string())))?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Ok(Self { bytes, etag: format!("W/\"{:016x}\"", hasher.finish()), cursor })
    }

    /// The JSON.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The JSON.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The entity tag of the JSON.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The changes that the answer contains.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }
}

impl Database {
    /// Runs `queries` in one snapshot and makes the answer. The answer has the cursor of the snapshot.
    ///
    /// Few reads run at once, and the others wait here: a write never waits behind more of them for a core.
    pub async fn read<T: Serialize, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        at_least: Option<&Cursor>,
        key: ReadKey,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<T, E>,
    ) -> Result<Answer, E> {
        let _turn = self.0.read_turns.take().await?;
        let in_snapshot = async move |scope| {
            let read = self.snapshot(scope).await?;
            let value = queries(&read).await?;
            Ok((value, read.cursor.clone()))
        };
        self.read_with_cursor(scope, at_least, key, in_snapshot).await
    }

    /// Makes the answer of a read model that can be behind the rows, such as the search index. `queries` takes its own
    /// snapshot of the scope, and returns the value with the cursor of the changes that the value shows.
    pub async fn read_with_cursor<T: Serialize, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        at_least: Option<&Cursor>,
        key: ReadKey,
        queries: impl AsyncFnOnce(Scope) -> Result<(T, Cursor), E>,
    ) -> Result<Answer, E> {
        // One SQLite database has no replicas: a snapshot that begins now contains every commit before it, and so every
        // cursor of this run. A cursor of another epoch sets no requirement. The search index always waits a moment.
        let _ = at_least;
        tracing::debug!(%key, %scope, "read");
        let (value, cursor) = queries(scope).await?;
        Ok(Answer::new(&value, cursor)?)
    }

    /// Runs `queries` in one snapshot, in turn with the reads of answers, for a question of an open stream.
    pub async fn look_up<T>(
        &self,
        scope: Scope,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<T, DbErr>,
    ) -> Result<T, DatabaseError> {
        let _turn = self.0.read_turns.take().await?;
        Ok(queries(&self.snapshot(scope).await?).await?)
    }

    /// One snapshot of the projects in `scope`, for followers of the log and for streams. Answers go through
    /// [`Database::read`] and [`Database::read_with_cursor`].
    pub async fn snapshot(&self, scope: Scope) -> Result<ReadTransaction, DatabaseError> {
        let connections = self.connections()?;
        let transaction = connections.readers.begin().await.map_err(DatabaseError::from)?;
        // The cursor is read first and in the same snapshot, so that an answer never claims more than it contains.
        let cursor = connections.cursor(&transaction).await?;
        if connections.note_minted(&cursor) {
            // A commit that no reader has seen yet, maybe of another process: the tail should read it as soon as a
            // reader does.
            self.ring();
        }
        Ok(ReadTransaction { cursor, scope, statements: Statements::of(transaction, self.0.metrics.rows_read.clone()) })
    }
}
