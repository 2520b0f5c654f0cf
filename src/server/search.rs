//! Search: an index of the words of tasks, events and bookmarks, which follows the change log.
//!
//! No trigger feeds the index, and no write waits for it. `job` reads changes from the log, reads the current rows of
//! these changes, and indexes their words in transactions of some milliseconds. So the index is always a little behind.
//! A reader waits a moment for the index, and then learns how far the index got. [`words`] splits a text into words,
//! and [`query`] parses a query. The hits are not made here: `read::search` reads them from the rows.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use super::access::scope::Scope;
use super::change_log::between;
use super::database::{Database, DatabaseError, Position, ReadTransaction};
use super::jobs::BackgroundJob;
use crate::protocol::limits;
use crate::protocol::{Cursor, TaskId};

pub mod query;
pub mod words;

mod job;
mod step;

mod follow;
mod log;
mod removed;
mod rows;

mod expression;
mod tsvector;
mod vocabulary;

mod pace;
mod rebuild;
mod state;
mod write;

use job::IndexJob;
use pace::Pace;
use query::Query;
use state::IndexState;

/// The search index, as its readers see it. Clones are handles on the same index.
#[derive(Clone)]
pub struct SearchIndex {
    database: Database,
    /// Notified when the log has grown.
    log_grew: Arc<Notify>,
    /// How far the index has followed the change log, as the index job last reported it.
    reached: watch::Sender<Position>,
    pace: Arc<Pace>,
    turns: Arc<Semaphore>,
}

/// A snapshot to search in.
pub struct SearchSnapshot<'a> {
    /// The snapshot.
    pub tx: ReadTransaction,
    /// Contains the changes that are in the index of this snapshot.
    pub cursor: Cursor,
    /// Whether the index contains all changes of the snapshot.
    pub complete: bool,
    index: &'a SearchIndex,
    generation: u64,
    _turn: SemaphorePermit<'a>,
}

impl SearchSnapshot<'_> {
    /// Converts the error of a query on the index. Schedules a rebuild if the index is corrupt, or an integrity check
    /// if some page is.
    pub fn failed(&self, error: DbErr) -> DatabaseError {
        self.index.as_index_error(error.into(), self.generation)
    }
}

impl SearchIndex {
    /// The index of a database. `log_grew` is notified when the change log has grown.
    pub fn new(database: Database, log_grew: Arc<Notify>) -> Self {
        let turns = Arc::new(Semaphore::new(limits::SEARCHES));
        let pace = Arc::new(Pace::of(database.backend()));
        Self { database, log_grew, reached: watch::Sender::new(Position::start()), pace, turns }
    }

    /// The database that the index belongs to.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The background job that keeps the index.
    pub fn job(&self) -> impl BackgroundJob {
        IndexJob::new(self.clone())
    }

    /// Takes a snapshot of `scope` to search in. If the index is behind, waits a moment for it to catch up.
    pub async fn begin(&self, scope: Scope) -> Result<SearchSnapshot<'_>, DatabaseError> {
        let Ok(Ok(turn)) = tokio::time::timeout(limits::SEARCH_WAIT, self.turns.acquire()).await else {
            return Err(DatabaseError::Busy);
        };
        let generation = self.database.search_index().generation();
        let (tx, state) = self.snapshot(scope.clone()).await.map_err(|error| self.as_index_error(error, generation))?;
        if self.database.search_index().is_lost() {
            return Err(DatabaseError::Index("the last rebuild failed".to_owned()));
        }
        let end = tx.position();
        let mut found = self.missing(&tx, &state).await?;
        let (mut tx, mut state) = (tx, state);
        let mut waits = self.waits();
        while found > 0 && found <= limits::INDEX_WAIT_CHANGES && !state.is_partial() {
            let Some(wait) = waits.next() else { break };
            drop(tx);
            if self.is_on_postgres() {
                // The tail of the log may not have seen the changes yet.
                self.log_grew.notify_one();
            }
            let mut reached = self.reached.subscribe();
            let _ = tokio::time::timeout(wait, reached.wait_for(|reached| reached.covers(&end))).await;
            (tx, state) = self.snapshot(scope.clone()).await.map_err(|error| self.as_index_error(error, generation))?;
            found = self.missing(&tx, &state).await?;
        }
        // An index that is being built, or is damaged, can lack any row: its cursor contains no change.
        let whole = !state.is_partial() && !self.database.search_index().is_damaged();
        let complete = whole && found == 0;
        let reached = match whole {
            // Without changes in between, the index contains what the snapshot contains.
            true if complete && self.is_on_postgres() => tx.position(),
            true => state.reached(),
            false => Position::start(),
        };
        let cursor = reached.at_least_first().cursor(tx.cursor().epoch());
        Ok(SearchSnapshot { tx, cursor, complete, index: self, generation, _turn: turn })
    }

    /// How long a search waits for the index, at most. On Postgres another server can keep the index, so this one looks
    /// again meanwhile.
    fn waits(&self) -> impl Iterator<Item = Duration> {
        let looks = if self.is_on_postgres() { 4 } else { 1 };
        std::iter::repeat_n(limits::INDEX_WAIT / looks, looks as usize)
    }

    fn is_on_postgres(&self) -> bool {
        self.database.backend() == DbBackend::Postgres
    }

    /// How many changes of the snapshot are missing in its index, up to a few more than a search waits for.
    async fn missing(&self, tx: &ReadTransaction, state: &IndexState) -> Result<u64, DatabaseError> {
        if self.is_on_postgres() && state.is_empty() {
            return Ok(u64::MAX);
        }
        Ok(log::count(tx, &between(&state.reached(), &tx.position()), limits::INDEX_WAIT_CHANGES).await?)
    }

    /// Notes damage that `error` names: the index of this `generation` is rebuilt, or checked where it may be damaged.
    fn note_damage(&self, error: &DatabaseError, generation: u64) {
        if self.is_on_postgres() {
            return;
        }
        match error {
            DatabaseError::Index(_) => self.database.search_index().report_damage(generation),
            DatabaseError::Damaged(_) if !self.database.search_index().is_damaged() => {
                self.database.search_index().request_check();
            }
            DatabaseError::Damaged(_)
            | DatabaseError::Busy
            | DatabaseError::Closed(_)
            | DatabaseError::Away(_)
            | DatabaseError::Storage(_)
            | DatabaseError::Db(_) => {}
        }
    }

    /// Notes damage that `error` names. Returns the error for the caller: while the index is known to be damaged, a
    /// corrupt page counts as damage to the index.
    fn as_index_error(&self, error: DatabaseError, generation: u64) -> DatabaseError {
        self.note_damage(&error, generation);
        match error {
            DatabaseError::Damaged(detail) if self.database.search_index().is_damaged() => DatabaseError::Index(detail),
            error => error,
        }
    }

    async fn snapshot(&self, scope: Scope) -> Result<(ReadTransaction, IndexState), DatabaseError> {
        let tx = self.database.snapshot(scope).await?;
        let state = IndexState::read(&tx).await?;
        Ok((tx, state))
    }
}

/// The expression for `query` within the scope of the transaction and a task, as the index of the engine takes it.
pub async fn expression(tx: &ReadTransaction, query: &Query, task_id: Option<&TaskId>) -> Result<String, DbErr> {
    let project = tx.scope().project().map(scope_of_project);
    let task = task_id.map(|task_id| scope_of_task(task_id.as_str()));
    let scope: Vec<String> = project.into_iter().chain(task).collect();
    if tx.get_database_backend() == DbBackend::Postgres {
        return Ok(expression::tsquery(query, &scope));
    }
    let words = vocabulary::words(tx, query).await?;
    Ok(expression::fts5(query, &scope, &words))
}

/// The word that stands for a project in the index. It is hexadecimal, since a project can be any text.
fn scope_of_project(project: &str) -> String {
    project.bytes().fold("p".to_owned(), |word, byte| format!("{word}{byte:02x}"))
}

/// The word that stands for a task in the index.
fn scope_of_task(task_id: &str) -> String {
    format!("t{}", task_id.replace('-', ""))
}
