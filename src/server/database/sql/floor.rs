//! The floor of the log on Postgres: the snapshot whose changes may be missing in the log, and the pruning up to it.
//!
//! A change can become visible long after its row got its time and its number, so neither of them tells what a client
//! has seen. So the snapshots that become the floor later are noted, each with the time of its note. Of two snapshots
//! the later one has the higher end; of two with the same end it has the higher beginning.

use super::Sql;
use super::postgres::log_after;

/// The place of a snapshot among the others: its end and its beginning.
macro_rules! place {
    ($snapshot:literal) => {
        concat!("(pg_snapshot_xmax(", $snapshot, "::pg_snapshot), pg_snapshot_xmin(", $snapshot, "::pg_snapshot))")
    };
}

/// The order of the snapshots, the latest first.
macro_rules! latest_first {
    () => {
        " order by pg_snapshot_xmax(snapshot::pg_snapshot) desc, pg_snapshot_xmin(snapshot::pg_snapshot) desc "
    };
}

/// Notes the current snapshot at the time `?1`. No note is made where the newest one was made after `?2` and the log has
/// fewer than `?3` rows since, or where the log has none since.
pub const NOTE: Sql = Sql::postgres(concat!(
    "with newest as materialized (select at, snapshot::pg_snapshot as snapshot from floor_notes",
    latest_first!(),
    "limit 1),
    since as materialized (select count(*) as changes from (select 1 from (",
    log_after!("1", "(select snapshot from newest)", ""),
    ") as log limit $3::bigint) as counted)
    insert into floor_notes (at, snapshot) select $1::bigint, pg_current_snapshot()::text from since
    where not exists (select 1 from newest) or changes > 0
        and (changes >= $3::bigint or not exists (select 1 from newest where at > $2::bigint))"
));

/// Moves the floor to the latest snapshot that was noted before the time `?1`. The floor never moves back.
pub const RAISE: Sql = Sql::postgres(concat!(
    "update floor set snapshot = note.snapshot
    from (select snapshot from floor_notes where at < $1::bigint",
    latest_first!(),
    "limit 1) as note where ",
    place!("note.snapshot"),
    " > ",
    place!("floor.snapshot")
));

/// Deletes the notes that the floor has reached.
pub const FORGET_NOTES: Sql = Sql::postgres(concat!(
    "delete from floor_notes using floor where ",
    place!("floor_notes.snapshot"),
    " <= ",
    place!("floor.snapshot")
));

/// Deletes changes that the floor contains and that are folded, at most `?1` rows.
pub const PRUNE: Sql = Sql::postgres(
    "delete from changes where (xid, id) in (
        select xid, id from changes
        where xid < (select pg_snapshot_xmax(snapshot::pg_snapshot) from floor)
            and pg_visible_in_snapshot(xid, (select snapshot::pg_snapshot from floor))
            and pg_visible_in_snapshot(xid, (select next::pg_snapshot from folded))
        order by xid, id limit $1::bigint
    )",
);
