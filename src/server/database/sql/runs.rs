//! Runs and the cursors they mint.

use super::Sql;

/// The number of the last change that was ever logged: the number that SQLite continues from.
///
/// Any program can write `sqlite_sequence`: the entry can be gone, a text, a real or null. SQLite then takes the number
/// that the value casts to, or the number of the newest row if that is higher. So does this expression. The largest
/// numbers are left out, see [`RENUMBER`].
macro_rules! last_change {
    () => {
        "max(0, coalesce((select max(id) from changes), 0),
            coalesce((select cast(seq as integer) from sqlite_sequence where name = 'changes' limit 1), 0))"
    };
}
pub(super) use last_change;

/// The number of the last change, and whether the run `?` is in the file.
pub const LAST_CHANGE_AND_RUN: Sql =
    Sql::new(concat!("select ", last_change!(), " as last, exists (select 1 from runs where token = ?) as is_ours"));

/// The number of the last change.
pub const LAST_CHANGE: Sql = Sql::new(concat!("select ", last_change!()));

/// The highest position that a writer can choose for an event: `limits::EVENT_POSITION`.
macro_rules! event_position {
    () => {
        "1000000000000"
    };
}

/// For the tail: whether the run `?` is in the file, the number of the last change, the version of the schema, the
/// number of the oldest row of the log, whether a table has used up its numbers, and whether the oldest change that is
/// not folded was deleted.
pub const STATE_OF_LOG: &str = concat!(
    "select exists (select 1 from runs where token = ?), ",
    last_change!(),
    ", (select schema_version from pragma_schema_version), (select min(id) from changes),
    exists (select 1 from sqlite_sequence where case name
        when 'changes' then cast(seq as integer) >= 4611686018427387904
        when 'events' then cast(seq as integer) > ",
    event_position!(),
    "
            and (select coalesce(max(position), 0) from events) <= ",
    event_position!(),
    "
        when 'runs' then cast(seq as integer) >= 4611686018427387904
            and (select coalesce(max(id), 0) from runs) < 4611686018427387904
        else false end),
    (select next <= ",
    last_change!(),
    " and coalesce((select min(id) from changes) > next, true) from folded)"
);

/// Whether the last run is the run `?`.
pub const IS_LAST_RUN: Sql = Sql::new("select token = ? from runs order by id desc limit 1");

/// The highest number of a row, 2^62. SQLite gives out no number after 2^63 - 1, and every later insert fails as if the
/// disk were full. Another program can set any number, so the numbers from here on are taken back.
pub const HIGHEST_NUMBER: i64 = 1 << 62;

/// Takes back the numbers of changes from 2^62 on. No row is affected in a log that has only ordinary numbers.
pub const RENUMBER_CHANGES: [Sql; 2] = [
    Sql::new("delete from changes where id >= 4611686018427387904"),
    Sql::new(
        "update sqlite_sequence set seq = (select coalesce(max(id), 0) from changes)
        where name = 'changes' and cast(seq as integer) >= 4611686018427387904",
    ),
];

/// Takes back the numbers of runs from 2^62 on, and the places of events above the highest that a writer can choose, if
/// no row has one.
pub const RENUMBER_OTHERS: Sql = Sql::new(concat!(
    "update sqlite_sequence set seq = case name when 'events' then (select coalesce(max(position), 0) from events)
        else (select coalesce(max(id), 0) from runs) end
    where name = 'events' and cast(seq as integer) > ",
    event_position!(),
    "
        or name = 'runs' and cast(seq as integer) >= 4611686018427387904"
));

/// Whether the log lacks changes that are not folded yet: another program deleted them, or had the numbers given out
/// again.
pub const LACKS_UNFOLDED: Sql = Sql::new(concat!(
    "with log (next) as (select ",
    last_change!(),
    " + 1) select folded.next > log.next or (select count(*) from changes where id >= folded.next) < log.next - folded.next
    from folded, log"
));

/// Counts the events of each project from the tasks, and sets the fold to the end of the log. The hours of events whose
/// changes were deleted are not known.
pub const COUNT_EVENTS_AGAIN: Sql = Sql::new(concat!(
    "insert into activity (project, hour, events)
        select project, min(coalesce(happened_at, at), at) / 3600000, count(*) from changes
        where id >= (select next from folded) and kind = 'event.logged' group by 1, 2
        on conflict (project, hour) do update set events = events + excluded.events;
    delete from figures where figure = 'events';
    insert into figures (project, figure, value)
        select project, 'events', sum(count.event_count) from tasks join task_counts count on count.id = tasks.id
        group by project having sum(count.event_count) > 0;
    update figure_deltas set events = 0 where id >= (select deltas from folded) and events <> 0;
    update folded set next = ",
    last_change!(),
    " + 1"
));

/// Takes back the position of the search index if it is beyond the end of the log. Without this the index would skip
/// the changes that get these numbers.
pub const TAKE_BACK_SEARCHED: Sql =
    Sql::new(concat!("update searched set next = ", last_change!(), " + 1 where next > ", last_change!(), " + 1"));

#[cfg(test)]
mod tests {
    use crate::protocol::limits;

    #[test]
    fn the_literal_is_the_limit() {
        assert_eq!(event_position!(), limits::EVENT_POSITION.to_string());
    }
}
