//! The change log: its beginning and its pruning.

use super::Sql;

/// The number of the oldest change.
pub const FLOOR: Sql = Sql::new("select min(id) as floor from changes");

/// The first change after the run `?`, if a later run began, and the number of the oldest change. No row if the run is
/// unknown.
pub const RUN_AND_FLOOR: Sql = Sql::new(
    "select
        (select later.begins from runs later where later.id > run.id order by later.id limit 1) as ends,
        (select min(id) from changes) as floor
    from runs run where run.token = ?",
);

/// Deletes folded changes older than the time `?2`, at most `?1` rows. The newest change stays.
pub const PRUNE_CHANGES: Sql = Sql::new(
    "delete from changes where id in (select id from changes
        where id < (select next from folded) and id < (select max(id) from changes) order by id limit ?) and at < ?",
);

/// Deletes deliveries older than the time `?1`, at most `?2` rows.
pub const PRUNE_DELIVERIES: Sql =
    Sql::new("delete from deliveries where id in (select id from deliveries where at < ? order by at limit ?)");

/// The different changes from `?1` up to, but without, `?2`, in the project `?3` or in all, at most `?4` of them. SQLite
/// looks each row up among the different ones, so the cost is that of reading the rows, without sorting them, and the
/// statement ends at the limit.
pub const MISSED: Sql = Sql::new(
    "select distinct kind, project, task_id, parent_task_id from changes
    where id >= ?1 and id < ?2 and (?3 is null or project = ?3) limit ?4",
);
