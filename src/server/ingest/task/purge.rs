//! Purging finished tasks.
//!
//! A tree of tasks is deleted as a whole or not at all, and only if every task in it has ended. The conditions `status`
//! and `project` apply to the root of the tree. The condition `older_than` applies to every task in it, so that no
//! recent task is deleted with an old one.
//!
//! A purge is many transactions, so that other writers need not wait for its end. Each one deletes some whole trees.

use requery_entities::StoredText;
use sea_orm::{DbErr, FromQueryResult};
use serde_json::json;

use super::super::bounds::{Bounds, CheckedBody, check};
use super::super::{Invalid, WriteError};
use super::EVENTS_AT_ONCE;
use crate::protocol::model::Timestamp;
use crate::protocol::write::Purge;
use crate::server::database::sql::tasks;
use crate::server::database::{ReadTransaction, WriteTransaction};

/// How many trees one transaction deletes. A tree of a few tasks costs about a millisecond.
pub const TREES_AT_ONCE: usize = 50;

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

    /// Deletes the trees of these roots that meet the conditions now. Returns the number of deleted tasks.
    pub async fn purge(&self, tx: &WriteTransaction, roots: &[String], now_ms: i64) -> Result<u64, DbErr> {
        let values = [
            self.status.clone().into(),
            self.project.clone().into(),
            self.older_than.into(),
            json!(roots).to_string().into(),
            tx.scope().project().into(),
        ];
        let count = tasks::MARK_FOR_PURGE.execute(tx, values).await?;
        if count > 0 {
            tasks::LOG_PURGES.execute(tx, [now_ms.into()]).await?;
            if tasks::EVENTS_OF_MARKED.number(tx, [(EVENTS_AT_ONCE + 1).into()]).await? > EVENTS_AT_ONCE {
                tasks::LEAVE_EVENTS_OF_MARKED.execute(tx, []).await?;
            }
            tasks::DELETE_MARKED.execute(tx, []).await?;
            tasks::UNMARK.execute(tx, []).await?;
        }
        Ok(count)
    }
}

impl CheckedBody for Purge {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bounds.time("older_than", self.older_than.as_ref());
        bounds.into_found()
    }
}
