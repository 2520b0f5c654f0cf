//! The triggers, functions, indexes and views: compared with what was made last, and made again.
//!
//! The database keeps a hash of each definition as Postgres shows it after it was made. One that is missing, disabled or
//! has another hash was dropped or changed by another program. Until it is back, the change log misses writes.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbErr};

use super::files;
use crate::error::MigrateError;
use crate::{hash, rows};

/// The row with the hash of the files.
const FILES: &str = "files";
/// The row with the version of Postgres. Another version may show a definition in other words.
const VERSION: &str = "version";

/// The row with the identity of the schema: of its server, its database and itself.
const DATABASE: &str = "database";

/// A database that was restored from the output of `pg_dump` has the numbers of transactions of another server. They say
/// nothing here, so the log begins anew, and no cursor continues. The recount then counts the events from the rows.
const RESTORED: &str = "
delete from changes;
delete from floor_notes;
update floor set snapshot = pg_current_snapshot()::text;
update folded set next = pg_current_snapshot()::text";

/// The tables that the triggers are on, in the order in which writers lock them.
const TABLES: &str =
    "settings, tasks, sessions, events, bookmarks, usage, agents, purges, changes, figure_deltas, figures,
    activity, folded, counts_pending";

/// The definitions in the schema. A definition names the schema or not, as the search path is, so the name is left out.
/// The setting enables and disables one of the triggers. The transaction that changed the row of a trigger last tells of one
/// that was disabled and enabled again.
const STATE: &str = "
with definitions (name, definition) as (
    select 'trigger ' || t.tgname || ' on ' || c.relname,
        pg_get_triggerdef(t.oid) || case when t.tgname <> 'changes_notify' then t.tgenabled::text || t.xmin::text else '' end
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = {oid} and not t.tgisinternal
    union all
    select 'function ' || p.proname, concat_ws('|', p.prosrc, p.prosecdef, p.provolatile, p.proisstrict,
        format_type(p.prorettype, null), pg_get_function_arguments(p.oid), array_to_string(p.proconfig, ','))
    from pg_proc p where p.pronamespace = {oid} and p.prokind = 'f'
    union all
    select 'view ' || c.relname, pg_get_viewdef(c.oid) from pg_class c where c.relnamespace = {oid} and c.relkind = 'v'
    union all
    select 'index ' || c.relname, pg_get_indexdef(c.oid) || i.indisvalid
    from pg_class c join pg_index i on i.indexrelid = c.oid
    where c.relnamespace = {oid} and not exists (select 1 from pg_constraint where conindid = c.oid and contype <> 'f')
    union all
    select 'version', (current_setting('server_version_num')::bigint / 10000)::text
    union all
    select 'database', system_identifier::text || '/' || d.oid || '/' || {oid}
    from pg_database d, pg_control_system() where d.datname = current_database()
)
select name, ('x' || left(md5(replace(definition, '{schema}.', '')), 16))::bit(64)::bigint from definitions";

/// A function that runs as the owner of the schema is for our triggers alone: a trigger that another user makes with it
/// could write the log. To fire a trigger needs no right to its function.
const RIGHTS: &str = "
revoke execute on all functions in schema {schema} from public;
grant execute on function now_ms(), fresh_id(), is_json_object(text), is_uuid(text), is_time(bigint)
    to public";

async fn state(db: &impl ConnectionTrait, schema: &str) -> Result<BTreeMap<String, i64>, DbErr> {
    let oid = format!("(select oid from pg_namespace where nspname = '{schema}')");
    named(db, &STATE.replace("{oid}", &oid).replace("{schema}", schema)).await
}

async fn recorded(db: &impl ConnectionTrait, schema: &str) -> Result<BTreeMap<String, i64>, DbErr> {
    named(db, &format!("select name, hash from {schema}.requery_triggers")).await
}

async fn named(db: &impl ConnectionTrait, sql: &str) -> Result<BTreeMap<String, i64>, DbErr> {
    rows::all(db, sql).await?.iter().map(|row| Ok((rows::utf8(row, 0)?, row.try_get_by_index(1)?))).collect()
}

/// The definitions that were made and are missing, disabled or changed; `database` if the schema was restored into another
/// database.
pub(super) async fn lost(db: &impl ConnectionTrait, schema: &str) -> Result<Vec<String>, DbErr> {
    let (there, made) = (state(db, schema).await?, recorded(db, schema).await?);
    Ok(lost_of(&there, &made))
}

fn lost_of(there: &BTreeMap<String, i64>, made: &BTreeMap<String, i64>) -> Vec<String> {
    let is_other_version = made.get(VERSION) != there.get(VERSION);
    let is_lost = |name: &String, hash: &i64| match there.get(name) {
        Some(found) => found != hash && (!is_other_version || name == DATABASE),
        None => name != FILES,
    };
    made.iter().filter(|(name, hash)| is_lost(name, hash)).map(|(name, _)| name.clone()).collect()
}

/// Makes everything again if a part is lost, if the files differ from those that were applied last, or if a migration was
/// applied. Returns the lost parts.
pub(super) async fn apply(
    tx: &impl ConnectionTrait,
    schema: &str,
    has_migrated: bool,
) -> Result<Vec<String>, MigrateError> {
    let (there, made) = (state(tx, schema).await?, recorded(tx, schema).await?);
    let lost = lost_of(&there, &made);
    let text = files::triggers(schema);
    let is_same = made.get(FILES) == Some(&hash(&text)) && made.get(VERSION) == there.get(VERSION);
    if lost.is_empty() && is_same && !has_migrated {
        return Ok(lost);
    }
    // Writers that are in the middle of a transaction end first, and the log has all that they wrote.
    tx.execute_unprepared(&format!("lock table {TABLES} in access exclusive mode")).await?;
    put_back(tx, &lost).await?;
    let names: BTreeSet<String> = files::names("create trigger ", schema).into_iter().collect();
    for name in there.keys().filter(|it| made.contains_key(*it)).chain(there.keys()) {
        let Some((trigger, table)) = name.strip_prefix("trigger ").and_then(|it| it.split_once(" on ")) else {
            continue;
        };
        if made.contains_key(name) || names.contains(trigger) {
            tx.execute_unprepared(&format!("drop trigger if exists \"{trigger}\" on \"{table}\"")).await?;
        }
    }
    let is_restored = lost.iter().any(|it| it == DATABASE);
    if is_restored {
        tx.execute_unprepared(RESTORED).await?;
    }
    if is_restored || lost.iter().any(|it| it.starts_with("trigger ") || it.starts_with("function ")) {
        tx.execute_unprepared(files::RECOUNT).await?;
    }
    let functions: BTreeSet<String> = files::names("function ", schema).into_iter().collect();
    for name in made.keys().filter_map(|it| it.strip_prefix("function ")) {
        if !functions.contains(name) {
            tx.execute_unprepared(&format!("drop function if exists \"{name}\"")).await?;
        }
    }
    tx.execute_unprepared(&text).await?;
    tx.execute_unprepared(&RIGHTS.replace("{schema}", schema)).await?;
    // Enables or disables the notifications as the setting says.
    tx.execute_unprepared("delete from settings where name = ''").await?;
    record(tx, schema, &names, hash(&text)).await?;
    Ok(lost)
}

/// Records what is there now as made by requery, where all of it was there before.
pub(super) async fn record_again(tx: &impl ConnectionTrait, schema: &str) -> Result<(), DbErr> {
    let triggers: BTreeSet<String> = files::names("create trigger ", schema).into_iter().collect();
    record(tx, schema, &triggers, hash(&files::triggers(schema))).await
}

/// Makes the lost indexes and views again.
async fn put_back(tx: &impl ConnectionTrait, lost: &[String]) -> Result<(), MigrateError> {
    let statements = files::statements();
    for name in lost {
        let Some((kind @ ("index" | "view"), object)) = name.split_once(' ') else { continue };
        let makes = |it: &&String| {
            let rest = it.strip_prefix("create ").map(|rest| rest.strip_prefix("unique ").unwrap_or(rest));
            rest.and_then(|rest| rest.strip_prefix(&format!("{kind} {object} "))).is_some()
        };
        let Some(statement) = statements.iter().find(makes) else { continue };
        let again = format!("drop {kind} if exists \"{object}\"; {statement}");
        if let Err(error) = tx.execute_unprepared(&again).await {
            return Err(match error.sql_err() {
                Some(sea_orm::SqlErr::UniqueConstraintViolation(_)) => {
                    MigrateError::Broken(vec![format!("the {name} is missing and the rows break it: {error}")])
                }
                _ => error.into(),
            });
        }
    }
    Ok(())
}

/// Records what is there now as made by requery. An object that another program added to the schema is not recorded.
async fn record(tx: &impl ConnectionTrait, schema: &str, triggers: &BTreeSet<String>, files: i64) -> Result<(), DbErr> {
    let functions = files::names("function ", schema);
    let statements = files::statements();
    let is_ours = |name: &str| match name.split_once(' ') {
        Some(("trigger", rest)) => triggers.contains(rest.split(' ').next().unwrap_or_default()),
        Some(("function", function)) => functions.iter().any(|it| it == function),
        Some((kind, object)) => statements.iter().any(|it| it.contains(&format!("{kind} {object} "))),
        None => true,
    };
    let mut state = state(tx, schema).await?;
    state.retain(|name, _| is_ours(name));
    state.insert(FILES.to_owned(), files);
    let rows: Vec<String> = state.iter().map(|(name, hash)| format!("('{name}', {hash})")).collect();
    let insert =
        format!("delete from requery_triggers; insert into requery_triggers (name, hash) values {}", rows.join(", "));
    tx.execute_unprepared(&insert).await.map(|_| ())
}
