//! Reads rows with plain SQL.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

/// The rows that a statement finds.
pub(crate) async fn all(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await
}

/// The first column of each row that a statement finds.
pub(crate) async fn texts(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, DbErr> {
    all(db, sql).await?.iter().map(|row| text(row, 0)).collect()
}

/// The text of a column. Another program can give a table of its own a name that is not UTF-8.
pub(crate) fn text(row: &QueryResult, column: usize) -> Result<String, DbErr> {
    let bytes: Vec<u8> = row.try_get_by_index(column)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of a column on Postgres, whose texts are UTF-8.
pub(crate) fn utf8(row: &QueryResult, column: usize) -> Result<String, DbErr> {
    row.try_get_by_index(column)
}
