//! Purging finished tasks.
//!
//! A tree of tasks is deleted as a whole or not at all, and only if every task in it has ended. The conditions `status`
//! and `project` apply to the root of the tree. The condition `older_than` applies to every task in it, so that no
//! recent task is deleted with an old one. The list of tasks stays in a table of the database and is never held in
//! memory.

use sea_orm::ConnectionTrait;

use super::super::bounds::{Bounds, CheckedBody, check};
use super::super::{Invalid, WriteError};
use crate::protocol::model::Timestamp;
use crate::protocol::write::Purge;
use crate::server::database::sql::tasks;

/// Deletes the finished trees that meet the conditions. Returns the number of deleted tasks.
pub async fn purge(tx: &impl ConnectionTrait, conditions: Purge, now_ms: i64) -> Result<u64, WriteError> {
    check(&conditions)?;
    let older_than = conditions.older_than.as_ref().map(Timestamp::as_ms);
    let status = conditions.status.map(|status| status.to_string());
    tasks::MARK_FOR_PURGE.execute(tx, [status.into(), conditions.project.into(), older_than.into()]).await?;
    tasks::LOG_PURGES.execute(tx, [now_ms.into()]).await?;
    let mut count = 0;
    loop {
        match tasks::DELETE_MARKED_LEAVES.execute(tx, []).await? {
            0 => return Ok(count),
            deleted => count += deleted,
        }
        tasks::UNMARK_DELETED.execute(tx, []).await?;
    }
}

impl CheckedBody for Purge {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bounds.time("older_than", self.older_than.as_ref());
        bounds.into_found()
    }
}
