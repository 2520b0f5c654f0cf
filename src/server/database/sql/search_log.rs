//! The part of the change log that the search index follows.

use super::Sql;

/// The condition that a change on Postgres is visible in the snapshot `$2`.
macro_rules! until {
    () => {
        "xid < pg_snapshot_xmax($2::pg_snapshot) and pg_visible_in_snapshot(xid, $2::pg_snapshot)"
    };
}

/// The first changes of the transactions on Postgres that the condition `$which` names, up to `$3` changes.
macro_rules! first_changes {
    ($which:literal) => {
        concat!(
            "(select xid as transaction, id, kind, project, task_id, object_id from changes where ",
            $which,
            " and ",
            until!(),
            " and ($4::text is null or xid <> $4::xid8 or id > $5) order by xid, id limit $3)"
        )
    };
}

/// The first `?3` changes of a part of the log. On SQLite from the change `?1` up to, but without, the change `?2`. On
/// Postgres in the order of their transactions, without the changes up to `$5` of the transaction `$4`. Each of the two
/// parts of the query reads the index in order, so that a long log costs no more than a short one.
pub const CHANGES: Sql = Sql::both(
    "select id, null as xid, kind, project, task_id, object_id from changes
    where id >= ?1 and id < ?2 order by id limit ?3",
    concat!(
        "select id, transaction::text as xid, kind, project, task_id, object_id from (",
        first_changes!("xid = any(array(select pg_snapshot_xip($1::pg_snapshot)))"),
        " union all ",
        first_changes!("xid >= pg_snapshot_xmax($1::pg_snapshot)"),
        ") part order by transaction, id limit $3"
    ),
);

/// How many changes on Postgres are after the snapshot `$1` and in the snapshot `$2`. At most `$3` are counted.
pub const COUNT_CHANGES: Sql = Sql::postgres(concat!(
    "select count(*) from (
        (select 1 from changes where xid = any(array(select pg_snapshot_xip($1::pg_snapshot))) and ",
    until!(),
    " limit $3) union all (select 1 from changes where xid >= pg_snapshot_xmax($1::pg_snapshot) and ",
    until!(),
    " limit $3)) part",
));

/// The snapshot on Postgres up to which the log can have been pruned. The log holds each later change.
pub const FLOOR: Sql = Sql::postgres("select snapshot from floor");
