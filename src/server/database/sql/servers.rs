//! The statements of Postgres alone: snapshots, the epoch, the tail of the log, and leases.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::Sql;
use super::postgres::{begun_after, begun_before, log_after};

/// The settings of a transaction, which it sets itself: it can run on any connection of a proxy.
#[derive(Clone, Debug)]
pub struct TransactionSettings(Arc<str>);

/// What a transaction on a database sets.
#[derive(Clone, Copy, Debug)]
pub struct TransactionLimits<'s> {
    /// The schema of requery.
    pub schema: &'s str,
    /// How long a statement may run.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock.
    pub lock_timeout: Duration,
    /// Whether a proxy gives each transaction another connection. Each statement then has a name that the driver never
    /// removes, so the names of earlier transactions are removed.
    pub is_pooled: bool,
}

impl TransactionSettings {
    /// One snapshot for all statements, and no writes.
    pub fn of_reads(limits: TransactionLimits<'_>) -> Self {
        Self(format!("set transaction isolation level repeatable read, read only; {}", common(limits)).into())
    }

    /// A snapshot for each statement. A server that hangs must not keep the locks of its transaction.
    pub fn of_writes(limits: TransactionLimits<'_>) -> Self {
        // The role or the database can have another default, and a move of a task needs this one.
        let isolation = "set transaction isolation level read committed";
        Self(format!("{isolation}; {}; set local idle_in_transaction_session_timeout = '30s'", common(limits)).into())
    }

    /// The same for a short transaction of the server itself. A server that hangs in it must not keep the lease.
    pub fn of_own_writes(limits: TransactionLimits<'_>) -> Self {
        Self(format!("{}; set local idle_in_transaction_session_timeout = '1s'", common(limits)).into())
    }

    /// Sets them.
    pub async fn apply(&self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        tx.execute_unprepared(&self.0).await.map(drop)
    }
}

/// To compile a statement costs more than to run it.
fn common(limits: TransactionLimits<'_>) -> String {
    let (statement, lock) = (limits.statement_timeout.as_millis(), limits.lock_timeout.as_millis());
    let forget = if limits.is_pooled { "; deallocate all" } else { "" };
    format!(
        "set local search_path = {}, pg_temp; set local statement_timeout = {statement}; \
         set local lock_timeout = {lock}; set local jit = off{forget}",
        limits.schema
    )
}

/// The snapshot of the transaction, the epoch of the database in it, and whether the log has a row in it that is not in the
/// snapshot `$1`.
pub const SEEN_AFTER: Sql = Sql::postgres(concat!(
    "select pg_current_snapshot()::text as snapshot, (select token from epoch) as epoch, exists (",
    log_after!("1", "$1::text::pg_snapshot", ""),
    ") as has_grown"
));

/// The snapshot of the statement, the number of the transaction if it has written, the epoch, whether the transaction has
/// logged a change, and whether the log has a row that is not in the snapshot `$1`.
pub const WRITTEN: Sql = Sql::postgres(concat!(
    "select pg_current_snapshot()::text as snapshot, pg_current_xact_id_if_assigned()::text as own,
        (select token from epoch) as epoch,
        exists (select 1 from changes where xid = pg_current_xact_id_if_assigned()) as has_logged, exists (",
    log_after!("1", "$1::text::pg_snapshot", ""),
    ") as has_grown"
));

/// An arm of a look: its rows in the order of the index.
macro_rules! arm_of_look {
    ($which:expr) => {
        concat!(
            "(select null, null, xid, id, kind, project, task_id, parent_task_id, object_id, status, count, at,
                event_class, status_changed
            from changes where ",
            $which,
            " order by xid, id)"
        )
    };
}

/// In one statement, and so in one snapshot: first a row with the snapshot and the epoch, then the rows of the log that are
/// visible and were not in the snapshot `$1`, in the order of their transactions. The transactions of the first arm come
/// before all of the second one, so nothing is sorted. With [`LOOK_SETTINGS`].
pub const LOOK_AT_LOG: Sql = Sql::postgres(concat!(
    "select pg_current_snapshot()::text as snapshot, (select token from epoch) as epoch, null::xid8 as xid,
        null::bigint as id, null as kind, null as project, null as task_id, null as parent_task_id, null as object_id,
        null as status, null::bigint as count, null::bigint as at, null as event_class, null::bigint as status_changed
    union all ",
    arm_of_look!(begun_before!("$1::text::pg_snapshot")),
    " union all ",
    arm_of_look!(begun_after!("$1::text::pg_snapshot")),
));

/// The settings of a connection that looks at the log. The statement is always the same one, so its plan is made once. The
/// plan must read the two ranges of the index in order: whatever the statistics say of the table, few rows of it are new.
/// A busy hub takes the rows of a long look slowly, so the statement has no time limit.
pub const LOOK_SETTINGS: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("statement_timeout", "0"),
];

/// Whether the server is a standby, the snapshot, and the name of this schema for as long as it is not copied or made
/// again.
pub const STANDING: Sql = Sql::postgres(
    "select pg_is_in_recovery() as is_standby, pg_current_snapshot()::text as snapshot,
        (select system_identifier::text from pg_control_system()) || '.' ||
            (select oid::text from pg_database where datname = current_database()) || '.' ||
            (select oid::text from pg_namespace where nspname = current_schema()) as place",
);

/// The epoch.
pub const EPOCH: Sql = Sql::postgres("select token from epoch");

/// Makes `$1` the epoch, if there is none.
pub const BEGIN_EPOCH: Sql = Sql::postgres("insert into epoch (token) values ($1::text) on conflict do nothing");

/// Makes `$1` the epoch in the place of `$2`.
pub const REPLACE_EPOCH: Sql = Sql::postgres("update epoch set token = $1::text where token = $2::text");

/// Rings the bell `$1` of all servers; `$2` is the name of the server that rings.
pub const RING: Sql = Sql::postgres("select pg_notify($1::text, $2::text)");

/// A statement that does nothing, to see whether a connection answers.
pub const NOTHING: &str = "select";

/// Takes or renews the lease `$1` for the server `$2`, for `$3` milliseconds of the database's clock. No row changes if
/// another server has it. A lease that ends later than one taken now is of a clock that has jumped back, and has ended.
pub const TAKE_LEASE: Sql = Sql::postgres(
    "update leases set holder = $2::text, until = clock_timestamp() + $3::bigint * interval '1 millisecond'
    where name = $1::text and (holder = $2::text or until is null or until < clock_timestamp()
            or until > clock_timestamp() + $3::bigint * interval '1 millisecond')",
);

/// Gives the lease `$1` of the server `$2` up.
pub const GIVE_LEASE_UP: Sql =
    Sql::postgres("update leases set holder = null, until = null where name = $1::text and holder = $2::text");

/// Makes the lease `$1`.
pub const MAKE_LEASE: Sql = Sql::postgres("insert into leases (name) values ($1::text) on conflict do nothing");
