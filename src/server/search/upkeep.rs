//! Brings the index to where the log is, in steps that hold up a writer for some milliseconds each.
//!
//! The log only says which rows to look at; what is indexed is how they are in one snapshot. So each step can be
//! repeated, and one that was interrupted is. Where the log does not tell what is missing, all rows are walked, the
//! newest first, and the index answers meanwhile from what it has.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement};

use super::rows::Table;
use super::state::State;
use super::write::{self, Batch};
use super::{Index, follow, gone};
use crate::server::database::{DatabaseError, ReadTransaction};

/// How many changes or rows one step looks at.
pub(super) const AT_ONCE: u32 = 200;
/// How many changes are followed one by one. Further behind, the newest rows are indexed first.
const FOLLOWED: i64 = 100_000;
/// How long to rest after a step, in times of what it held up others: they have the lock most of the time.
const REST: u32 = 2;
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// How often it looks by itself.
const LOOK: Duration = Duration::from_secs(30);
/// After something went wrong.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the index for as long as it is polled.
pub async fn keep(index: Index) {
    let mut unmerged = true;
    loop {
        let done = match step(&index).await {
            Ok(None) if unmerged => write::merge(&index.database).await.map(|(more, held)| {
                unmerged = more;
                Some(held)
            }),
            Ok(Some(held)) => {
                unmerged = true;
                Ok(Some(held))
            }
            other => other,
        };
        match done {
            Ok(Some(held)) => rest(held).await,
            Ok(None) => {
                let _ = tokio::time::timeout(LOOK, index.news.notified()).await;
            }
            // Tried again soon; whoever made it busy or took it away is told of elsewhere.
            Err(DatabaseError::Busy | DatabaseError::Away(_)) => tokio::time::sleep(RETRY).await,
            Err(error) => {
                tracing::error!(%error, "could not keep the search index");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Leaves the lock to others for a while, after it was `held`.
pub(super) async fn rest(held: Duration) {
    tokio::time::sleep((held * REST).max(SHORTEST_REST)).await;
}

/// Follows the log a little, and walks a little where rows are walked. For how long that held up others; none if there
/// was nothing to do.
async fn step(index: &Index) -> Result<Option<Duration>, DatabaseError> {
    let (tx, state) = index.snapshot().await?;
    let end = tx.cursor().snapshot().xmax().cast_signed();
    let behind = state.next < end;
    let floor = floor(&tx).await?;
    let pruned = behind && floor.is_none_or(|floor| floor > state.next);
    let far_behind = state.stage.is_none() && end - state.next > FOLLOWED;
    if state.next == 0 || state.next > end || pruned || far_behind {
        drop(tx);
        write::begin_walk(&index.database).await?;
        return Ok(Some(Duration::ZERO));
    }
    index.reached.send_replace(state.reached());
    let mut done = None;
    if behind {
        done = Some(follow::follow(index, tx, &state, end).await?);
    } else {
        drop(tx);
    }
    if state.stage.is_some() {
        done = Some(done.unwrap_or_default() + walk(index).await?);
    }
    Ok(done)
}

async fn floor(tx: &ReadTransaction) -> Result<Option<i64>, DatabaseError> {
    let statement = Statement::from_string(tx.get_database_backend(), "select min(id) as floor from changes");
    match tx.query_one_raw(statement).await? {
        Some(row) => Ok(row.try_get("", "floor")?),
        None => Ok(None),
    }
}

/// Indexes the next rows of the walk: tasks, bookmarks and events, each from the newest to the oldest, and then deletes
/// the documents of rows that are gone.
async fn walk(index: &Index) -> Result<Duration, DatabaseError> {
    let (tx, before) = index.snapshot().await?;
    let Some(stage) = before.stage.clone() else { return Ok(Duration::ZERO) };
    let mut after = State { stage_at: None, ..before.clone() };
    let mut batch = Batch::default();
    let table = match stage.as_str() {
        "tasks" => Some((Table::Tasks, "bookmarks")),
        "bookmarks" => Some((Table::Bookmarks, "events")),
        "events" => Some((Table::Events, "gone")),
        _ => None,
    };
    if let Some((table, following)) = table {
        let rows = table.before(&*tx, before.stage_at.as_deref(), AT_ONCE).await?;
        if table == Table::Tasks {
            // Where one of its events is still under another project, the walk will come to it.
            batch.settled = rows.iter().map(|row| (row.task_id.clone(), row.project())).collect();
        }
        let places: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let positions: Vec<Option<i64>> = rows.iter().map(|row| row.position).collect();
        match batch.take(rows, &mut after, true).checked_sub(1) {
            Some(last) => {
                after.stage_at = Some(positions[last].map_or_else(|| places[last].clone(), |at| at.to_string()));
                batch.settled.truncate(last + 1);
            }
            None => after.stage = Some(following.to_owned()),
        }
    } else {
        let (documents, at) = gone::below(&*tx, before.stage_at.as_deref()).await?;
        batch.gone = documents;
        after.stage_at = at;
        if after.stage_at.is_none() {
            after.stage = None;
            after.stage_document = None;
        }
    }
    drop(tx);
    let mut held = batch.write(&index.database, &before, &after).await?;
    if after.stage.is_none() {
        for task_id in gone::tasks(&index.database).await? {
            held += gone::sweep(index, &task_id).await?;
        }
    }
    Ok(held)
}
