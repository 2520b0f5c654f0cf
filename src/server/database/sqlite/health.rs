//! What is wrong with a file, and whether that is the search index alone: it is worth nothing that cannot be made again.
//!
//! SQLite looks through the tables in an order of its own and ends with what it cannot go on from. So a table that is
//! worth something is looked through by its name: nothing that is wrong with the index hides what is wrong with it.

use std::path::Path;

use sea_orm::sqlx::{self, ConnectOptions, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use sea_orm::{DbErr, RuntimeErr};

/// The search index, as SQLite knows it: two virtual tables and those the first is kept in.
const INDEX: [&str; 7] = [
    "search_index",
    "search_index_config",
    "search_index_content",
    "search_index_data",
    "search_index_docsize",
    "search_index_idx",
    "search_words",
];
/// What else is kept with it and made again with it.
const WITH_INDEX: [&str; 3] = ["search_documents", "search_tasks", "searched"];

const ERROR: i32 = 1;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;
const CORRUPT_VIRTUAL_TABLE: i32 = 267;

/// What SQLite finds in the structure of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing.
    Sound,
    /// A fault of the search index, and none of anything else.
    Index(String),
    /// A fault of something that cannot be made again.
    File(String),
}

/// A connection of its own, which has nothing of the file in memory yet.
pub(in crate::server) async fn connect(path: &Path) -> Result<SqliteConnection, DbErr> {
    let options = SqliteConnectOptions::new().filename(path).pragma("query_only", "on").disable_statement_logging();
    SqliteConnection::connect_with(&options).await.map_err(query)
}

/// Looks through a whole file.
pub(in crate::server) async fn of_file(path: &Path) -> Result<Health, DbErr> {
    let mut fresh = connect(path).await?;
    let health = health(&mut fresh).await;
    fresh.close().await.map_err(query)?;
    health
}

/// The same on a connection. It should be a fresh one.
pub(in crate::server) async fn health(connection: &mut SqliteConnection) -> Result<Health, DbErr> {
    // A virtual table that cannot be opened ends it before it began.
    let (found, ended) = match check(connection, "").await {
        Ok(found) => (found, false),
        Err(error) if matches!(code(&error), Some(ERROR | CORRUPT)) => (vec![error.to_string()], true),
        Err(error) => return Err(error),
    };
    let Some(first) = found.first() else { return Ok(Health::Sound) };

    let tables = "select name, rootpage from sqlite_schema where type = 'table'";
    let rows = sqlx::query(tables).fetch_all(&mut *connection).await.map_err(query)?;
    let tables: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let of_index = |name: &str| INDEX.contains(&name) || WITH_INDEX.contains(&name);
    let stored = tables.iter().filter(|(name, page)| *page > 0 && !of_index(name)).map(|(name, _)| name.as_str());
    for name in ["sqlite_schema"].into_iter().chain(stored) {
        match check(connection, name).await {
            Ok(faults) if faults.is_empty() => {}
            Ok(mut faults) => return Ok(Health::File(faults.swap_remove(0))),
            Err(error) if code(&error) == Some(CORRUPT) => return Ok(Health::File(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    // To drop an index whose pages are those of another table too would take them from it.
    let shared = |fault: &&String| fault.contains("2nd reference") || fault.starts_with("Freelist");
    if let Some(shared) = found.iter().find(shared) {
        return Ok(Health::File(shared.clone()));
    }
    for name in tables.iter().map(|(name, _)| name).filter(|name| of_index(name)) {
        match check(connection, name).await {
            Ok(faults) if faults.is_empty() => {}
            Ok(mut faults) => return Ok(Health::Index(faults.swap_remove(0))),
            Err(error) if matches!(code(&error), Some(ERROR | CORRUPT)) => return Ok(Health::Index(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    // Somebody else's virtual table that cannot be opened is theirs to mend.
    Ok(if ended { Health::Sound } else { Health::File(first.clone()) })
}

/// What SQLite finds in one table, or in all and what is between them.
async fn check(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>, DbErr> {
    let sql = match table {
        "" => "pragma quick_check".to_owned(),
        table => format!("pragma quick_check(\"{}\")", table.replace('"', "\"\"")),
    };
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await.map_err(query)?;
    let found = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>().map_err(query)?;
    Ok(found.into_iter().filter(|found| found != "ok").collect())
}

/// What is wrong with the search index, where that is what `error` says. Not that a query is: that mends nothing.
pub(in crate::server) fn damage_of_index(error: &DbErr) -> Option<String> {
    const NO_TABLE: [&str; 3] = ["vtable constructor failed: ", "no such fts5 table: ", "no such table: "];
    let detail = error.to_string();
    let index = match extended_code(error)? {
        // Nobody else's is asked for, but a trigger may write to one: then it is named.
        CORRUPT_VIRTUAL_TABLE => names_index(&detail) || !detail.contains("table \""),
        code if code & 0xff == CORRUPT => names_index(&detail),
        code if code & 0xff == ERROR => {
            detail.contains("invalid fts5 file format")
                || names_index(&detail) && NO_TABLE.iter().any(|what| detail.contains(what))
        }
        _ => false,
    };
    index.then_some(detail)
}

/// Whether it names a table of the index: as a whole word, since anybody may have a `search_index_2`.
fn names_index(detail: &str) -> bool {
    let mut words = detail.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| INDEX.contains(&word))
}

/// What is wrong with the file, where that is what `error` says.
pub(in crate::server) fn damage(error: &DbErr) -> Option<String> {
    matches!(code(error)?, CORRUPT | NOT_A_DATABASE).then(|| error.to_string())
}

/// Whether a page of some table is not what it should be, and the file still is a database.
pub(in crate::server) fn is_within(error: &DbErr) -> bool {
    code(error) == Some(CORRUPT)
}

/// SQLite's primary result code.
pub(in crate::server) fn code(error: &DbErr) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

fn extended_code(error: &DbErr) -> Option<i32> {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    error.as_database_error()?.code()?.parse().ok()
}

fn query(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

#[cfg(test)]
mod tests {
    use super::names_index;

    #[test]
    fn only_our_own_tables_are_the_index() {
        for ours in [
            "vtable constructor failed: search_index",
            "malformed inverted index for FTS5 table main.search_index",
            "fts5: corruption found reading blob 10 from table \"search_index\"",
            "no such table: main.search_index_data",
        ] {
            assert!(names_index(ours), "{ours}");
        }
        for other in [
            "malformed inverted index for FTS5 table main.notes",
            "vtable constructor failed: search_index_of_mine",
            "no such table: my_search_words",
            "no such table: search_documents",
        ] {
            assert!(!names_index(other), "{other}");
        }
    }
}
