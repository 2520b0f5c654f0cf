//! The only code that writes documents to the index. One transaction writes some documents and the new progress.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use serde_json::json;

use super::pace::StepBounds;
use super::rows::IndexedRow;
use super::state::IndexState;
use super::{SearchIndex, scope_of_project, scope_of_task, tsvector, words};
use crate::server::database::sql::search_writes;
use crate::server::database::{BackgroundWork, Database, DatabaseError, WriteTransaction};

/// The work of one transaction.
#[derive(Debug)]
pub(super) struct IndexBatch {
    pub(super) bounds: StepBounds,
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

impl SearchIndex {
    /// An empty batch.
    pub(super) fn batch(&self) -> IndexBatch {
        IndexBatch {
            bounds: self.pace.bounds(),
            rows: Vec::new(),
            gone: Vec::new(),
            gone_task: None,
            settled: Vec::new(),
            bytes: 0,
        }
    }
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
        self.rows.is_empty() || (self.bytes + bytes <= self.bounds.bytes && self.rows.len() < self.bounds.rows)
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.gone.is_empty() && self.gone_task.is_none() && self.settled.is_empty()
    }

    /// Writes the batch and the progress `after`. Fails as busy if the progress is no longer `before`: another writer
    /// has set it.
    pub(super) async fn write(
        mut self,
        index: &SearchIndex,
        before: &IndexState,
        after: &IndexState,
    ) -> Result<(), DatabaseError> {
        if self.is_empty() && before == after {
            return Ok(());
        }
        // The documents are inserted in the order of their ids, so that FTS5 can write all of them at once.
        self.rows.sort_by_key(|(document, _)| *document);
        let tasks = json!(
            self.rows.iter().map(|(_, row)| json!([row.task_id.as_str(), row.project.as_str()])).collect::<Vec<_>>()
        );
        let documents = json!(self.rows.iter().map(|(id, row)| document(*id, row)).collect::<Vec<_>>());
        let backend = index.database.backend();
        let indexed = json!(self.rows.iter().map(|(id, row)| indexed(backend, *id, row)).collect::<Vec<_>>());
        let replaced = self.rows.iter().filter_map(|(_, row)| row.document);
        let unindexed = json!(replaced.chain(self.gone.iter().copied()).collect::<Vec<_>>());

        let write = async |tx: &WriteTransaction| {
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
                if backend != DbBackend::Postgres {
                    search_writes::MERGE.execute(tx, [self.bounds.pages.into()]).await?;
                }
            }
            Ok(())
        };
        let step = index.database.write_in_background(BackgroundWork::Upkeep, write).await?;
        let StepBounds { bytes, rows, removals, .. } = self.bounds;
        let full = self.bytes > bytes / 2 || self.rows.len() > rows / 2 || self.gone.len() > removals as usize / 2;
        index.pace.note(step.held, full);
        Ok(())
    }
}

/// Merges some more pages of the index. Returns whether there is more to merge. Postgres merges its index by itself.
pub(super) async fn merge(index: &SearchIndex) -> Result<bool, DatabaseError> {
    if index.database.backend() == DbBackend::Postgres {
        return Ok(false);
    }
    let pages = index.pace.bounds().pages;
    let write = async |tx: &WriteTransaction| {
        let before = search_writes::TOTAL_CHANGES.number(tx, []).await?;
        search_writes::MERGE.execute(tx, [pages.into()]).await?;
        // A merge without any work still counts as one changed row, says the documentation of FTS5.
        let more = search_writes::TOTAL_CHANGES.number(tx, []).await? - before > 1;
        Ok::<_, DatabaseError>(more)
    };
    let step = index.database.write_in_background(BackgroundWork::Upkeep, write).await?;
    index.pace.note(step.held, step.value);
    Ok(step.value)
}

/// Begins to walk all rows. The documents of the walk get lower ids than the documents of rows that are written
/// meanwhile. Fails as busy if the progress is no longer `before` on Postgres.
pub(super) async fn begin_walk(database: &Database, before: &IndexState) -> Result<(), DatabaseError> {
    let write = async |tx: &WriteTransaction| {
        let begun = match tx.get_database_backend() {
            DbBackend::Postgres => {
                search_writes::BEGIN_WALK.execute(tx, [words::VERSION.into(), before.step.into()]).await?
            }
            _ => search_writes::BEGIN_WALK.execute(tx, [words::VERSION.into()]).await?,
        };
        if begun == 0 { Err(DatabaseError::Busy) } else { Ok(()) }
    };
    database.write_in_background(BackgroundWork::Upkeep, write).await?;
    Ok(())
}

fn document(id: i64, row: &IndexedRow) -> serde_json::Value {
    json!([id, row.task_id.as_str(), row.position, row.bookmark_id.as_deref(), row.fresh_fingerprint()])
}

fn indexed(backend: DbBackend, id: i64, row: &IndexedRow) -> serde_json::Value {
    let (project, task) = (scope_of_project(&row.project), scope_of_task(&row.task_id));
    match backend {
        DbBackend::Postgres => json!([id, tsvector::of(id, &row.title, row.text(), &[project, task])]),
        _ => json!([id, words::folded(&row.title), words::folded(row.text()), format!("{project} {task}")]),
    }
}

async fn set_progress(tx: &impl ConnectionTrait, before: &IndexState, after: &IndexState) -> Result<u64, DbErr> {
    let backend = tx.get_database_backend();
    let mut values = vec![
        after.reached().to_value(backend),
        after.document.into(),
        after.stage.clone().into(),
        after.stage_at.clone().into(),
        after.stage_document.into(),
    ];
    match backend {
        DbBackend::Postgres => values.extend([after.partly_column(), before.step.into()]),
        _ => values.extend([
            before.reached().to_value(backend),
            before.document.into(),
            before.stage.clone().into(),
            before.stage_at.clone().into(),
        ]),
    }
    search_writes::MOVE_ON.execute(tx, values).await
}
