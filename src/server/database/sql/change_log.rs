//! The change log: its beginning, its folding into figures and its pruning.

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

/// The number of the first change that is not folded.
pub const FOLDED: Sql = Sql::new("select next from folded");

/// Adds the logged events from the change `?1` up to, but without, the change `?2` to the figure of each project.
pub const FOLD_EVENTS: Sql = Sql::new(
    "insert into figures (project, figure, value)
    select project, 'events', count(*) from changes
    where id >= ?1 and id < ?2 and kind = 'event.logged' group by 1, 2
    on conflict (project, figure) do update set value = value + excluded.value",
);

/// The same for the figure of each hour.
pub const FOLD_HOURS: Sql = Sql::new(
    "insert into figures (project, figure, value)
    select project, 'hour.' || (at / 3600000), count(*) from changes
    where id >= ?1 and id < ?2 and kind = 'event.logged' group by 1, 2
    on conflict (project, figure) do update set value = value + excluded.value",
);

/// Sets the number of the first change that is not folded.
pub const SET_FOLDED: Sql = Sql::new("update folded set next = ?");

/// Deletes folded changes older than the time `?2`, at most `?1` rows. The newest change stays.
pub const PRUNE_CHANGES: Sql = Sql::new(
    "delete from changes where id in (select id from changes
        where id < (select next from folded) and id < (select max(id) from changes) order by id limit ?) and at < ?",
);

/// Deletes deliveries older than the time `?1`, at most `?2` rows.
pub const PRUNE_DELIVERIES: Sql =
    Sql::new("delete from deliveries where id in (select id from deliveries where at < ? order by at limit ?)");
