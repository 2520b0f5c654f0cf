//! Documents whose rows are gone. The log tells of a deleted task, but not of its events; of a deleted event, but not
//! where it was; of a purge, but not of which tasks. So what is gone is looked for.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::pace::rest_after;
use super::write::IndexBatch;
use super::{SearchIndex, rows};
use crate::server::database::sql::search;
use crate::server::database::{Database, DatabaseError};

/// How many documents one transaction deletes.
const DOCUMENTS_PER_TRANSACTION: u64 = 500;
/// How many are looked at together where all are.
const DOCUMENTS_PER_LOOK: i64 = 2_000;

#[derive(FromQueryResult)]
struct Document {
    id: i64,
    gone: bool,
}

#[derive(FromQueryResult)]
struct Task {
    task_id: String,
}

/// Those among the next documents below `at`, and where the ones after these begin.
pub(super) async fn below(tx: &impl ConnectionTrait, at: Option<&str>) -> Result<(Vec<i64>, Option<String>), DbErr> {
    let at = at.and_then(|at| at.parse().ok()).unwrap_or(i64::MAX);
    let looked_at: Vec<Document> = search::DOCUMENTS_BELOW.all(tx, [at.into(), DOCUMENTS_PER_LOOK.into()]).await?;
    let next = looked_at.last().map(|document| document.id.to_string());
    Ok((looked_at.into_iter().filter(|document| document.gone).map(|document| document.id).collect(), next))
}

/// Tasks that have documents and are not there.
pub(super) async fn tasks(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let tx = database.snapshot().await?;
    let tasks: Vec<Task> = search::GONE_TASKS.all(&tx, []).await?;
    Ok(tasks.into_iter().map(|task| task.task_id).collect())
}

/// Which of these events are not there.
pub(super) async fn events(tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<String>, DbErr> {
    let gone: Vec<Task> = search::GONE_EVENTS.all(tx, [rows::list(ids).into()]).await?;
    Ok(gone.into_iter().map(|event| event.task_id).collect())
}

/// The documents of those of these bookmarks that are not there.
pub(super) async fn bookmarks(tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<i64>, DbErr> {
    let gone: Vec<Document> = search::GONE_DOCUMENTS_OF_BOOKMARKS.all(tx, [rows::list(ids).into()]).await?;
    Ok(gone.into_iter().map(|document| document.id).collect())
}

/// Deletes what is gone of a task, or of which the task is gone. For how long that held up others.
pub(super) async fn sweep(index: &SearchIndex, task_id: &str) -> Result<Duration, DatabaseError> {
    let mut held = Duration::ZERO;
    loop {
        let (tx, state) = index.snapshot().await?;
        let values = [task_id.into(), DOCUMENTS_PER_TRANSACTION.into()];
        let gone: Vec<Document> = search::GONE_DOCUMENTS_OF_TASK.all(&tx, values).await?;
        let is_there = !rows::IndexedTable::Tasks.named(&tx, &[task_id]).await?.is_empty();
        drop(tx);
        let last = (gone.len() as u64) < DOCUMENTS_PER_TRANSACTION;
        let batch = IndexBatch {
            gone: gone.into_iter().map(|document| document.id).collect(),
            gone_task: (last && !is_there).then(|| task_id.to_owned()),
            ..IndexBatch::default()
        };
        let this = batch.write(&index.database, &state, &state).await?;
        held += this;
        if last {
            return Ok(held);
        }
        tokio::time::sleep(rest_after(this)).await;
    }
}
