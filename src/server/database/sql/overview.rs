//! The figures of the overview. Their first value is the project, or null for all projects.

use super::Sql;

/// 1 if the project `?1` has a task or a figure, otherwise 0. Both questions end at the first row of an index.
pub const PROJECT_IS_KNOWN: Sql = Sql::new(
    "select exists (select 1 from tasks where project = ?1) or exists (select 1 from figures where project = ?1)",
);

/// The kept figures without the hours: rows of `name` and `value`.
pub const FIGURES: Sql = Sql::new(
    "select figure as name, sum(value) as value from figures
    where (figure < 'hour.' or figure >= 'hour/') and (?1 is null or project = ?1) group by figure",
);

/// The events of the newest hours that are folded, at most `?2` hours: rows of `hour` and `events`.
pub const FOLDED_HOURS: Sql = Sql::new(
    "select cast(substr(figure, 6) as integer) as hour, sum(value) as events from figures
    where figure >= 'hour.' and figure < 'hour/' and (?1 is null or project = ?1)
    group by hour having sum(value) > 0 order by hour desc limit ?2",
);

/// The logged events from the change `?2` up to, but without, the change `?3`: rows of `hour` and `events`.
pub const LOGGED_HOURS: Sql = Sql::new(
    "select at / 3600000 as hour, count(*) as events from changes
    where id >= ?2 and id < ?3 and kind = 'event.logged' and (?1 is null or project = ?1) group by hour",
);
