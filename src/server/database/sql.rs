//! The home of SQL: every statement that the server writes out as text, and the few functions that run one.
//!
//! The texts stand in one file for each theme. A text names the values it takes by position: as `?` or `?1` for SQLite,
//! and as `$1` for Postgres. A comment names a value once, as `?1`. Queries that the entities can express are built from
//! the entities, where they are needed.

use futures_util::{Stream, TryStreamExt};
use sea_orm::sqlx::{self, PgConnection};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, QueryResult, Statement, TryGetable, Value};

use super::driver_error;

pub mod agents;
pub mod change_log;
pub mod copied_tables;
pub mod copy;
pub mod floor;
pub mod fold;
pub mod locks;
pub mod overview;
mod postgres;
pub mod projects;
pub mod runs;
pub mod search;
pub mod search_log;
pub mod search_matches;
pub mod search_writes;
pub mod servers;
pub mod tasks;
pub mod transcripts;
pub mod usage;
pub mod write_probe;

/// The text of a JSON value for a statement that reads it. Postgres has no NUL in a text: it becomes U+FFFD, as in each
/// text that is read.
pub fn json_text(connection: &impl ConnectionTrait, value: &serde_json::Value) -> String {
    let text = value.to_string();
    match connection.get_database_backend() {
        DbBackend::Postgres => text.replace("\\u0000", "\\ufffd"),
        _ => text,
    }
}

/// The text of one statement, in the dialect of each engine.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Sql {
    /// A statement that runs on SQLite alone.
    pub(super) const fn new(sqlite: &'static str) -> Self {
        Self { sqlite, postgres: "select requery_has_no_such_statement_on_postgres" }
    }

    /// A statement in the dialect of both engines.
    pub(super) const fn both(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres }
    }

    /// A statement whose text is the same for both engines.
    pub(super) const fn same(text: &'static str) -> Self {
        Self::both(text, text)
    }

    /// A statement that runs on Postgres alone.
    pub(super) const fn postgres(postgres: &'static str) -> Self {
        Self { sqlite: "select requery_has_no_such_statement_on_sqlite", postgres }
    }

    /// The text for an engine.
    pub(super) fn text(self, backend: DbBackend) -> &'static str {
        match backend {
            DbBackend::Postgres => self.postgres,
            _ => self.sqlite,
        }
    }

    /// All rows of a query.
    pub async fn all<R: FromQueryResult>(
        self,
        connection: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<R>, DbErr> {
        let rows = connection.query_all_raw(self.statement(connection, values)).await?;
        rows.iter().map(|row| R::from_query_result(row, "")).collect()
    }

    /// The rows of a query as they are.
    pub async fn rows(
        self,
        connection: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        connection.query_all_raw(self.statement(connection, values)).await
    }

    /// The rows of a query on Postgres as they arrive.
    pub fn stream(
        self,
        connection: &mut PgConnection,
        value: String,
    ) -> impl Stream<Item = Result<QueryResult, DbErr>> + Send + Unpin + use<'_> {
        let rows = sqlx::query(self.postgres).bind(value).fetch(connection);
        rows.map_ok(QueryResult::from).map_err(driver_error::query)
    }

    /// The first row of a query, if it has any.
    pub async fn one<R: FromQueryResult>(
        self,
        connection: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<R>, DbErr> {
        let row = connection.query_one_raw(self.statement(connection, values)).await?;
        row.map(|row| R::from_query_result(&row, "")).transpose()
    }

    /// The first column of the first row, or none where there is no row or the column is null.
    pub async fn value<T: TryGetable>(
        self,
        connection: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<T>, DbErr> {
        let row: Option<QueryResult> = connection.query_one_raw(self.statement(connection, values)).await?;
        Ok(row.map(|row| row.try_get_by_index::<Option<T>>(0)).transpose()?.flatten())
    }

    /// The number in the first column of the first row. A query without a row fails.
    pub async fn number(
        self,
        connection: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<i64, DbErr> {
        let number = self.value(connection, values).await?;
        number.ok_or_else(|| DbErr::RecordNotFound(self.text(connection.get_database_backend()).to_owned()))
    }

    /// Runs a statement and returns the number of rows it changed.
    pub async fn execute(
        self,
        connection: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, DbErr> {
        Ok(connection.execute_raw(self.statement(connection, values)).await?.rows_affected())
    }

    /// Runs a text of several statements, which take no values.
    pub async fn execute_all(self, connection: &impl ConnectionTrait) -> Result<(), DbErr> {
        connection.execute_unprepared(self.text(connection.get_database_backend())).await.map(drop)
    }

    fn statement(self, connection: &impl ConnectionTrait, values: impl IntoIterator<Item = Value>) -> Statement {
        let backend = connection.get_database_backend();
        Statement::from_sql_and_values(backend, self.text(backend), values)
    }
}
