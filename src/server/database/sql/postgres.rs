//! Parts of the statements for Postgres.
//!
//! The part of the log after a snapshot is read in two arms: the transactions from the end of the snapshot on, and the
//! transactions before that end that the snapshot does not see. Each arm is a range of an index. One condition for both
//! arms would let Postgres read the whole table, because it cannot tell how few rows the condition finds.

/// A query of the rows of the log after a snapshot: the columns, the snapshot, and a further condition, which is empty or
/// begins with `and`.
macro_rules! log_after {
    ($columns:expr, $from:expr, $and:expr) => {
        concat!(
            "select ",
            $columns,
            " from changes where xid >= pg_snapshot_xmax(",
            $from,
            ") ",
            $and,
            " union all select ",
            $columns,
            " from changes where xid = any (array(select pg_snapshot_xip(",
            $from,
            "))) ",
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
        log_after!($columns, "$1::text::pg_snapshot", "and pg_visible_in_snapshot(xid, $2::text::pg_snapshot)")
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

pub(super) use {bounded_sum, folded, is_among, log_after, log_between};
