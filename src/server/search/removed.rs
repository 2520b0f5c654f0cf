//! Removes documents that have no row any more.
//!
//! The log names a deleted task, but not its events. It names a deleted event, but not its position. It counts the
//! tasks of a purge, but does not name them. So queries have to find the documents without a row.

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::{SearchIndex, rows};
use crate::server::access::scope::Scope;
use crate::server::database::sql::search;
use crate::server::database::{Database, DatabaseError};

/// How many documents one step of a walk looks at.
const DOCUMENTS_PER_LOOK: i64 = 2_000;

#[derive(FromQueryResult)]
struct Document {
    id: i64,
    gone: bool,
}

#[derive(FromQueryResult)]
struct Task {
    task_id: StoredText,
}

/// Looks at the next documents below the id `at`. Returns the documents without a row, and the id from which to
/// continue.
pub(super) async fn below(tx: &impl ConnectionTrait, at: Option<&str>) -> Result<(Vec<i64>, Option<String>), DbErr> {
    let at = at.and_then(|at| at.parse().ok()).unwrap_or(i64::MAX);
    let looked_at: Vec<Document> = search::DOCUMENTS_BELOW.all(tx, [at.into(), DOCUMENTS_PER_LOOK.into()]).await?;
    let next = looked_at.last().map(|document| document.id.to_string());
    Ok((looked_at.into_iter().filter(|document| document.gone).map(|document| document.id).collect(), next))
}

/// The tasks that have documents but no row.
pub(super) async fn tasks(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let tx = database.snapshot(Scope::All).await?;
    let tasks: Vec<Task> = search::GONE_TASKS.all(&tx, []).await?;
    Ok(tasks.into_iter().map(|task| task.task_id.into()).collect())
}

/// The events among `ids` that have no row.
pub(super) async fn events(tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<String>, DbErr> {
    let gone: Vec<Task> = search::GONE_EVENTS.all(tx, [rows::list(ids).into()]).await?;
    Ok(gone.into_iter().map(|event| event.task_id.into()).collect())
}

/// The documents of the bookmarks among `ids` that have no row.
pub(super) async fn bookmarks(tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<i64>, DbErr> {
    let gone: Vec<Document> = search::GONE_DOCUMENTS_OF_BOOKMARKS.all(tx, [rows::list(ids).into()]).await?;
    Ok(gone.into_iter().map(|document| document.id).collect())
}

/// Deletes the documents of a task whose rows are gone: all of them, if the task is gone.
pub(super) async fn sweep(index: &SearchIndex, task_id: &str) -> Result<(), DatabaseError> {
    loop {
        let mut batch = index.batch();
        let most = batch.bounds.removals;
        let (tx, state) = index.snapshot(Scope::All).await?;
        let values = [task_id.into(), most.into()];
        let gone: Vec<Document> = search::GONE_DOCUMENTS_OF_TASK.all(&tx, values).await?;
        let is_there = !rows::IndexedTable::Tasks.named(&tx, &[task_id]).await?.is_empty();
        drop(tx);
        let last = gone.len() < most as usize;
        batch.gone = gone.into_iter().map(|document| document.id).collect();
        batch.gone_task = (last && !is_there).then(|| task_id.to_owned());
        batch.write(index, &state, &state).await?;
        if last {
            return Ok(());
        }
    }
}
