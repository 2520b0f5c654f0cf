//! Deleting tasks.
//!
//! A tree of tasks is deleted in one transaction if it is small. A large tree is deleted from its leaves in steps, so
//! that other writers need not wait for its end: the deletion is then not all or nothing.

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};
use serde_json::json;

use super::super::WriteError;
use super::TASK;
use super::leaving::{ROWS_AT_ONCE, rows_can_leave_later};
use crate::protocol::TaskId;
use crate::server::access::scope::Scope;
use crate::server::database::sql::tasks;
use crate::server::database::{ReadTransaction, WriteTransaction};

/// How many tasks one transaction of a request deletes: it holds the write lock for some milliseconds.
pub const TASKS_AT_ONCE: usize = 100;

/// How many tasks of a tree are read to plan its deletion. The last step of a larger tree deletes all tasks that are
/// left.
const TASKS_PLANNED: usize = 100_000;

/// How a deletion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The tree is gone.
    Done,
    /// The tree has more than [`TASKS_AT_ONCE`] tasks, and no task was deleted.
    TooLarge,
}

/// Deletes a task with all tasks below it and all rows that belong to them, unless they are many tasks. Many rows are
/// deleted later, in steps.
pub async fn delete(tx: &WriteTransaction, id: &TaskId) -> Result<Deletion, WriteError> {
    if tree(tx, tx.scope(), id, TASKS_AT_ONCE + 1).await?.len() > TASKS_AT_ONCE {
        return Ok(Deletion::TooLarge);
    }
    delete_last_part(tx, id).await?;
    Ok(Deletion::Done)
}

/// The parts of the tree at `id` that are deleted before its last part. No task of a part has a task below it in a
/// later part.
pub async fn parts_of_tree(tx: &ReadTransaction, id: &TaskId) -> Result<Vec<Vec<String>>, DbErr> {
    Ok(parts(tree(tx, tx.scope(), id, TASKS_PLANNED).await?))
}

/// Cuts a tree, in which each task comes before the tasks below it, into parts to delete, without the last of them.
pub(super) fn parts(mut tree: Vec<String>) -> Vec<Vec<String>> {
    let mut parts = Vec::new();
    while tree.len() > TASKS_AT_ONCE {
        parts.push(tree.split_off(tree.len() - TASKS_AT_ONCE));
    }
    parts
}

/// Deletes a part of a tree. Returns the number of its tasks that were there.
pub async fn delete_part(tx: &WriteTransaction, ids: &[String]) -> Result<u64, DbErr> {
    let (ids, scope) = (Value::from(json!(ids).to_string()), Value::from(tx.scope().project()));
    if rows_can_leave_later(tx) {
        let values = [ids.clone(), scope.clone(), (ROWS_AT_ONCE + 1).into()];
        if tasks::ROWS_OF_TREES.number(tx, values).await? > ROWS_AT_ONCE {
            tasks::LEAVE_ROWS_OF_TREES.execute(tx, [ids.clone(), scope.clone()]).await?;
        }
    }
    tasks::DELETE_TREES.execute(tx, [ids, scope]).await
}

/// Deletes the task at the top of a tree, and all tasks that are still below it.
pub async fn delete_last_part(tx: &WriteTransaction, id: &TaskId) -> Result<(), WriteError> {
    let deleted = delete_part(tx, &[id.to_string()]).await?;
    if deleted == 0 { Err(WriteError::not_found(TASK, id)) } else { Ok(()) }
}

async fn tree(tx: &impl ConnectionTrait, scope: &Scope, id: &TaskId, most: usize) -> Result<Vec<String>, DbErr> {
    #[derive(FromQueryResult)]
    struct TaskOfTree {
        id: StoredText,
    }
    let values = [id.as_str().into(), scope.project().into(), (most as u64).into()];
    let tree: Vec<TaskOfTree> = tasks::TREE.all(tx, values).await?;
    Ok(tree.into_iter().map(|task| task.id.into()).collect())
}

#[cfg(test)]
mod tests {
    use super::{TASKS_AT_ONCE, parts};

    #[test]
    fn the_end_of_a_tree_is_deleted_before_its_beginning() {
        let tree = |tasks: usize| (0..tasks).map(|at| at.to_string()).collect::<Vec<_>>();
        assert!(parts(tree(TASKS_AT_ONCE)).is_empty());
        let all = tree(TASKS_AT_ONCE * 2 + 1);
        assert_eq!(parts(all.clone()), [&all[TASKS_AT_ONCE + 1..], &all[1..=TASKS_AT_ONCE]]);
    }
}
