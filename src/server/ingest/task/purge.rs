//! Clearing finished tasks away.
//!
//! A tree goes as a whole or not at all, and only if everything in it has ended. `status` and `project` are asked of
//! its root; `older_than` of everything in it, so that nothing recent goes with something old. The database does it in
//! its own tables: no list of ids is ever held here.

use sea_orm::{ConnectionTrait, Statement, Value};

use super::super::WriteError;
use super::super::bounds::Bounds;
use crate::protocol::write::Purge;

const SELECT: &str = "
insert into purging (task_id)
with recursive tree (root, id) as (
    select id, id from tasks
    where status in ('completed', 'errored') and (?1 is null or status = ?1) and (?2 is null or project = ?2)
        and (parent_task_id is null or parent_task_id not in (select id from tasks))
    union all
    select tree.root, tasks.id from tree join tasks on tasks.parent_task_id = tree.id
)
select id from tree where root not in (
    select tree.root from tree join tasks on tasks.id = tree.id
    where tasks.status not in ('completed', 'errored') or (?3 is not null and tasks.status_since >= ?3)
)";

/// Tells each project how many it lost.
const TELL: &str = "
insert into purges (project, count, at)
select project, count(*), ?1 from tasks where id in (select task_id from purging) group by project order by project";

/// Leaves first: deleting a task that has others below it makes the database look for all of those, and a trigger that
/// goes down a tree of a thousand levels is stopped.
const DELETE_LEAVES: &str = "
delete from tasks where id in (select task_id from purging)
    and not exists (select 1 from tasks below where below.parent_task_id = tasks.id)";

const FORGET_DELETED: &str = "delete from purging where task_id not in (select id from tasks)";

/// Deletes the finished trees that are meant, and tells how many tasks went.
pub async fn purge(tx: &impl ConnectionTrait, which: Purge, now_ms: i64) -> Result<u64, WriteError> {
    let mut bounds = Bounds::new();
    let older_than = bounds.time("older_than", which.older_than.as_ref());
    bounds.finish()?;

    let status = which.status.map(|status| status.to_string());
    execute(tx, SELECT, vec![status.into(), which.project.into(), older_than.into()]).await?;
    execute(tx, TELL, vec![now_ms.into()]).await?;
    let mut count = 0;
    loop {
        match execute(tx, DELETE_LEAVES, Vec::new()).await? {
            0 => return Ok(count),
            deleted => count += deleted,
        }
        execute(tx, FORGET_DELETED, Vec::new()).await?;
    }
}

async fn execute(tx: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<u64, WriteError> {
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    Ok(tx.execute_raw(statement).await?.rows_affected())
}
