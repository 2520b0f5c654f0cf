//! The figures of the overview. Their first value is the project, or null for all projects.
//!
//! SQLite fails where a sum leaves 64 bits, and any program can write a figure. So each figure counts as at most 2^50.

use super::Sql;

/// The kept figures without the hours: rows of `name` and `value`.
pub const FIGURES: Sql = Sql::new(
    "select figure as name, sum(max(min(value, 1 << 50), -(1 << 50))) as value from figures
    where (figure < 'hour.' or figure >= 'hour/') and (?1 is null or project = ?1) group by figure",
);

/// The events of the newest hours that are folded, at most `?2` hours: rows of `hour` and `events`.
pub const FOLDED_HOURS: Sql = Sql::new(
    "select cast(substr(figure, 6) as integer) as hour, sum(max(min(value, 1 << 50), -(1 << 50))) as events from figures
    where figure >= 'hour.' and figure < 'hour/' and (?1 is null or project = ?1)
    group by hour having events > 0 order by hour desc limit ?2",
);

/// The logged events from the change `?2` up to, but without, the change `?3`: rows of `hour` and `events`.
pub const LOGGED_HOURS: Sql = Sql::new(
    "select at / 3600000 as hour, count(*) as events from changes
    where id >= ?2 and id < ?3 and kind = 'event.logged' and (?1 is null or project = ?1) group by hour",
);
