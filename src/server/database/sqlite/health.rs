//! The health of a file: whether SQLite finds corruption in it, and whether only the search index is corrupt. The index
//! can be rebuilt from the rows.
//!
//! `PRAGMA quick_check` goes through the tables in an order of its own and stops at a fault that it cannot skip. So
//! damage to the index could hide damage to a table that cannot be rebuilt. To prevent that, each such table is checked
//! by its name.

use std::path::Path;

use requery_entities::StoredText;
use sea_orm::DbErr;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteError, SqliteRow};
use sea_orm::sqlx::{self, ConnectOptions, Connection, Row, SqliteConnection};

use crate::server::database::driver_error::of_driver;
pub(super) use crate::server::database::driver_error::query;

/// The tables of the search index: two virtual tables, and the shadow tables in which FTS5 stores the first.
const INDEX: [&str; 7] = [
    "search_index",
    "search_index_config",
    "search_index_content",
    "search_index_data",
    "search_index_docsize",
    "search_index_idx",
    "search_words",
];
/// Our own tables that describe the index. A rebuild empties them too.
const WITH_INDEX: [&str; 3] = ["search_documents", "search_tasks", "searched"];

const ERROR: i32 = 1;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;
const CORRUPT_VIRTUAL_TABLE: i32 = 267;

/// The result of a check. The text is one fault, in the words of SQLite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No fault.
    Sound,
    /// The search index has a fault, and all other tables are sound.
    Index(String),
    /// A table that cannot be rebuilt has a fault.
    File(String),
}

/// Opens a new connection, which has no page of the file in its cache yet.
pub(in crate::server) async fn connect(path: &Path) -> Result<SqliteConnection, DbErr> {
    let options = SqliteConnectOptions::new().filename(path).pragma("query_only", "on").disable_statement_logging();
    SqliteConnection::connect_with(&options).await.map_err(query)
}

/// Checks a whole file that no connection is open to.
pub(in crate::server) async fn of_file(path: &Path) -> Result<Health, DbErr> {
    let mut fresh = connect(path).await?;
    let health = health(&mut fresh).await;
    fresh.close().await.map_err(query)?;
    health
}

/// Checks a whole file on `connection`, which must have no page of the file in its cache.
///
/// All statements read one snapshot. Otherwise the index could be rebuilt after the first statement found a fault in
/// the index. The later statements would find the fault in no table, and the whole file would count as damaged.
pub(in crate::server) async fn health(connection: &mut SqliteConnection) -> Result<Health, DbErr> {
    let mut snapshot = connection.begin().await.map_err(query)?;
    let health = health_of_snapshot(&mut snapshot).await;
    // An interrupted statement can have ended the transaction already. Then the rollback fails, and there is no harm.
    let _ = snapshot.rollback().await;
    health
}

async fn health_of_snapshot(connection: &mut SqliteConnection) -> Result<Health, DbErr> {
    // If SQLite cannot open a virtual table, it checks no table at all and returns an error.
    let (found, aborted) = match check(connection, "").await {
        Ok(found) => (found, false),
        Err(error) if matches!(code(&error), Some(ERROR | CORRUPT)) => (vec![error.to_string()], true),
        Err(error) => return Err(error),
    };
    let Some(first) = found.first() else { return Ok(Health::Sound) };

    let tables = "select name, rootpage from sqlite_schema where type = 'table'";
    let rows = sqlx::query(tables).fetch_all(&mut *connection).await.map_err(query)?;
    let table = |row: &SqliteRow| Ok((String::from(text(row, 0)?), row.try_get(1)?));
    let tables: Vec<(String, i64)> = rows.iter().map(table).collect::<Result<_, _>>().map_err(query)?;
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
    // If the index shares a page with another table, or the list of free pages is damaged, dropping the index would
    // free pages of the other table. So this is damage to the file.
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
    // All stored tables are sound. If the check was aborted, the cause is a virtual table of another program, which
    // that program has to repair.
    Ok(if aborted { Health::Sound } else { Health::File(first.clone()) })
}

/// The faults that SQLite finds in one table. With an empty name: in all tables and in the pages outside of tables.
async fn check(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>, DbErr> {
    let sql = match table {
        "" => "pragma quick_check".to_owned(),
        table => format!("pragma quick_check(\"{}\")", table.replace('"', "\"\"")),
    };
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await.map_err(query)?;
    let found = rows.iter().map(|row| text(row, 0)).collect::<Result<Vec<_>, _>>().map_err(query)?;
    Ok(found.into_iter().filter(|found| found != "ok" && !is_fault_of_a_row(found)).map(String::from).collect())
}

/// Whether the fault is a value that a constraint forbids. Another program can switch the constraints off and write
/// such a row. The row can be read, and the file is sound.
fn is_fault_of_a_row(fault: &str) -> bool {
    fault.starts_with("CHECK constraint failed in ") || fault.contains(" value in ")
}

fn text(row: &SqliteRow, column: usize) -> Result<StoredText, sqlx::Error> {
    row.try_get(column).map(StoredText::from_bytes)
}

/// The text of `error`, if it says that the search index is corrupt. A faulty query is not damage: a rebuild would not
/// help.
pub(in crate::server) fn damage_of_index(error: &DbErr) -> Option<String> {
    const NO_TABLE: [&str; 3] = ["vtable constructor failed: ", "no such fts5 table: ", "no such table: "];
    let detail = error.to_string();
    let index = match extended_code(error)? {
        // No query here reads a virtual table of another program, but a trigger can write to one. SQLite then names
        // that table.
        CORRUPT_VIRTUAL_TABLE => names_index(&detail) || !detail.contains("table \""),
        code if code & 0xff == CORRUPT => names_index(&detail),
        code if code & 0xff == ERROR => {
            detail.contains("invalid fts5 file format")
                || names_index(&detail) && NO_TABLE.iter().any(|message| detail.contains(message))
        }
        _ => false,
    };
    index.then_some(detail)
}

/// Whether the text names a table of the index. Whole words are compared, since another program may have made a table
/// `search_index_2`.
fn names_index(detail: &str) -> bool {
    let mut words = detail.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| INDEX.contains(&word))
}

/// The text of `error`, if it says that the file is corrupt or no database.
pub(in crate::server) fn damage(error: &DbErr) -> Option<String> {
    matches!(code(error)?, CORRUPT | NOT_A_DATABASE).then(|| error.to_string())
}

/// Whether only some page is corrupt and the file still is a database.
pub(in crate::server) fn is_within(error: &DbErr) -> bool {
    code(error) == Some(CORRUPT)
}

/// SQLite's primary result code.
pub(in crate::server) fn code(error: &DbErr) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

/// The message of SQLite, or of the driver if the error is not one of SQLite.
pub(in crate::server) fn message(error: &DbErr) -> String {
    let found = of_driver(error).map(|error| match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    });
    found.unwrap_or_else(|| error.to_string())
}

fn extended_code(error: &DbErr) -> Option<i32> {
    let error = of_driver(error)?.as_database_error()?;
    error.try_downcast_ref::<SqliteError>()?;
    error.code()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use sea_orm::sqlx::{self, Connection};

    use super::{Health, connect, health, names_index};
    use crate::server::database::Database;

    /// The index is damaged and repaired while the file is checked. No check finds damage to the file.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_repair_during_the_check_is_no_damage_to_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("requery.db");
        let database = Database::open(path.clone().into()).await.expect("a database");
        let is_done = AtomicBool::new(false);
        let repairs = async {
            let mut other = connect(&path).await.expect("a connection");
            let keep = "pragma query_only = off;
                insert into search_index (rowid, title, text, scope) values (1, 'alpha', 'beta', 'gamma');
                create temp table kept as select * from search_index_data where id > 10";
            sqlx::raw_sql(keep).execute(&mut other).await.expect(keep);
            while !is_done.load(Ordering::SeqCst) {
                let (damage, repair) =
                    ("delete from search_index_data where id > 10", "insert into search_index_data select * from kept");
                for sql in [damage, repair] {
                    sqlx::raw_sql(sql).execute(&mut other).await.expect(sql);
                }
            }
            other.close().await.expect("the end");
        };
        let checks = async {
            let mut found = [0; 2];
            for round in 0..200 {
                let mut fresh = connect(&path).await.expect("a connection");
                match health(&mut fresh).await.expect("a check") {
                    Health::Sound => found[0] += 1,
                    Health::Index(_) => found[1] += 1,
                    Health::File(detail) => panic!("check {round}: {detail}"),
                }
                fresh.close().await.expect("the end");
            }
            is_done.store(true, Ordering::SeqCst);
            assert!(found.iter().all(|found| *found > 0), "the checks met both states: {found:?}");
        };
        tokio::join!(repairs, checks);
        database.close("the test ended").await;
    }

    #[test]
    fn only_tables_of_the_index_are_recognized() {
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
