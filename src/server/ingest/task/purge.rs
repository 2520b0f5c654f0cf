//! Clearing finished tasks away.
//!
//! A tree goes as a whole or not at all, and only if everything in it has ended. `status` and `project` are asked of
//! its root; `older_than` of everything in it, so that nothing recent goes with something old. The database does it in
//! its own tables: no list of ids is ever held here.

use sea_orm::ConnectionTrait;

use super::super::WriteError;
use super::super::bounds::Bounds;
use crate::protocol::write::Purge;
use crate::server::database::sql::tasks;

/// Deletes the finished trees that are meant, and tells how many tasks went.
pub async fn purge(tx: &impl ConnectionTrait, which: Purge, now_ms: i64) -> Result<u64, WriteError> {
    let mut bounds = Bounds::new();
    let older_than = bounds.time("older_than", which.older_than.as_ref());
    bounds.finish()?;

    let status = which.status.map(|status| status.to_string());
    tasks::MARK_FOR_PURGE.execute(tx, [status.into(), which.project.into(), older_than.into()]).await?;
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
