//! Documents whose rows are gone. The log tells of a deleted task, but not of its events; of a deleted event, but not
//! where it was; of a purge, but not of which tasks. So what is gone is looked for.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};

use super::pace::rest_after;
use super::write::IndexBatch;
use super::{SearchIndex, rows};
use crate::server::database::{Database, DatabaseError};

/// How many documents one transaction deletes.
const DOCUMENTS_PER_TRANSACTION: usize = 500;
/// How many are looked at together where all are.
const DOCUMENTS_PER_LOOK: i64 = 2_000;

/// That the row of `d`, a document of the task of `s`, is not there.
const IS_GONE: &str = "(
    not exists (select 1 from tasks where tasks.id = s.task_id)
    or (d.position is not null
        and not exists (select 1 from events e where e.position = d.position and e.task_id = s.task_id))
    or (d.bookmark_id is not null
        and not exists (select 1 from bookmarks b where b.id = d.bookmark_id and b.task_id = s.task_id)))";

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
    let sql = format!(
        "select d.id, s.number is null or {IS_GONE} as gone \
         from (select * from search_documents where id < ? order by id desc limit ?) d \
         left join search_tasks s on s.number = d.task order by d.id desc"
    );
    let at = at.and_then(|at| at.parse().ok()).unwrap_or(i64::MAX);
    let looked_at =
        Document::find_by_statement(statement(tx, &sql, [at.into(), DOCUMENTS_PER_LOOK.into()])).all(tx).await?;
    let next = looked_at.last().map(|document| document.id.to_string());
    Ok((looked_at.into_iter().filter(|document| document.gone).map(|document| document.id).collect(), next))
}

/// Tasks that have documents and are not there.
pub(super) async fn tasks(database: &Database) -> Result<Vec<String>, DatabaseError> {
    const SQL: &str = "select task_id from search_tasks \
        where not exists (select 1 from tasks where tasks.id = search_tasks.task_id)";
    let tx = database.snapshot().await?;
    let tasks = Task::find_by_statement(statement(&tx, SQL, [])).all(&tx).await?;
    Ok(tasks.into_iter().map(|task| task.task_id).collect())
}

/// Which of these events are not there.
pub(super) async fn events(tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<String>, DbErr> {
    const SQL: &str = "select value as task_id from json_each(?) \
        where not exists (select 1 from events where events.id = value)";
    let gone = Task::find_by_statement(statement(tx, SQL, [rows::list(ids).into()])).all(tx).await?;
    Ok(gone.into_iter().map(|event| event.task_id).collect())
}

/// The documents of those of these bookmarks that are not there.
pub(super) async fn bookmarks(tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<i64>, DbErr> {
    const SQL: &str = "select d.id, true as gone from json_each(?) join search_documents d on d.bookmark_id = value \
        where not exists (select 1 from bookmarks b where b.id = d.bookmark_id)";
    let gone = Document::find_by_statement(statement(tx, SQL, [rows::list(ids).into()])).all(tx).await?;
    Ok(gone.into_iter().map(|document| document.id).collect())
}

/// Deletes what is gone of a task, or of which the task is gone. For how long that held up others.
pub(super) async fn sweep(index: &SearchIndex, task_id: &str) -> Result<Duration, DatabaseError> {
    let sql = format!(
        "select d.id, true as gone from search_tasks s join search_documents d on d.task = s.number \
         where s.task_id = ? and {IS_GONE} limit {DOCUMENTS_PER_TRANSACTION}"
    );
    let mut held = Duration::ZERO;
    loop {
        let (tx, state) = index.snapshot().await?;
        let gone = Document::find_by_statement(statement(&tx, &sql, [task_id.into()])).all(&tx).await?;
        let is_there = !rows::IndexedTable::Tasks.named(&tx, &[task_id]).await?.is_empty();
        drop(tx);
        let last = gone.len() < DOCUMENTS_PER_TRANSACTION;
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

fn statement<const N: usize>(tx: &impl ConnectionTrait, sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(tx.get_database_backend(), sql, values)
}
