//! Transactions: one snapshot to read from, or the one transaction that writes.
//!
//! Both run queries only through [`ConnectionTrait`]. The transaction inside is private to `database`, so every query
//! passes here, and no code outside can commit. A transaction that is dropped rolls back.

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::Position;
use crate::protocol::Cursor;
use crate::server::access::scope::Scope;

/// One snapshot of the database.
pub struct ReadTransaction {
    pub(super) cursor: Cursor,
    pub(super) scope: Scope,
    pub(super) transaction: DatabaseTransaction,
}

/// The one transaction that writes.
pub struct WriteTransaction {
    pub(super) scope: Scope,
    pub(super) transaction: DatabaseTransaction,
}

impl ReadTransaction {
    /// The changes that the snapshot contains.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The changes that the snapshot contains, for a follower of the change log.
    pub fn position(&self) -> Position {
        Position::of(&self.cursor)
    }

    /// The projects that the caller reads.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl WriteTransaction {
    /// The projects that the caller writes.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

macro_rules! run_queries {
    ($($name:ty)*) => {$(
        #[async_trait]
        impl ConnectionTrait for $name {
            fn get_database_backend(&self) -> DbBackend {
                self.transaction.get_database_backend()
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                self.transaction.execute_raw(statement).await
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
                self.transaction.execute_unprepared(sql).await
            }

            async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
                self.transaction.query_one_raw(statement).await
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                self.transaction.query_all_raw(statement).await
            }
        }
    )*};
}

run_queries! { ReadTransaction WriteTransaction }
