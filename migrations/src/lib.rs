//! The schema: tables, and beside each table the triggers that write the change log.
//!
//! Migrations speak SQL and never entities, so that an old one never changes. The log is written by the database
//! itself, in the transaction of whoever writes: the server, `sqlite3`, a script or an agent with the path of the file.
//! No code of ours can therefore forget a notice, and none can precede its commit.
//!
//! The triggers run in any SQLite from 3.37 on with its own defaults: they call no function and expect no pragma of
//! ours. Foreign keys are off there, so whatever a foreign key would do is done by a trigger as well; recursive
//! triggers are off too, so nothing relies on a trigger that fires itself.

mod m0001_change_log;
mod m0002_tasks;
mod m0003_sessions;
mod m0004_events;
mod m0005_bookmarks;
mod m0006_search;
mod m0007_usage;
mod m0008_silence;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::{DbErr, MigrationTrait, SchemaManager, async_trait};
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Brings a database to the newest schema.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_change_log::Migration),
            Box::new(m0002_tasks::Migration),
            Box::new(m0003_sessions::Migration),
            Box::new(m0004_events::Migration),
            Box::new(m0005_bookmarks::Migration),
            Box::new(m0006_search::Migration),
            Box::new(m0007_usage::Migration),
            Box::new(m0008_silence::Migration),
        ]
    }
}

/// Milliseconds since 1970, in SQL.
const NOW: &str = "cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)";

/// A UUID of version 7 in lower-case hyphenated text, in SQL.
const FRESH_ID: &str = "lower(substr(printf('%012x', cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)), 1, 8) \
    || '-' || substr(printf('%012x', cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)), 9, 4) \
    || '-7' || substr(hex(randomblob(2)), 2) \
    || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) \
    || '-' || hex(randomblob(6)))";

/// Runs the statements of a migration in which `{now}`, `{fresh_id}` and `{is_id:column}` stand for SQL.
async fn run(manager: &SchemaManager<'_>, sqlite: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    match connection.get_database_backend() {
        DbBackend::Sqlite => connection.execute_unprepared(&expand(sqlite)).await.map(|_| ()),
        other => Err(DbErr::Migration(format!("no schema for {other:?}; only sqlite: URLs are served"))),
    }
}

fn expand(sql: &str) -> String {
    let mut sql = sql.replace("{now}", NOW).replace("{fresh_id}", FRESH_ID);
    while let Some(start) = sql.find("{is_id:") {
        let Some(end) = sql[start..].find('}').map(|end| start + end) else { break };
        let column = sql[start + "{is_id:".len()..end].to_owned();
        let hex = |count| "[0-9a-f]".repeat(count);
        let shape = format!("{column} glob '{}-{}-{}-{}-{}'", hex(8), hex(4), hex(4), hex(4), hex(12));
        sql.replace_range(start..=end, &shape);
    }
    sql
}

/// A migration whose statements are SQL. They run in one transaction: a server that is killed half-way starts again.
macro_rules! migration {
    ($name:literal, $sqlite:literal) => {
        /// See the statements.
        pub(crate) struct Migration;

        impl sea_orm_migration::MigrationName for Migration {
            fn name(&self) -> &str {
                $name
            }
        }

        #[sea_orm_migration::async_trait::async_trait]
        impl sea_orm_migration::MigrationTrait for Migration {
            fn use_transaction(&self) -> Option<bool> {
                Some(true)
            }

            async fn up(&self, manager: &sea_orm_migration::SchemaManager) -> Result<(), sea_orm_migration::DbErr> {
                crate::run(manager, $sqlite).await
            }
        }
    };
}
pub(crate) use migration;
