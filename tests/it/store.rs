//! The database of a test on the engine that the environment names, and SQL that another process runs on it.
//!
//! A folder stands for one database: it holds the file of SQLite, or a file with the URL of a Postgres database.

use std::path::{Path, PathBuf};
use std::process::Command;

use requery::protocol::Cursor;
use requery::server::database::Location;

use crate::cluster::{Cluster, TestDatabase};

/// The variable with the name of the engine.
const VARIABLE: &str = "REQUERY_TEST_DATABASE";

/// The kind of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The engine of this test run.
pub fn engine() -> Engine {
    match std::env::var(VARIABLE).as_deref() {
        Ok("postgres") => Engine::Postgres,
        Err(_) | Ok("" | "sqlite") => Engine::Sqlite,
        Ok(other) => panic!("{VARIABLE} is {other}"),
    }
}

/// Whether the test has to return, because it is about SQLite and this run is on Postgres. The reason is for readers.
pub fn on_sqlite_only(_reason: &str) -> bool {
    engine() == Engine::Postgres
}

/// The value for the engine of this test run, mostly a statement.
pub fn by_engine<T>(sqlite: T, postgres: T) -> T {
    match engine() {
        Engine::Sqlite => sqlite,
        Engine::Postgres => postgres,
    }
}

/// The present time in milliseconds, as SQL.
pub fn now_ms() -> &'static str {
    by_engine(
        "cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)",
        "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    )
}

/// A random whole number from 0 below `most`, as SQL.
pub fn any_number(most: u32) -> String {
    match engine() {
        Engine::Sqlite => format!("abs(random() % {most})"),
        Engine::Postgres => format!("floor(random() * {most})::bigint"),
    }
}

/// A random text of four letters, as SQL.
pub fn any_text() -> &'static str {
    by_engine("hex(randomblob(2))", "upper(substr(md5(random()::text), 1, 4))")
}

/// Checks that a cursor is still the same where nothing was written. A cursor of Postgres goes on with the transactions
/// of all databases of its cluster, so there the check is that it does not go back.
#[track_caller]
pub fn assert_same_cursor(found: &str, expected: &str, what: &str) {
    match engine() {
        Engine::Sqlite => assert_eq!(found, expected, "{what}"),
        Engine::Postgres => {
            let cursor = |text: &str| text.parse::<Cursor>().unwrap();
            assert!(cursor(found).covers(&cursor(expected)), "{what}: {found} does not cover {expected}");
        }
    }
}

/// The database of a server, for a test that writes to it beside the server.
#[derive(Clone, Debug)]
pub enum Store {
    File(PathBuf),
    Postgres(TestDatabase),
}

impl Store {
    /// The database that belongs to the folder. The first call on Postgres makes it.
    pub fn of(folder: &Path) -> Self {
        match engine() {
            Engine::Sqlite => Self::File(folder.join("requery.db")),
            Engine::Postgres => {
                let file = folder.join("url");
                let url = std::fs::read_to_string(&file).unwrap_or_else(|_| {
                    let url = Cluster::shared().create_database().url;
                    std::fs::write(&file, &url).unwrap();
                    url
                });
                Self::Postgres(TestDatabase::at(&url))
            }
        }
    }

    /// The location for a server.
    pub fn location(&self) -> Location {
        match self {
            Self::File(path) => path.clone().into(),
            Self::Postgres(database) => {
                database.url.parse().unwrap_or_else(|error| panic!("{}: {error}", database.url))
            }
        }
    }

    /// The value of `--database-url`.
    pub fn argument(&self) -> String {
        match self {
            Self::File(path) => path.to_str().unwrap().to_owned(),
            Self::Postgres(database) => database.url.clone(),
        }
    }

    /// Runs SQL in another process.
    pub fn sql(&self, sql: &str) -> String {
        match self {
            Self::File(path) => sqlite3(path, sql),
            Self::Postgres(database) => database.psql(sql),
        }
    }

    /// The same. Fails with the error text of the first statement that fails.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        match self {
            Self::File(path) => try_sqlite3(path, sql),
            Self::Postgres(database) => database.try_psql(sql),
        }
    }

    /// Whether all changes are folded.
    pub fn is_folded(&self) -> bool {
        // A change of another transaction that ended after the snapshot of the fold is not folded.
        let of_postgres = "select not exists (select from changes, folded where kind = 'event.logged'
                and (xid >= pg_snapshot_xmax(next::pg_snapshot)
                    or xid = any(array(select pg_snapshot_xip(next::pg_snapshot)))))
            and not exists (select from figure_deltas)";
        match self {
            Self::File(path) => sqlite3(path, "select next > (select max(id) from changes) from folded") == "1",
            Self::Postgres(database) => database.psql(of_postgres) == "t",
        }
    }
}

/// Runs SQL with the `sqlite3` program.
pub fn sqlite3(path: &Path, sql: &str) -> String {
    try_sqlite3(path, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Runs SQL with the `sqlite3` program. Returns its output, or its error text.
pub fn try_sqlite3(path: &Path, sql: &str) -> Result<String, String> {
    let output = Command::new("sqlite3").args(["-cmd", ".timeout 5000"]).arg(path).arg(sql).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
