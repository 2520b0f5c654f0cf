//! The rows of deleted tasks.
//!
//! A task with many rows is deleted at once, but its events, usage, sessions and bookmarks are deleted later, in steps
//! that leave the write lock to others. No reader and no verb shows a row without a task. The list of the deleted tasks
//! is a table, so a server that ended in between goes on with it.
//!
//! On Postgres the foreign keys delete the rows with their task: a writer there keeps out no other writer.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use serde_json::json;

use crate::server::database::sql::tasks;

/// How many rows a request deletes with their task: it holds the write lock for some milliseconds.
pub const ROWS_AT_ONCE: i64 = 500;

/// A step that may delete this many rows looks at one task: a step over small tasks also reads four tables for each.
const ROWS_PER_TASK: u32 = 5;

/// Whether the rows of a deleted task can stay for a while.
pub(super) fn rows_can_leave_later(tx: &impl ConnectionTrait) -> bool {
    tx.get_database_backend() != DbBackend::Postgres
}

/// Whether a deleted task can have rows.
pub async fn is_leaving(tx: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(rows_can_leave_later(tx) && tasks::IS_LEAVING.number(tx, []).await? != 0)
}

/// Deletes at most `most` rows of deleted tasks: all rows of several small tasks, or a part of the rows of a large one.
/// Returns whether the step had work for its whole size.
pub async fn delete_left_rows(tx: &impl ConnectionTrait, most: u32) -> Result<bool, DbErr> {
    let looked_at = most / ROWS_PER_TASK + 1;
    let mut left = u64::from(most);
    for delete in tasks::DELETE_LEFT_ROWS {
        left -= delete.execute(tx, [looked_at.into(), left.into()]).await?.min(left);
        if left == 0 {
            return Ok(true);
        }
    }
    let forgotten = tasks::FORGET_LEAVING.execute(tx, [looked_at.into()]).await?;
    Ok(forgotten == u64::from(looked_at))
}

/// Deletes the events with these ids that belong to deleted tasks, so that the ids can be used again.
pub async fn free_event_ids<'a>(tx: &impl ConnectionTrait, ids: impl Iterator<Item = &'a str>) -> Result<(), DbErr> {
    if !rows_can_leave_later(tx) {
        return Ok(());
    }
    let ids = json!(ids.collect::<Vec<_>>()).to_string();
    tasks::DELETE_LEFT_BOOKMARKS_BY_ID.execute(tx, [ids.clone().into()]).await?;
    tasks::DELETE_LEFT_EVENTS_BY_ID.execute(tx, [ids.into()]).await.map(drop)
}

/// Deletes the bookmark with this id if it belongs to a deleted task, so that the id can be used again.
pub async fn free_bookmark_id(tx: &impl ConnectionTrait, id: &str) -> Result<(), DbErr> {
    if !rows_can_leave_later(tx) {
        return Ok(());
    }
    tasks::DELETE_LEFT_BOOKMARKS_BY_ID.execute(tx, [json!([id]).to_string().into()]).await.map(drop)
}

/// Deletes the session with this id if it belongs to a deleted task, so that the id can be used again.
pub async fn free_session_id(tx: &impl ConnectionTrait, id: &str) -> Result<(), DbErr> {
    if !rows_can_leave_later(tx) {
        return Ok(());
    }
    tasks::DELETE_LEFT_SESSIONS_BY_ID.execute(tx, [json!([id]).to_string().into()]).await.map(drop)
}
