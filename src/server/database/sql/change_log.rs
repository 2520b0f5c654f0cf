//! The change log: its beginning and its pruning.

use super::Sql;

/// The first change after the run `?1`, if a later run began, and how many changes the log has from the change `?2` on.
/// No row if the run is unknown.
pub const RUN_AND_ROWS: Sql = Sql::new(
    "select
        (select later.begins from runs later where later.id > run.id order by later.id limit 1) as ends,
        (select count(*) from changes where id >= ?2) as rows
    from runs run where run.token = ?1",
);

/// Deletes folded changes from the old end of the log, at most `?1` rows. The newest change stays.
///
/// The end of the deleted part is a position, because a clock can step and any program can write `at`: a log with a hole
/// would tell a returning client less than has changed. The first change from the time `?2` until the time `?3` ends the
/// part. A change after `?3` was logged while a clock was far ahead. It ends the part only if no later change has a time
/// that can be right: the changes before the last one that is older than `?2` are deleted then.
pub const PRUNE_CHANGES: Sql = Sql::new(
    "with front as materialized (select id, at from changes
        where id < (select next from folded) and id < (select max(id) from changes) order by id limit ?1)
    delete from changes where id <= (select max(id) from front) and id < coalesce(
        (select min(id) from front where at between ?2 and ?3),
        case when exists (select 1 from front where at > ?3) then
            (select id from changes where at between ?2 and ?3 order by id limit 1) end,
        (select max(id) + 1 from front where at < ?2), 0)",
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
