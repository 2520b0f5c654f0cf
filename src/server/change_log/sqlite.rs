//! The change log in SQLite: which cursors and positions the log still continues.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::protocol::Cursor;
use crate::protocol::limits;
use crate::server::database::sql::change_log;
use crate::server::database::{Position, ReadTransaction};

/// The first change after the run of a cursor, if a later run began, and the oldest change of the log.
#[derive(FromQueryResult)]
struct RunAndFloor {
    ends: Option<i64>,
    floor: Option<i64>,
}

/// Whether the log still holds every change that `cursor` does not contain.
///
/// The run of the cursor has to be known, the cursor must not reach beyond the beginning of the next run, and the log
/// must not be pruned above the cursor.
pub(super) async fn continues(read: &ReadTransaction, cursor: &Cursor) -> Result<bool, DbErr> {
    let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
    if cursor.snapshot().xmin() != first || first == 0 || first > now || now - first > limits::RESUME_CHANGES {
        return Ok(false);
    }
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    let run: Option<RunAndFloor> = change_log::RUN_AND_FLOOR.one(read, [cursor.epoch().into()]).await?;
    let Some(RunAndFloor { ends, floor }) = run else { return Ok(false) };
    let within_its_run = ends.is_none_or(|ends| first <= ends);
    // The floor of a log without rows is the next change: no earlier change can be read from it.
    let above_the_floor = floor.unwrap_or(now.cast_signed()) <= first;
    Ok(within_its_run && above_the_floor)
}

/// Whether the log still holds every change after `position`.
pub async fn reaches_back_to(tx: &impl ConnectionTrait, position: &Position) -> Result<bool, DbErr> {
    let floor: Option<Position> = change_log::FLOOR.value(tx, []).await?;
    Ok(floor.is_some_and(|floor| position.covers(&floor)))
}
