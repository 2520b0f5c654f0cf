//! The tables, compared with the tables of a fresh database.
//!
//! A tool that changes a column makes a new table, copies the rows and drops the old table. This module finds the parts
//! that the new table lacks. A lost column, key or default cannot be restored without a loss. Indexes and views hold no
//! rows of their own, so they are made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DbErr, RuntimeErr};

use crate::macros::{expand, normalised};
use crate::{BOOKKEEPING, MIGRATIONS, MigrateError, rows};

/// The tables of requery without the tables of search: the server works without these, and rebuilds them by itself.
const TABLES: &str = "(select name, sql from sqlite_schema where type = 'table'
    and name not glob 'sqlite_*' and name not glob 'search*')";

/// The parts that a table must have: its name, a rank, and the sentence for a table that lacks the part. Only the
/// lowest rank of a table is reported, because a missing column has no type either.
const NEEDED: &str = "
select t.name, 0, 'the table ' || t.name || ' is missing' from {tables} t
union all
select t.name, 1, 'the table ' || t.name || ' has no column ' || c.name from {tables} t, pragma_table_info(t.name) c
union all
select t.name, 2, 'the column ' || c.name || ' of the table ' || t.name || ' is not of the type ' || upper(c.type)
from {tables} t, pragma_table_info(t.name) c
union all
select t.name, 2, 'the column ' || c.name || ' of the table ' || t.name || ' is not in its primary key'
from {tables} t, pragma_table_info(t.name) c where c.pk > 0
union all
select t.name, 2, 'the column ' || c.name || ' of the table ' || t.name || ' is not NOT NULL'
from {tables} t, pragma_table_info(t.name) c where c.\"notnull\"
union all
select t.name, 2, 'the column ' || c.name || ' of the table ' || t.name || ' has no default'
from {tables} t, pragma_table_info(t.name) c where c.dflt_value is not null
union all
select t.name, 2, 'the column ' || c.name || ' of the table ' || t.name || ' is not unique'
from {tables} t, pragma_index_list(t.name) i, pragma_index_info(i.name) c where i.origin = 'u'
union all
select t.name, 2, 'the table ' || t.name || ' has no AUTOINCREMENT' from {tables} t where t.sql like '%autoincrement%'";

/// References to missing tables. SQLite refuses each write to a table with such a reference.
const DANGLING: &str = "
select t.name, 'the table ' || t.name || ' refers to the table ' || f.\"table\" || ', which is missing'
from {tables} t, pragma_foreign_key_list(t.name) f
where not exists (select 1 from sqlite_schema where type = 'table' and name = f.\"table\" collate nocase)";

const OBJECTS: &str = "select type, name, sql from sqlite_schema
    where type in ('index', 'view') and sql is not null and name not glob 'search*' order by rowid";

/// The schema of a fresh database.
struct Fresh {
    needed: Vec<(String, i64, String)>,
    tables: BTreeMap<String, String>,
    objects: Vec<(String, String, String)>,
}

async fn fresh() -> Result<&'static Fresh, DbErr> {
    static FRESH: OnceLock<Fresh> = OnceLock::new();
    if let Some(fresh) = FRESH.get() {
        return Ok(fresh);
    }
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await?;
    for sql in std::iter::once(BOOKKEEPING).chain(MIGRATIONS.iter().map(|(_, sql)| *sql)) {
        db.execute_unprepared(&expand(sql)).await?;
    }
    let fresh = Fresh { needed: needed(&db).await?, tables: tables(&db).await?, objects: all_objects(&db).await? };
    db.close().await?;
    Ok(FRESH.get_or_init(|| fresh))
}

/// The faults of the tables that no statement can repair.
pub(crate) async fn faults(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let fresh = fresh().await?;
    let there: BTreeSet<_> = needed(db).await?.into_iter().collect();
    let mut missing: BTreeMap<&str, (i64, Vec<String>)> = BTreeMap::new();
    for (table, rank, fault) in fresh.needed.iter().filter(|part| !there.contains(part)) {
        let found = missing.entry(table).or_insert((*rank, Vec::new()));
        // The parts come in the order of their ranks.
        if *rank == found.0 {
            found.1.push(fault.clone());
        }
    }
    let mut faults: Vec<String> = missing.into_values().flat_map(|(_, faults)| faults).collect();
    for row in rows::all(db, &DANGLING.replace("{tables}", TABLES)).await? {
        let table = rows::text(&row, 0)?;
        if fresh.tables.contains_key(&table) {
            faults.push(rows::text(&row, 1)?);
        }
    }
    Ok(faults)
}

async fn needed(db: &impl ConnectionTrait) -> Result<Vec<(String, i64, String)>, DbErr> {
    let found = rows::all(db, &NEEDED.replace("{tables}", TABLES)).await?;
    found.iter().map(|row| Ok((rows::text(row, 0)?, row.try_get_by_index(1)?, rows::text(row, 2)?))).collect()
}

async fn tables(db: &impl ConnectionTrait) -> Result<BTreeMap<String, String>, DbErr> {
    let found = rows::all(db, &format!("select name, sql from {TABLES}")).await?;
    found.iter().map(|row| Ok((rows::text(row, 0)?, normalised(&rows::text(row, 1)?)))).collect()
}

async fn all_objects(db: &impl ConnectionTrait) -> Result<Vec<(String, String, String)>, DbErr> {
    let found = rows::all(db, OBJECTS).await?;
    found.iter().map(|row| Ok((rows::text(row, 0)?, rows::text(row, 1)?, rows::text(row, 2)?))).collect()
}

/// The constraints that tables have lost. Rows that break them can now be written; all other writes work as before.
pub(crate) async fn lost(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let there = tables(db).await?;
    let mut lost = Vec::new();
    for (name, sql) in &fresh().await?.tables {
        let Some(found) = there.get(name) else { continue };
        let constraints = sql.split("constraint ").skip(1).filter_map(|rest| rest.split(' ').next());
        lost.extend(constraints.filter(|it| !found.contains(*it)).map(|it| format!("the table {name}: {it}")));
        let end = found.rsplit(')').next().unwrap_or_default().to_lowercase();
        if !end.contains("strict") && sql.contains(") strict") {
            lost.push(format!("the table {name}: STRICT"));
        }
    }
    Ok(lost)
}

/// The indexes and views that are missing or have another text, each with the statements that make it again.
pub(crate) async fn objects(db: &impl ConnectionTrait) -> Result<Vec<(String, String)>, DbErr> {
    let there = all_objects(db).await?;
    let differs = |name: &str, sql: &str| !there.iter().any(|it| it.1 == name && normalised(&it.2) == normalised(sql));
    let different = fresh().await?.objects.iter().filter(|(_, name, sql)| differs(name, sql));
    let again = |(kind, name, sql): &(String, String, String)| {
        (format!("{kind} {name}"), format!("drop {kind} if exists \"{name}\"; {sql}"))
    };
    Ok(different.map(again).collect())
}

/// Makes the indexes and views of [`objects`] again and returns their names.
pub(crate) async fn put_back(db: &impl ConnectionTrait) -> Result<Vec<String>, MigrateError> {
    let mut made = Vec::new();
    for (name, sql) in objects(db).await? {
        match db.execute_unprepared(&sql).await {
            Ok(_) => made.push(name),
            Err(DbErr::Exec(RuntimeErr::SqlxError(error)))
                if error.as_database_error().is_some_and(|it| it.is_unique_violation()) =>
            {
                return Err(MigrateError::Broken(vec![format!(
                    "the {name} is missing and the rows break it: {error}"
                )]));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(made)
}
