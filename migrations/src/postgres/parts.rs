//! The tables, compared with the statements of the migrations.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbErr};

use super::files;
use crate::rows;

/// A table of the migrations.
#[derive(Default)]
struct Table {
    columns: Vec<Column>,
    constraints: Vec<String>,
    references: Vec<String>,
    has_key: bool,
}

/// A column of the migrations.
struct Column {
    name: String,
    kind: &'static str,
    is_required: bool,
    has_default: bool,
}

/// The tables of the migrations. Reads the form in which the migrations are written, and no other SQL.
fn wanted() -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    for statement in files::statements() {
        let head = ["create table ", "create unlogged table "].into_iter().find_map(|it| statement.strip_prefix(it));
        let Some((name, body)) = head.and_then(|rest| rest.split_once(" (")) else { continue };
        let mut table = Table::default();
        for part in split(body.strip_suffix(')').unwrap_or(body)) {
            let words: Vec<&str> = part.split(' ').collect();
            table.has_key |= part.contains("primary key");
            let names = words.windows(2).filter(|pair| pair[0] == "constraint").map(|pair| pair[1].to_owned());
            table.constraints.extend(names);
            if let Some((_, target)) = part.split_once(" references ") {
                table.references.push(format!("{} to {}", words[0], target.split(' ').next().unwrap_or_default()));
            }
            if let [name, kind, ..] = words[..]
                && name != "primary"
            {
                table.columns.push(Column {
                    name: name.to_owned(),
                    kind: spelled(kind),
                    is_required: part.contains(" not null") || part.contains(" primary key"),
                    has_default: part.contains(" default ") || part.contains(" generated "),
                });
            }
        }
        tables.insert(name.to_owned(), table);
    }
    tables
}

/// Splits the body of a table at the commas between its columns.
fn split(body: &str) -> Vec<String> {
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for letter in body.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        match parts.last_mut() {
            Some(part) if letter != ',' || depth > 0 => part.push(letter),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// A type as Postgres writes it.
fn spelled(kind: &str) -> &'static str {
    match kind {
        "bigint" => "bigint",
        "boolean" => "boolean",
        "timestamptz" => "timestamp with time zone",
        "xid8" => "xid8",
        "tsvector" => "tsvector",
        _ => "text",
    }
}

/// The faults of the tables that no statement can repair without a loss.
pub(super) async fn faults(db: &impl ConnectionTrait, schema: &str) -> Result<Vec<String>, DbErr> {
    let sql = format!(
        "select c.relname::text, a.attname::text, format_type(a.atttypid, null), a.attnotnull,
            a.atthasdef or a.attidentity <> '',
            exists (select 1 from pg_constraint where conrelid = c.oid and contype = 'p')
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = (select oid from pg_namespace where nspname = '{schema}') and c.relkind in ('r', 'p')
            and a.attnum > 0 and not a.attisdropped"
    );
    let mut columns = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for row in rows::all(db, &sql).await? {
        let table = rows::utf8(&row, 0)?;
        let column: (String, bool, bool) = (rows::utf8(&row, 2)?, row.try_get_by_index(3)?, row.try_get_by_index(4)?);
        keys.insert(table.clone(), row.try_get_by_index::<bool>(5)?);
        columns.insert((table, rows::utf8(&row, 1)?), column);
    }
    let mut faults = Vec::new();
    for (name, table) in wanted() {
        let Some(has_key) = keys.get(&name) else {
            faults.push(format!("the table {name} is missing"));
            continue;
        };
        if table.has_key && !has_key {
            faults.push(format!("the table {name} has no primary key"));
        }
        for Column { name: column, kind, is_required, has_default } in table.columns {
            let Some((found, required, defaults)) = columns.get(&(name.clone(), column.clone())) else {
                faults.push(format!("the table {name} has no column {column}"));
                continue;
            };
            let of_table = format!("the column {column} of the table {name}");
            if found != kind {
                faults.push(format!("{of_table} is not of the type {}", kind.to_uppercase()));
            }
            if is_required && !required {
                faults.push(format!("{of_table} is not NOT NULL"));
            }
            if has_default && !defaults {
                faults.push(format!("{of_table} has no default"));
            }
        }
    }
    Ok(faults)
}

/// The constraints that tables have lost. Rows that break them can now be written; all other writes work as before.
pub(super) async fn lost(db: &impl ConnectionTrait, schema: &str) -> Result<Vec<String>, DbErr> {
    let sql = format!(
        "select c.relname::text, case when k.contype = 'f' then a.attname || ' to ' || f.relname else k.conname end::text
        from pg_constraint k join pg_class c on c.oid = k.conrelid
        left join pg_class f on f.oid = k.confrelid
        left join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
        where k.connamespace = (select oid from pg_namespace where nspname = '{schema}') and k.contype in ('c', 'f')"
    );
    let mut there = BTreeSet::new();
    for row in rows::all(db, &sql).await? {
        there.insert((rows::utf8(&row, 0)?, rows::utf8(&row, 1)?));
    }
    let mut lost = Vec::new();
    for (name, table) in wanted() {
        for part in table.constraints.into_iter().chain(table.references) {
            if !there.contains(&(name.clone(), part.clone())) {
                lost.push(format!("the table {name}: {part}"));
            }
        }
    }
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn the_tables_are_read_from_the_migrations() {
        let tables = wanted();
        let names = |table: &str| tables[table].columns.iter().map(|it| it.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names("usage")[..2], ["task_id", "answer_id"]);
        assert_eq!((names("folded"), names("usage").len()), (vec!["next"], 10));
        assert_eq!(tables["bookmarks"].references, ["task_id to tasks", "event_id to events"]);
        assert!(tables["tasks"].constraints.contains(&"mode_is_known".to_owned()));
        assert!(tables.values().flat_map(|it| &it.columns).all(|it| !it.name.contains(['(', '\''])));
    }
}
