//! Purging finished tasks.
//!
//! A tree of tasks is deleted as a whole or not at all, and only if every task in it has ended. The conditions `status`
//! and `project` apply to the root of the tree. The condition `older_than` applies to every task in it, so that no
//! recent task is deleted with an old one.
//!
//! A purge is many transactions, so that other writers need not wait for its end. Each one deletes some whole trees, or
//! a part of a large tree. A large tree that changes meanwhile keeps its other parts.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use requery_entities::StoredText;
use sea_orm::{DbErr, FromQueryResult, Value};
use serde_json::json;

use super::super::bounds::{Bounds, CheckedBody, check};
use super::super::{Invalid, WriteError};
use super::deletion::{TASKS_AT_ONCE, parts};
use super::leaving::{ROWS_AT_ONCE, rows_can_leave_later};
use crate::protocol::model::Timestamp;
use crate::protocol::write::Purge;
use crate::server::access::scope::Scope;
use crate::server::database::sql::tasks;
use crate::server::database::{ReadTransaction, WriteTransaction};

/// How many trees are looked at together.
pub const TREES_AT_ONCE: usize = 50;

/// The tasks that one transaction of a purge deletes.
#[derive(Debug)]
pub enum PurgeStep {
    /// The whole trees of these roots.
    Trees(Vec<String>),
    /// Tasks of the tree at a root, with all tasks below them.
    Part {
        /// The root.
        root: String,
        /// The tasks.
        ids: Vec<String>,
    },
}

impl PurgeStep {
    /// The root of the tree of which the step deletes a part.
    pub fn into_root(self) -> Option<String> {
        match self {
            Self::Trees(_) => None,
            Self::Part { root, .. } => Some(root),
        }
    }

    /// The step without the trees of the roots in `changed`. None: no tree is left.
    pub fn without(self, changed: &BTreeSet<String>) -> Option<Self> {
        match self {
            Self::Trees(mut roots) => {
                roots.retain(|root| !changed.contains(root));
                (!roots.is_empty()).then_some(Self::Trees(roots))
            }
            Self::Part { root, ids } => (!changed.contains(&root)).then_some(Self::Part { root, ids }),
        }
    }
}

/// The checked conditions of a purge.
pub struct PurgeConditions {
    status: Option<String>,
    project: Option<String>,
    older_than: Option<i64>,
}

impl PurgeConditions {
    /// Checks the fields.
    pub fn read(conditions: Purge) -> Result<Self, WriteError> {
        check(&conditions)?;
        let older_than = conditions.older_than.as_ref().map(Timestamp::as_ms);
        let status = conditions.status.map(|status| status.to_string());
        Ok(Self { status, project: conditions.project, older_than })
    }

    /// The roots of the next trees, in the order of their ids: at most [`TREES_AT_ONCE`], behind `after`. Their trees
    /// may still have running tasks.
    pub async fn next_roots(&self, tx: &ReadTransaction, after: &str) -> Result<Vec<String>, DbErr> {
        #[derive(FromQueryResult)]
        struct Root {
            id: StoredText,
        }
        let most = TREES_AT_ONCE as u64;
        let scope = tx.scope().project().into();
        let values = [self.status.clone().into(), self.project.clone().into(), after.into(), most.into(), scope];
        let roots: Vec<Root> = tasks::PURGEABLE_ROOTS.all(tx, values).await?;
        Ok(roots.into_iter().map(|root| root.id.into()).collect())
    }

    /// The steps that purge the trees of these roots, as far as they meet the conditions.
    pub async fn steps(&self, tx: &ReadTransaction, roots: &[String]) -> Result<Vec<PurgeStep>, DbErr> {
        let trees = self.trees(tx, roots).await?;
        let (mut steps, mut whole, mut tasks) = (Vec::new(), Vec::new(), 0);
        for (root, tree) in trees {
            if tasks + tree.len() > TASKS_AT_ONCE && !whole.is_empty() {
                steps.push(PurgeStep::Trees(mem::take(&mut whole)));
                tasks = 0;
            }
            tasks += tree.len().min(TASKS_AT_ONCE);
            let parts = parts(tree).into_iter();
            steps.extend(parts.map(|ids| PurgeStep::Part { root: root.clone(), ids }));
            whole.push(root);
        }
        if !whole.is_empty() {
            steps.push(PurgeStep::Trees(whole));
        }
        Ok(steps)
    }

    /// The ids of the tasks that a purge of the trees of these roots deletes. The tasks of a tree follow each other,
    /// and a task comes before the tasks below it.
    pub async fn tasks(&self, tx: &ReadTransaction, roots: &[String]) -> Result<Vec<String>, DbErr> {
        Ok(self.trees(tx, roots).await?.into_values().flatten().collect())
    }

    /// Deletes the tasks of a step that meet the conditions now. Returns the number of deleted tasks. A part of a tree
    /// is deleted as a whole or not at all.
    pub async fn purge(&self, tx: &WriteTransaction, step: &PurgeStep, now_ms: i64) -> Result<u64, DbErr> {
        if !rows_can_leave_later(tx) {
            let (PurgeStep::Trees(ids) | PurgeStep::Part { ids, .. }) = step;
            tasks::LOCK_TREES.execute(tx, [json!(ids).to_string().into()]).await?;
        }
        let count = match step {
            PurgeStep::Trees(roots) => {
                let count = tasks::MARK_FOR_PURGE.execute(tx, self.values(tx.scope(), roots)).await?;
                // The trees have grown since they were read. The next purge deletes them in parts.
                if count > 2 * TASKS_AT_ONCE as u64 {
                    tasks::UNMARK.execute(tx, []).await?;
                    return Ok(0);
                }
                count
            }
            PurgeStep::Part { ids, .. } => {
                let values = [self.older_than.into(), json!(ids).to_string().into(), tx.scope().project().into()];
                let count = tasks::MARK_PART_FOR_PURGE.execute(tx, values).await?;
                if count < ids.len() as u64 {
                    tasks::UNMARK.execute(tx, []).await?;
                    return Ok(0);
                }
                count
            }
        };
        if count > 0 {
            tasks::LOG_PURGES.execute(tx, [now_ms.into()]).await?;
            if rows_can_leave_later(tx)
                && tasks::ROWS_OF_MARKED.number(tx, [(ROWS_AT_ONCE + 1).into()]).await? > ROWS_AT_ONCE
            {
                tasks::LEAVE_ROWS_OF_MARKED.execute(tx, []).await?;
            }
            tasks::DELETE_MARKED.execute(tx, []).await?;
            tasks::UNMARK.execute(tx, []).await?;
        }
        Ok(count)
    }

    /// The tasks of the trees that meet the conditions, by the roots of the trees.
    async fn trees(&self, tx: &ReadTransaction, roots: &[String]) -> Result<BTreeMap<String, Vec<String>>, DbErr> {
        #[derive(FromQueryResult)]
        struct TaskOfTree {
            root: StoredText,
            id: StoredText,
        }
        let found: Vec<TaskOfTree> = tasks::PURGEABLE.all(tx, self.values(tx.scope(), roots)).await?;
        let mut trees = BTreeMap::<String, Vec<String>>::new();
        for TaskOfTree { root, id } in found {
            trees.entry(root.into()).or_default().push(id.into());
        }
        Ok(trees)
    }

    fn values(&self, scope: &Scope, roots: &[String]) -> [Value; 5] {
        let roots = json!(roots).to_string().into();
        let scope = scope.project().into();
        [self.status.clone().into(), self.project.clone().into(), self.older_than.into(), roots, scope]
    }
}

impl CheckedBody for Purge {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bounds.time("older_than", self.older_than.as_ref());
        bounds.into_found()
    }
}
