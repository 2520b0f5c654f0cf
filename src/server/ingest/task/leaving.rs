//! The events of deleted tasks.
//!
//! A task with many events is deleted at once, but its events are deleted later, in steps that leave the write lock to
//! others. No reader and no verb shows an event without a task. The list of the deleted tasks is a table, so a server
//! that ended in between goes on with it.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use crate::server::database::sql::tasks;

/// How many events a request deletes with their task: it holds the write lock for some milliseconds.
pub const EVENTS_AT_ONCE: i64 = 500;

/// The id of a deleted task that has events, if there is one.
pub async fn leaving(tx: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    tasks::LEAVING.value(tx, []).await
}

/// Deletes at most `most` events of a deleted task. Returns whether it can have more events.
pub async fn delete_left_events(tx: &impl ConnectionTrait, task_id: &str, most: u32) -> Result<bool, DbErr> {
    let deleted = tasks::DELETE_LEFT_EVENTS.execute(tx, [task_id.into(), most.into()]).await?;
    let has_more = deleted >= u64::from(most);
    if !has_more {
        tasks::FORGET_LEAVING.execute(tx, [task_id.into()]).await?;
    }
    Ok(has_more)
}

/// Deletes the events with these ids that belong to deleted tasks, so that the ids can be used again.
pub async fn free_event_ids<'a>(tx: &impl ConnectionTrait, ids: impl Iterator<Item = &'a str>) -> Result<(), DbErr> {
    let ids: Vec<_> = ids.collect();
    tasks::DELETE_LEFT_EVENTS_BY_ID.execute(tx, [json!(ids).to_string().into()]).await.map(drop)
}
