//! The schema: its migrations, its triggers, and the check that a database still has both.
//!
//! The functions at the top are for SQLite, those in [`postgres`] for Postgres.
//!
//! A migration is SQL for tables, indexes and views, and never changes once it was released. Triggers have no history:
//! the files in `triggers/` have their current text, and are applied again when the text differs from the last applied
//! one.
//!
//! The triggers write the change log, in the transaction of the writer: the server, `sqlite3`, a script or an agent
//! that has the path of the file. So no code of requery can forget a notice, and no notice can precede its commit. The
//! triggers run in any SQLite from 3.37 on with its defaults: they call no function and expect no pragma of requery.
//! Foreign keys are off by default, so a trigger does the work of each foreign key as well. Recursive triggers are off
//! too, so no trigger relies on firing itself.

mod early;
mod error;
mod macros;
pub mod postgres;
mod rows;
mod tables;
mod trees;
mod triggers;

pub use error::MigrateError;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

/// The migrations in their order.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_initial", include_str!("../sqlite/0001_initial.sql")),
    ("0002_checks", include_str!("../sqlite/0002_checks.sql")),
    ("0003_figure_deltas", include_str!("../sqlite/0003_figure_deltas.sql")),
    ("0004_words", include_str!("../sqlite/0004_words.sql")),
    ("0005_notice_details", include_str!("../sqlite/0005_notice_details.sql")),
    ("0006_status_detail", include_str!("../sqlite/0006_status_detail.sql")),
    ("0007_state_of_work", include_str!("../sqlite/0007_state_of_work.sql")),
    ("0008_lists_of_tasks", include_str!("../sqlite/0008_lists_of_tasks.sql")),
    ("0009_counts_of_events", include_str!("../sqlite/0009_counts_of_events.sql")),
];
/// The tables of this crate.
const BOOKKEEPING: &str = include_str!("../sqlite/bookkeeping.sql");

/// The changes that [`migrate`] made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations it applied.
    pub applied: Vec<String>,
    /// The rows that broke a rule of a new migration or of a trigger and were put right: how many, and which rule.
    pub put_right: Vec<String>,
    /// The triggers, indexes and views that another program had dropped or changed, and that were made again. If a
    /// trigger is among them, the figures were counted again and all runs were forgotten.
    pub put_back: Vec<String>,
    /// Constraints that a table has lost. The rows are served, but other programs can now write rows that break them.
    pub lost: Vec<String>,
}

/// The state of a database before it is migrated.
enum Standing {
    /// No tables.
    Empty,
    /// All migrations from before the first release.
    Early,
    /// Migrations of requery, without these ones.
    Lacks(Vec<&'static (&'static str, &'static str)>),
}

/// Brings a database to the newest schema, or refuses before the first write.
///
/// All steps are one transaction: a process that is killed leaves the database unchanged, and two processes wait for
/// each other.
pub async fn migrate(db: &DatabaseConnection) -> Result<Migrated, MigrateError> {
    migrate_with_triggers(db, &triggers::of_files()).await
}

async fn migrate_with_triggers(
    db: &DatabaseConnection,
    triggers: &[triggers::Trigger],
) -> Result<Migrated, MigrateError> {
    let mode = Some(SqliteTransactionMode::Immediate);
    let tx = db.begin_with_options(TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() }).await?;
    let mut migrated = Migrated::default();
    let lacks = match standing(&tx).await? {
        Standing::Lacks(lacks) => lacks,
        Standing::Empty => {
            tx.execute_unprepared(&macros::expand(BOOKKEEPING)).await?;
            MIGRATIONS.iter().collect()
        }
        Standing::Early => {
            tx.execute_unprepared(&(macros::expand(BOOKKEEPING) + early::UPGRADE)).await?;
            MIGRATIONS[1..].iter().collect()
        }
    };
    for (name, sql) in lacks {
        tx.execute_unprepared(&macros::expand(sql)).await?;
        tx.execute_unprepared(&format!("insert into requery_migrations (name) values ('{name}')")).await?;
        migrated.applied.push((*name).to_owned());
    }
    let faults = tables::faults(&tx).await?;
    if !faults.is_empty() {
        return Err(MigrateError::Broken(faults));
    }
    let put_back = triggers::apply(&tx, triggers).await?;
    migrated.put_right = put_right(&tx).await?;
    migrated.put_back = put_back.iter().map(|name| format!("trigger {name}")).collect();
    migrated.put_back.extend(tables::put_back(&tx).await?);
    migrated.lost = tables::lost(&tx).await?;
    tx.commit().await?;
    Ok(migrated)
}

/// The rows that were put right. A migration that does so notes them in the table `repairs`, and so does [`trees`].
async fn put_right(tx: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let noted = "select name from temp.sqlite_schema where type = 'table' and name = 'repairs'";
    if rows::texts(tx, noted).await?.is_empty() {
        return Ok(Vec::new());
    }
    let repairs = rows::texts(tx, "select rows || ' rows: ' || what from temp.repairs").await?;
    tx.execute_unprepared("drop table temp.repairs").await?;
    Ok(repairs)
}

/// Fails if [`migrate`] would refuse this database. Only reads.
pub async fn admit(db: &impl ConnectionTrait) -> Result<(), MigrateError> {
    match standing(db).await? {
        Standing::Lacks(lacks) if lacks.is_empty() => match tables::faults(db).await? {
            faults if faults.is_empty() => Ok(()),
            faults => Err(MigrateError::Broken(faults)),
        },
        Standing::Lacks(_) | Standing::Empty | Standing::Early => Ok(()),
    }
}

/// The parts of the schema that another program dropped or changed. Only reads.
pub async fn differences(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let mut found = tables::faults(db).await?;
    found.extend(triggers::lost(db).await?.iter().map(|name| format!("trigger {name}")));
    found.extend(tables::objects(db).await?.into_iter().map(|(name, _)| name));
    Ok(found)
}

/// Whether a database has the newest schema. Fails if [`migrate`] would refuse it. Only reads.
pub async fn is_current(db: &impl ConnectionTrait) -> Result<bool, MigrateError> {
    Ok(matches!(standing(db).await?, Standing::Lacks(lacks) if lacks.is_empty()))
}

/// Drops the triggers, for a transaction that brings rows with all the values that triggers keep and that calls
/// [`make_triggers`] at its end.
pub async fn drop_triggers(tx: &impl ConnectionTrait) -> Result<(), DbErr> {
    triggers::drop_all(tx).await
}

/// Makes the triggers again after [`drop_triggers`]. Counts nothing again.
pub async fn make_triggers(tx: &impl ConnectionTrait) -> Result<(), DbErr> {
    triggers::make(tx, &triggers::of_files()).await
}

/// FNV-1a of a text.
fn hash(text: &str) -> i64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    text.bytes().fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)).cast_signed()
}

async fn standing(db: &impl ConnectionTrait) -> Result<Standing, MigrateError> {
    let named =
        "select name from sqlite_schema where type in ('table', 'view') and name not glob 'sqlite_*' order by name";
    let tables = rows::texts(db, named).await?;
    let has = |table: &str| tables.iter().any(|name| name == table);
    if has("requery_migrations") {
        let names = rows::texts(db, "select name from requery_migrations").await?;
        return match names.iter().find(|name| MIGRATIONS.iter().all(|(known, _)| known != name)) {
            Some(name) => Err(MigrateError::Newer(name.clone())),
            None => {
                Ok(Standing::Lacks(MIGRATIONS.iter().filter(|(name, _)| !names.iter().any(|it| it == name)).collect()))
            }
        };
    }
    // Without the names of its migrations the version of the schema is unknown, so the table is not made again.
    if has("requery_triggers") {
        return Err(MigrateError::Broken(vec!["the table requery_migrations is missing".to_owned()]));
    }
    let found = if has("seaql_migrations") {
        rows::texts(db, "select version from seaql_migrations order by version").await?
    } else {
        Vec::new()
    };
    match (tables.first(), found.iter().any(|name| early::MIGRATIONS.contains(&name.as_str()))) {
        (None, _) => Ok(Standing::Empty),
        (Some(_), true) if found == early::MIGRATIONS => Ok(Standing::Early),
        (Some(_), true) => Err(MigrateError::Early),
        (Some(table), false) => Err(MigrateError::Foreign(table.clone())),
    }
}
