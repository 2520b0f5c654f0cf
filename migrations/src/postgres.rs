//! The schema on Postgres: one schema of a database that other programs use too.
//!
//! Only this schema is looked at, and nothing outside it is read or changed. The triggers write the change log in the
//! transaction of the writer, as on SQLite. They run as the owner of the schema, so a writer needs no right to write the
//! log.

mod files;
mod parts;
mod triggers;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait};

use crate::error::MigrateError;
use crate::{Migrated, rows};

/// The oldest version that is served, as Postgres numbers it.
const OLDEST_VERSION: i64 = 150_000;

/// The longest name of a schema, in bytes: the name of the channel of the notifications has it, and Postgres allows 63.
pub const LONGEST_SCHEMA: usize = 40;

/// The tables that other programs may write.
const WRITABLE: &str = "tasks, sessions, events, bookmarks, usage, agents";

/// A migration locks the tables, and each other program waits behind a lock that waits. So the wait for the transactions
/// of other programs is short, and the caller tries again later.
const LOCK_WAIT: &str = "set local lock_timeout = '2s'";

/// The state of the schema before it is migrated.
enum Standing {
    /// There is no such schema.
    Missing,
    /// It has no tables.
    Empty,
    /// Migrations of requery, without these ones.
    Lacks(Vec<&'static (&'static str, &'static str)>),
}

/// Whether a text can name the schema. The name stands in statements as it is.
pub fn is_schema_name(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|it| it.is_ascii_lowercase() || it == b'_');
    let goes_on = name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    begins && goes_on && name.len() <= LONGEST_SCHEMA && !name.starts_with("pg_")
}

/// Brings the schema to its newest version, or refuses before the first write. Makes the schema if it is missing.
///
/// All steps are one transaction: a process that is killed leaves the database unchanged, and two processes wait for
/// each other.
pub async fn migrate(db: &DatabaseConnection, schema: &str) -> Result<Migrated, MigrateError> {
    check_name(schema)?;
    let tx = begin(db, schema).await?;
    let standing = standing(&tx, schema).await?;
    if matches!(standing, Standing::Missing) {
        tx.execute_unprepared(&format!("create schema {schema}")).await?;
    }
    tx.execute_unprepared(&format!("set local search_path = {schema}, pg_temp")).await?;
    let mut migrated = Migrated::default();
    let lacks = match standing {
        Standing::Lacks(lacks) => lacks,
        Standing::Missing | Standing::Empty => {
            tx.execute_unprepared(files::BOOKKEEPING).await?;
            files::MIGRATIONS.iter().collect()
        }
    };
    for (name, sql) in lacks {
        tx.execute_unprepared(&files::expand(sql, schema)).await?;
        tx.execute_unprepared(&format!("insert into requery_migrations (name) values ('{name}')")).await?;
        migrated.applied.push((*name).to_owned());
    }
    let faults = parts::faults(&tx, schema).await?;
    if !faults.is_empty() {
        return Err(MigrateError::Broken(faults));
    }
    migrated.put_back = triggers::apply(&tx, schema, !migrated.applied.is_empty()).await?;
    migrated.put_right = put_right(&tx).await?;
    migrated.lost = parts::lost(&tx, schema).await?;
    tx.commit().await?;
    Ok(migrated)
}

/// Begins a transaction that changes the schema. Of two such transactions one waits for the other.
async fn begin(db: &DatabaseConnection, schema: &str) -> Result<DatabaseTransaction, DbErr> {
    let tx = db.begin().await?;
    let lock = format!("select pg_advisory_xact_lock(hashtextextended('requery schema {schema}', 0))");
    tx.execute_unprepared(&lock).await?;
    tx.execute_unprepared(LOCK_WAIT).await?;
    Ok(tx)
}

/// Fails if [`migrate`] would refuse this schema. Only reads.
pub async fn admit(db: &impl ConnectionTrait, schema: &str) -> Result<(), MigrateError> {
    check_name(schema)?;
    match standing(db, schema).await? {
        Standing::Lacks(lacks) if lacks.is_empty() => match parts::faults(db, schema).await? {
            faults if faults.is_empty() => Ok(()),
            faults => Err(MigrateError::Broken(faults)),
        },
        Standing::Lacks(_) | Standing::Missing | Standing::Empty => Ok(()),
    }
}

/// Whether the schema is the newest one. Fails if [`migrate`] would refuse it. Only reads.
pub async fn is_current(db: &impl ConnectionTrait, schema: &str) -> Result<bool, MigrateError> {
    check_name(schema)?;
    Ok(matches!(standing(db, schema).await?, Standing::Lacks(lacks) if lacks.is_empty()))
}

/// The parts of the schema that another program dropped or changed: tables, columns, triggers, functions, indexes and
/// views; and `database` if the schema was restored into another one. Not the [`lost_constraints`], without which the rows are served. Only reads.
pub async fn differences(db: &impl ConnectionTrait, schema: &str) -> Result<Vec<String>, DbErr> {
    let mut found = parts::faults(db, schema).await?;
    // Without this table no trigger is known, and its absence is among the faults.
    if found.iter().all(|fault| !fault.contains("requery_triggers")) {
        found.extend(triggers::lost(db, schema).await?);
    }
    Ok(found)
}

/// Puts back the triggers, functions, indexes and views of a schema whose tables have faults, as [`migrate`] refuses to. So
/// the log misses no write because of a fault of a table. Returns what was put back.
pub async fn put_back(db: &DatabaseConnection, schema: &str) -> Result<Vec<String>, MigrateError> {
    let tx = begin(db, schema).await?;
    tx.execute_unprepared(&format!("set local search_path = {schema}, pg_temp")).await?;
    let put_back = triggers::apply(&tx, schema, false).await?;
    tx.commit().await?;
    Ok(put_back)
}

/// Records the triggers of the schema of this transaction as made by requery, after they were disabled and enabled again.
pub async fn record_triggers(tx: &impl ConnectionTrait) -> Result<(), DbErr> {
    let schema = texts(tx, "select current_schema()::text").await?.pop();
    triggers::record_again(tx, &schema.ok_or_else(|| DbErr::RecordNotFound("the schema".to_owned()))?).await
}

/// The constraints that tables have lost, as in [`Migrated::lost`]. Only reads.
pub async fn lost_constraints(db: &impl ConnectionTrait, schema: &str) -> Result<Vec<String>, DbErr> {
    parts::lost(db, schema).await
}

/// The statements that give a role the least rights with which it can write tasks, sessions, events, bookmarks, usage
/// and agents.
pub fn grants(schema: &str, role: &str) -> String {
    let role = role.replace('"', "\"\"");
    format!(
        "grant usage on schema {schema} to \"{role}\";
grant select, insert, update, delete on {tables} to \"{role}\";
grant select on {schema}.task_counts to \"{role}\";
grant usage on sequence {schema}.events_position_seq to \"{role}\";
",
        tables = WRITABLE.split(", ").map(|table| format!("{schema}.{table}")).collect::<Vec<_>>().join(", "),
    )
}

/// The first column of each row that a statement finds.
async fn texts(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, DbErr> {
    rows::all(db, sql).await?.iter().map(|row| rows::utf8(row, 0)).collect()
}

fn check_name(schema: &str) -> Result<(), MigrateError> {
    if is_schema_name(schema) {
        return Ok(());
    }
    let rule = "is no name for the schema: it has small letters, digits and underscores, and at most 40 of them";
    Err(MigrateError::Unfit(format!("{schema:?} {rule}")))
}

/// The rows that were put right.
async fn put_right(tx: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    if texts(tx, "select to_regclass('pg_temp.repairs')::text where to_regclass('pg_temp.repairs') is not null")
        .await?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    let repairs = texts(tx, "select rows::text || ' rows: ' || what from pg_temp.repairs").await?;
    tx.execute_unprepared("drop table pg_temp.repairs").await?;
    Ok(repairs)
}

async fn standing(db: &impl ConnectionTrait, schema: &str) -> Result<Standing, MigrateError> {
    let fit = format!(
        "select current_setting('server_version_num')::bigint, getdatabaseencoding()::text, current_database()::text,
            current_user::text, has_database_privilege(current_database(), 'create'),
            (select has_schema_privilege(oid, 'create') from pg_namespace where nspname = '{schema}')"
    );
    let found = rows::all(db, &fit).await?;
    let Some(row) = found.first() else { return Err(DbErr::RecordNotFound("the settings".to_owned()).into()) };
    let (version, encoding, database) = (row.try_get_by_index::<i64>(0)?, rows::utf8(row, 1)?, rows::utf8(row, 2)?);
    let (user, may_make_schemas) = (rows::utf8(row, 3)?, row.try_get_by_index::<bool>(4)?);
    let may_make_tables: Option<bool> = row.try_get_by_index(5)?;
    if version < OLDEST_VERSION {
        return Err(MigrateError::Unfit(format!("the server is Postgres {}, and 15 is needed", version / 10_000)));
    }
    if encoding != "UTF8" {
        return Err(MigrateError::Unfit(format!("the encoding of the database {database} is {encoding}, not UTF8")));
    }
    let Some(may_make_tables) = may_make_tables else {
        return match may_make_schemas {
            true => Ok(Standing::Missing),
            false => Err(MigrateError::Unfit(format!(
                "the schema {schema} does not exist, and the user {user} may not create it: \
                 create schema {schema} authorization \"{user}\""
            ))),
        };
    };
    let named = format!(
        "select relname::text from pg_class where relnamespace = '{schema}'::regnamespace
            and relkind in ('r', 'p', 'v', 'm', 'f') order by relname"
    );
    let tables = texts(db, &named).await?;
    let has = |table: &str| tables.iter().any(|name| name == table);
    if has("requery_migrations") {
        let names = texts(db, &format!("select name from {schema}.requery_migrations")).await?;
        if let Some(name) = names.iter().find(|name| files::MIGRATIONS.iter().all(|(known, _)| known != name)) {
            return Err(MigrateError::Newer(name.clone()));
        }
        let lacks = files::MIGRATIONS.iter().filter(|(name, _)| !names.iter().any(|it| it == name));
        return Ok(Standing::Lacks(lacks.collect()));
    }
    // Without the names of its migrations the version of the schema is unknown, so the table is not made again.
    if has("requery_triggers") {
        return Err(MigrateError::Broken(vec!["the table requery_migrations is missing".to_owned()]));
    }
    match tables.into_iter().next() {
        Some(table) => Err(MigrateError::Foreign(table)),
        None if may_make_tables => Ok(Standing::Empty),
        None => Err(MigrateError::Unfit(format!("the user {user} may not create tables in the schema {schema}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{grants, is_schema_name};

    #[test]
    fn a_schema_has_a_plain_name() {
        for name in ["requery", "_a1", &"a".repeat(40)] {
            assert!(is_schema_name(name), "{name}");
        }
        for name in ["", "1a", "A", "a-b", "a b", "ä", "pg_a", &"a".repeat(41)] {
            assert!(!is_schema_name(name), "{name}");
        }
    }

    #[test]
    fn a_role_gets_no_right_to_the_log() {
        let sql = grants("requery", "a\"b");
        assert!(sql.contains("\"a\"\"b\"") && !sql.contains("changes") && !sql.contains("figure"), "{sql}");
    }
}
