//! Reads rows with plain SQL.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

/// The rows that a statement finds.
pub(crate) async fn all(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await
}

/// The first column of each row that a statement finds.
pub(crate) async fn texts(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, DbErr> {
    all(db, sql).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}
