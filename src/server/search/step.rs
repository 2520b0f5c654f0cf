//! Brings the index up to date with the log, in steps that hold the write lock for some milliseconds each.
//!
//! The log only names the rows to look at. A step indexes these rows as they are in one snapshot. So a step can be
//! repeated, and an interrupted step is repeated. If the log does not hold all missing changes, all rows are walked,
//! the newest first. Meanwhile searches use the documents that the index has.

use requery_entities::StoredText;
use sea_orm::DbBackend;

use super::follow::Followed;
use super::pace::ProgressDue;
use super::rows::IndexedTable;
use super::write;
use super::{SearchIndex, follow, log, removed};
use crate::server::access::scope::Scope;
use crate::server::change_log::between;
use crate::server::database::DatabaseError;

/// The most changes that are followed one by one. If the index is further behind, all rows are walked, so that the
/// newest are indexed first.
const MOST_FOLLOWED: u64 = 100_000;

/// Follows the log by one step, and walks one step if a walk has begun. Returns whether there was work.
pub(super) async fn step(index: &SearchIndex, due: ProgressDue) -> Result<bool, DatabaseError> {
    let (tx, state) = index.snapshot(Scope::All).await?;
    let is_postgres = index.database.backend() == DbBackend::Postgres;
    // Two servers with different rules would each walk all rows again and again. The newer one keeps the index.
    if is_postgres && state.is_of_newer_server() {
        return Ok(false);
    }
    let (reached, end) = (state.reached(), tx.position());
    let missing = between(&reached, &end);
    let is_lost = state.is_unbuilt() || !end.covers(&reached);
    let counts = !is_lost && state.stage.is_none() && due.count;
    if is_lost || counts && log::count(&tx, &missing, MOST_FOLLOWED).await? > MOST_FOLLOWED {
        drop(tx);
        write::begin_walk(&index.database, &state).await?;
        return Ok(true);
    }
    let mut followed = Followed::Nothing;
    if missing.is_empty() {
        index.reached.send_replace(reached);
        drop(tx);
    } else {
        if !is_postgres {
            index.reached.send_replace(reached);
        }
        followed = follow::follow(index, tx, &missing, &state, due).await?;
    }
    if followed == Followed::Gap {
        write::begin_walk(&index.database, &state).await?;
        return Ok(true);
    }
    if state.stage.is_some() {
        walk(index).await?;
    }
    Ok(followed == Followed::Changes || state.stage.is_some())
}

/// Indexes the next rows of the walk: tasks, bookmarks and events, each from the newest to the oldest, and then deletes
/// the documents of rows that are gone.
async fn walk(index: &SearchIndex) -> Result<(), DatabaseError> {
    let (tx, before) = index.snapshot(Scope::All).await?;
    let Some(stage) = before.stage.clone() else { return Ok(()) };
    let mut after = before.clone();
    after.stage_at = None;
    let mut batch = index.batch();
    let table = match &*stage {
        "tasks" => Some((IndexedTable::Tasks, "bookmarks")),
        "bookmarks" => Some((IndexedTable::Bookmarks, "events")),
        "events" => Some((IndexedTable::Events, "gone")),
        _ => None,
    };
    if let Some((table, following)) = table {
        let rows = table.before(&tx, before.stage_at.as_deref(), batch.bounds.looks_at).await?;
        if table == IndexedTable::Tasks {
            // If events of such a task are still indexed under another project, the walk gets to them later.
            batch.settled = rows.iter().map(|row| (row.task_id.to_string(), row.project.to_string())).collect();
        }
        let ids: Vec<StoredText> = rows.iter().map(|row| row.id.clone()).collect();
        let positions: Vec<Option<i64>> = rows.iter().map(|row| row.position).collect();
        match batch.take(rows, &mut after, true).checked_sub(1) {
            Some(last) => {
                after.stage_at = Some(
                    positions[last].map_or_else(|| ids[last].before_replaced().into(), |at| at.to_string().into()),
                );
                batch.settled.truncate(last + 1);
            }
            None => after.stage = Some(following.into()),
        }
    } else {
        let (documents, at) = removed::below(&tx, before.stage_at.as_deref()).await?;
        batch.gone = documents;
        after.stage_at = at.map(StoredText::from);
        if after.stage_at.is_none() {
            after.stage = None;
            after.stage_document = None;
        }
    }
    drop(tx);
    batch.write(index, &before, &after).await?;
    if after.stage.is_none() {
        for task_id in removed::tasks(&index.database).await? {
            removed::sweep(index, &task_id).await?;
        }
    }
    Ok(())
}
