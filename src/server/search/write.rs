//! The only code that writes documents to the index. One transaction writes some documents and the new progress.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::rows::IndexedRow;
use super::state::IndexState;
use super::{scope_of_project, scope_of_task, words};
use crate::server::access::scope::Scope;
use crate::server::database::sql::search_writes;
use crate::server::database::{Database, DatabaseError, WriteTransaction};

/// How much text one transaction indexes: it holds the write lock for some milliseconds.
pub(super) const BYTES_PER_TRANSACTION: usize = 64 * 1024;
/// How many pages of the index each transaction merges, if there are segments to merge. That is about as many pages as
/// the transaction adds, for each level of the index.
const MERGED: i64 = 64;

/// The work of one transaction.
#[derive(Debug, Default)]
pub(super) struct IndexBatch {
    /// Rows whose documents are written, each with the id of its document.
    pub(super) rows: Vec<(i64, IndexedRow)>,
    /// Documents to delete.
    pub(super) gone: Vec<i64>,
    /// A task that is deleted and will have no documents after this transaction.
    pub(super) gone_task: Option<String>,
    /// Tasks and their projects: all documents of such a task are under this project.
    pub(super) settled: Vec<(String, String)>,
    /// The size of the texts in `rows`.
    pub(super) bytes: usize,
}

impl IndexBatch {
    /// Takes rows while there is room, but at least one. Returns how many it took.
    pub(super) fn take(&mut self, rows: Vec<IndexedRow>, state: &mut IndexState, walking: bool) -> usize {
        let mut taken = 0;
        for row in rows {
            if !row.is_indexed() && !self.holds(row.bytes()) {
                break;
            }
            self.add(row, state, walking);
            taken += 1;
        }
        taken
    }

    /// Takes a row, unless its document is up to date.
    pub(super) fn add(&mut self, row: IndexedRow, state: &mut IndexState, walking: bool) {
        if !row.is_indexed() {
            self.bytes += row.bytes();
            let document = row.document.unwrap_or_else(|| state.new_document(row.is_history(), walking));
            self.rows.push((document, row));
        }
    }

    /// Whether rows with this much text still fit. Rows of any size fit into an empty batch.
    pub(super) fn holds(&self, bytes: usize) -> bool {
        self.rows.is_empty() || self.bytes + bytes <= BYTES_PER_TRANSACTION
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.gone.is_empty() && self.gone_task.is_none() && self.settled.is_empty()
    }

    /// Writes the batch and the progress `after`. Fails as busy if the progress is no longer `before`: another writer
    /// has set it. Returns how long the write lock was held.
    pub(super) async fn write(
        mut self,
        database: &Database,
        before: &IndexState,
        after: &IndexState,
    ) -> Result<Duration, DatabaseError> {
        if self.is_empty() && before == after {
            return Ok(Duration::ZERO);
        }
        // The documents are inserted in the order of their ids, so that FTS5 can write all of them at once.
        self.rows.sort_by_key(|(document, _)| *document);
        let tasks = json!(
            self.rows.iter().map(|(_, row)| json!([row.task_id.as_str(), row.project.as_str()])).collect::<Vec<_>>()
        );
        let documents = json!(self.rows.iter().map(|(id, row)| document(*id, row)).collect::<Vec<_>>());
        let indexed = json!(self.rows.iter().map(|(id, row)| indexed(*id, row)).collect::<Vec<_>>());
        let replaced = self.rows.iter().filter_map(|(_, row)| row.document);
        let unindexed = json!(replaced.chain(self.gone.iter().copied()).collect::<Vec<_>>());

        let write = async |tx: &WriteTransaction| {
            let began = Instant::now();
            if set_progress(tx, before, after).await? == 0 {
                return Err(DatabaseError::Busy);
            }
            for (task_id, project) in &self.settled {
                search_writes::SETTLE_TASK.execute(tx, [task_id.as_str().into(), project.as_str().into()]).await?;
            }
            if unindexed != json!([]) {
                search_writes::REMOVE_TEXTS.execute(tx, [unindexed.to_string().into()]).await?;
            }
            if !self.gone.is_empty() {
                search_writes::REMOVE_DOCUMENTS.execute(tx, [json!(self.gone).to_string().into()]).await?;
            }
            if let Some(task_id) = &self.gone_task {
                search_writes::REMOVE_TASK.execute(tx, [task_id.as_str().into()]).await?;
            }
            if !self.rows.is_empty() {
                search_writes::ADD_TASKS.execute(tx, [tasks.to_string().into()]).await?;
                search_writes::SAVE_DOCUMENTS.execute(tx, [documents.to_string().into()]).await?;
                search_writes::ADD_TEXTS.execute(tx, [indexed.to_string().into()]).await?;
                search_writes::MERGE.execute(tx, [MERGED.into()]).await?;
            }
            Ok(began)
        };
        let (began, _) = database.write(Scope::All, write).await?.into_parts();
        Ok(began.elapsed())
    }
}

/// Merges some more pages of the index. Returns whether there is more to merge, and how long the write lock was held.
pub(super) async fn merge(database: &Database) -> Result<(bool, Duration), DatabaseError> {
    let write = async |tx: &WriteTransaction| {
        let began = Instant::now();
        let before = search_writes::TOTAL_CHANGES.number(tx, []).await?;
        search_writes::MERGE.execute(tx, [MERGED.into()]).await?;
        // A merge without any work still counts as one changed row, says the documentation of FTS5.
        let more = search_writes::TOTAL_CHANGES.number(tx, []).await? - before > 1;
        Ok::<_, DatabaseError>((more, began))
    };
    let ((more, began), _) = database.write(Scope::All, write).await?.into_parts();
    Ok((more, began.elapsed()))
}

/// Begins to walk all rows. The documents of the walk get lower ids than the documents of rows that are written
/// meanwhile.
pub(super) async fn begin_walk(database: &Database) -> Result<(), DatabaseError> {
    let write = async |tx: &WriteTransaction| {
        search_writes::BEGIN_WALK.execute(tx, []).await?;
        Ok::<_, DatabaseError>(())
    };
    database.write(Scope::All, write).await?;
    Ok(())
}

fn document(id: i64, row: &IndexedRow) -> serde_json::Value {
    json!([id, row.task_id.as_str(), row.position, row.bookmark_id.as_deref(), row.fresh_fingerprint()])
}

fn indexed(id: i64, row: &IndexedRow) -> serde_json::Value {
    let scope = format!("{} {}", scope_of_project(&row.project), scope_of_task(&row.task_id));
    json!([id, words::folded(&row.title), words::folded(row.text()), scope])
}

async fn set_progress(tx: &impl ConnectionTrait, before: &IndexState, after: &IndexState) -> Result<u64, DbErr> {
    let values = [
        (&after.reached()).into(),
        after.document.into(),
        after.stage.clone().into(),
        after.stage_at.clone().into(),
        after.stage_document.into(),
        (&before.reached()).into(),
        before.document.into(),
        before.stage.clone().into(),
        before.stage_at.clone().into(),
    ];
    search_writes::MOVE_ON.execute(tx, values).await
}
