//! Search: an index of the words of tasks, events and bookmarks, which follows the change log.
//!
//! No trigger feeds it and no write waits for it: `job` reads what the log says has changed, looks at the rows as
//! they are now, and brings the index there in transactions of some milliseconds. So the index is always a little
//! behind; a reader waits for a moment, and is then told how far it got. [`words`] says what a word is, [`query`] what
//! is asked for. What is shown is not here: the answer is read from the rows, in `read::search`.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};
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
mod removed;
mod rows;
mod vocabulary;

mod pace;
mod rebuild;
mod state;
mod write;

use job::IndexJob;
use query::Query;
use state::IndexState;

/// How long a reader waits for the index to hold what was written before it asked.
const INDEX_TIMEOUT: Duration = Duration::from_millis(100);
/// How many changes behind that can be hoped for.
const MOST_AWAITED: u64 = 1_000;

/// The index, as those see it who ask it; clones are the same.
#[derive(Clone)]
pub struct SearchIndex {
    database: Database,
    /// Rung when the log has grown.
    log_grew: Arc<Notify>,
    /// How far the index has followed the change log, as far as is known.
    reached: watch::Sender<Position>,
    turns: Arc<Semaphore>,
}

/// A snapshot to search in.
pub struct SearchSnapshot<'a> {
    /// The snapshot.
    pub tx: ReadTransaction,
    /// What the index of this snapshot contains.
    pub cursor: Cursor,
    /// Whether that is all the snapshot has.
    pub complete: bool,
    index: &'a SearchIndex,
    generation: u64,
    _turn: SemaphorePermit<'a>,
}

impl SearchSnapshot<'_> {
    /// What asking the index failed with. If that says that it is damaged, it is made again; if it says that something
    /// is, it is looked at.
    pub fn failed(&self, error: DbErr) -> DatabaseError {
        self.index.as_index_error(error.into(), self.generation)
    }
}

impl SearchIndex {
    /// The index of a database. `log_grew` is rung when the change log has grown.
    pub fn new(database: Database, log_grew: Arc<Notify>) -> Self {
        let turns = Arc::new(Semaphore::new(limits::SEARCHES));
        Self { database, log_grew, reached: watch::Sender::new(Position::from_column(0)), turns }
    }

    /// The background job that keeps the index.
    pub fn job(&self) -> impl BackgroundJob {
        IndexJob::new(self.clone())
    }

    /// A snapshot whose index has what was written before, if that is so within a moment.
    pub async fn begin(&self) -> Result<SearchSnapshot<'_>, DatabaseError> {
        let Ok(Ok(turn)) = tokio::time::timeout(limits::SEARCH_WAIT, self.turns.acquire()).await else {
            return Err(DatabaseError::Busy);
        };
        let generation = self.database.search_index().generation();
        let (tx, state) = self.snapshot().await.map_err(|error| self.as_index_error(error, generation))?;
        if self.database.search_index().is_lost() {
            return Err(DatabaseError::Index("it could not be made again".to_owned()));
        }
        let end = tx.position();
        let missing = between(&state.reached(), &end);
        let (tx, state) = if missing.is_empty() || missing.most_changes() > MOST_AWAITED || state.stage.is_some() {
            (tx, state)
        } else {
            drop(tx);
            let mut reached = self.reached.subscribe();
            let _ = tokio::time::timeout(INDEX_TIMEOUT, reached.wait_for(|reached| reached.covers(&end))).await;
            self.snapshot().await.map_err(|error| self.as_index_error(error, generation))?
        };
        // An index that is being built holds some of everything, and all of nothing. So does one that is damaged.
        let whole = state.stage.is_none() && !self.database.search_index().is_damaged();
        let reached = if whole { state.reached() } else { Position::from_column(0) };
        let cursor = reached.at_least_first().cursor(tx.cursor().epoch());
        let complete = whole && reached.covers(&tx.position());
        Ok(SearchSnapshot { tx, cursor, complete, index: self, generation, _turn: turn })
    }

    /// Notes damage that `error` names: the index of this `generation` is rebuilt, or checked where it may be damaged.
    fn note_damage(&self, error: &DatabaseError, generation: u64) {
        match error {
            DatabaseError::Index(_) => self.database.search_index().report_damage(generation),
            DatabaseError::Damaged(_) if !self.database.search_index().is_damaged() => {
                self.database.search_index().request_check();
            }
            DatabaseError::Damaged(_) | DatabaseError::Busy | DatabaseError::Away(_) | DatabaseError::Db(_) => {}
        }
    }

    /// The same, and the error that it is: where the index is known to be damaged, that is what is.
    fn as_index_error(&self, error: DatabaseError, generation: u64) -> DatabaseError {
        self.note_damage(&error, generation);
        match error {
            DatabaseError::Damaged(detail) if self.database.search_index().is_damaged() => DatabaseError::Index(detail),
            error => error,
        }
    }

    async fn snapshot(&self) -> Result<(ReadTransaction, IndexState), DatabaseError> {
        let tx = self.database.snapshot().await?;
        let state = IndexState::read(&tx).await?;
        Ok((tx, state))
    }
}

/// What the index is asked for `query` within a scope and a task.
pub async fn expression(
    tx: &impl ConnectionTrait,
    query: &Query,
    scope: &Scope,
    task_id: Option<&TaskId>,
) -> Result<String, DbErr> {
    let project = scope.project().map(scope_of_project);
    let task = task_id.map(|task_id| scope_of_task(task_id.as_str()));
    let words = vocabulary::words(tx, query).await?;
    Ok(query.expression(&project.into_iter().chain(task).collect::<Vec<_>>(), &words))
}

/// A project as a word: any text is a project.
fn scope_of_project(project: &str) -> String {
    project.bytes().fold("p".to_owned(), |word, byte| format!("{word}{byte:02x}"))
}

fn scope_of_task(task_id: &str) -> String {
    format!("t{}", task_id.replace('-', ""))
}
