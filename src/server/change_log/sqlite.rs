//! The change log in SQLite: which cursors and positions the log still continues.

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::protocol::Cursor;
use crate::server::database::{Position, ReadTransaction};

/// How far behind a cursor may be to be continued. Reading more changes costs more than starting afresh.
const FURTHEST_BEHIND: u64 = 100_000;

/// Whether the log still tells every change that `cursor` does not contain.
///
/// The run of the cursor has to be known, the cursor must not reach beyond the beginning of the next run, and the log
/// must not be pruned above the cursor.
pub(super) async fn continues(read: &ReadTransaction, cursor: &Cursor) -> Result<bool, DbErr> {
    const RUN_AND_FLOOR: &str = "select \
        (select later.begins from runs later where later.id > run.id order by later.id limit 1) as ends, \
        (select min(id) from changes) as floor \
        from runs run where run.token = ?";
    let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
    if cursor.snapshot().xmin() != first || first == 0 || first > now || now - first > FURTHEST_BEHIND {
        return Ok(false);
    }
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    let statement = Statement::from_sql_and_values(read.get_database_backend(), RUN_AND_FLOOR, [cursor.epoch().into()]);
    let Some(run) = read.query_one_raw(statement).await? else { return Ok(false) };
    let (ends, floor) = (run.try_get::<Option<i64>>("", "ends")?, run.try_get::<Option<i64>>("", "floor")?);
    let within_its_run = ends.is_none_or(|ends| first <= ends);
    // A log without rows tells nothing: its floor is the next change.
    let above_the_floor = floor.unwrap_or(now.cast_signed()) <= first;
    Ok(within_its_run && above_the_floor)
}

/// Whether the log still holds every change after `position`.
pub async fn reaches_back_to(tx: &impl ConnectionTrait, position: &Position) -> Result<bool, DbErr> {
    let statement = Statement::from_string(tx.get_database_backend(), "select min(id) as floor from changes");
    let floor = match tx.query_one_raw(statement).await? {
        Some(row) => row.try_get::<Option<i64>>("", "floor")?,
        None => None,
    };
    Ok(floor.is_some_and(|floor| floor <= position.to_column()))
}
