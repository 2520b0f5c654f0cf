//! Parts of the statements for Postgres.
//!
//! The part of the log after a snapshot is read in two arms: the transactions from the end of the snapshot on, and the
//! transactions before that end that the snapshot does not see. Each arm is a range of an index. One condition for both
//! arms would let Postgres read the whole table, because it cannot tell how few rows the condition finds.

/// The condition of the first arm: the transactions from the end of a snapshot on. The second bound excludes no
/// transaction. Of a range with two bounds that it does not know Postgres expects few rows, and of a range with one bound
/// a third of the table.
macro_rules! begun_after {
    ($from:expr) => {
        concat!("xid >= pg_snapshot_xmax(", $from, ") and xid < '9223372036854775807'::xid8")
    };
}

/// The condition of the second arm: the transactions before the end of a snapshot that it does not see. The two bounds
/// follow from the rest, and tell Postgres that the rows are few.
macro_rules! begun_before {
    ($from:expr) => {
        concat!(
            "xid >= pg_snapshot_xmin(",
            $from,
            ") and xid < pg_snapshot_xmax(",
            $from,
            ") and xid = any (array(select pg_snapshot_xip(",
            $from,
            ")))"
        )
    };
}

/// A query of the rows of the log after a snapshot: the columns, the snapshot, and a further condition, which is empty or
/// begins with `and`.
macro_rules! log_after {
    ($columns:expr, $from:expr, $and:expr) => {
        concat!(
            "select ",
            $columns,
            " from changes where ",
            $crate::server::database::sql::postgres::begun_after!($from),
            " ",
            $and,
            " union all select ",
            $columns,
            " from changes where ",
            $crate::server::database::sql::postgres::begun_before!($from),
            " ",
            $and
        )
    };
}

/// The snapshot up to which the log is folded.
macro_rules! folded {
    () => {
        "(select next::pg_snapshot from folded)"
    };
}

/// A query of the rows of the log between the two snapshots `$1` and `$2`: the columns.
macro_rules! log_between {
    ($columns:expr) => {
        $crate::server::database::sql::postgres::log_after!(
            $columns,
            "$1::text::pg_snapshot",
            "and pg_visible_in_snapshot(xid, $2::text::pg_snapshot)"
        )
    };
}

/// The condition that a value is in a JSON array of texts.
macro_rules! is_among {
    ($array:literal) => {
        concat!("= any (array(select jsonb_array_elements_text(", $array, "::text::jsonb)))")
    };
}

/// The sum of a column. A sum of whole numbers has no bound on Postgres, and a figure has: 2^62.
macro_rules! bounded_sum {
    ($column:expr) => {
        concat!("least(greatest(coalesce(sum(", $column, "), 0), -4611686018427387904), 4611686018427387904)::bigint")
    };
}

pub(super) use {begun_after, begun_before, bounded_sum, folded, is_among, log_after, log_between};
