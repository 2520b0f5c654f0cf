//! The rows that the search index follows, and its documents and words.

use super::Sql;

/// The rows of a table that the index reads, each with its document, by the clause of each engine.
macro_rules! rows {
    ($table:ident, $sqlite:literal, $postgres:literal) => {
        Sql::both(concat!(rows!($table), $sqlite), concat!(rows!($table), $postgres))
    };
    (tasks) => {
        "select t.id, t.id as task_id, t.project, cast(null as bigint) as position, cast(null as text) as bookmark_id,
            t.title, t.summary as text, cast(null as bigint) as created_at,
            d.id as document, d.fingerprint
        from tasks t left join search_tasks s on s.task_id = t.id
            left join search_documents d on d.task = s.number and d.position is null and d.bookmark_id is null "
    };
    (bookmarks) => {
        "select b.id, b.task_id, t.project, cast(null as bigint) as position, b.id as bookmark_id,
            b.title, b.note as text, cast(null as bigint) as created_at,
            d.id as document, d.fingerprint
        from bookmarks b join tasks t on t.id = b.task_id
            left join search_documents d on d.bookmark_id = b.id "
    };
    (events) => {
        "select e.id, e.task_id, t.project, e.position, cast(null as text) as bookmark_id,
            e.title, e.body as text, e.created_at,
            d.id as document, d.fingerprint
        from events e join tasks t on t.id = e.task_id left join search_tasks s on s.task_id = e.task_id
            left join search_documents d on d.task = s.number and d.position = e.position "
    };
}

/// The tasks with the ids in the JSON array `?`.
pub const TASKS_NAMED: Sql = rows!(
    tasks,
    "where t.id in (select value from json_each(?))",
    "where t.id in (select jsonb_array_elements_text($1::jsonb))"
);
/// The bookmarks with the ids in the JSON array `?`.
pub const BOOKMARKS_NAMED: Sql = rows!(
    bookmarks,
    "where b.id in (select value from json_each(?))",
    "where b.id in (select jsonb_array_elements_text($1::jsonb))"
);
/// The events with the ids in the JSON array `?`.
pub const EVENTS_NAMED: Sql = rows!(
    events,
    "where e.id in (select value from json_each(?))",
    "where e.id in (select jsonb_array_elements_text($1::jsonb))"
);

/// The newest `?2` tasks older than the id `?1`.
pub const TASKS_BEFORE: Sql =
    rows!(tasks, "where t.id < ? order by t.id desc limit ?", "where t.id < $1 order by t.id desc limit $2");
/// The newest `?2` bookmarks older than the id `?1`.
pub const BOOKMARKS_BEFORE: Sql =
    rows!(bookmarks, "where b.id < ? order by b.id desc limit ?", "where b.id < $1 order by b.id desc limit $2");
/// The newest `?2` events before the position `?1`.
pub const EVENTS_BEFORE: Sql = rows!(
    events,
    "where e.position < ? order by e.position desc limit ?",
    "where e.position < $1 order by e.position desc limit $2"
);

/// The oldest `?3` events of the task `?1` after the position `?2`.
pub const EVENTS_OF_TASK: Sql = rows!(
    events,
    "where e.task_id = ? and e.position > ? order by e.position limit ?",
    "where e.task_id = $1 and e.position > $2 order by e.position limit $3"
);
/// The oldest `?2` events of the tasks in the JSON array `?1`.
pub const EVENTS_OF_TASKS: Sql = rows!(
    events,
    "where e.task_id in (select value from json_each(?)) order by e.position limit ?",
    "where e.task_id in (select jsonb_array_elements_text($1::jsonb)) order by e.position limit $2"
);
/// The first `?3` bookmarks of the task `?1` after the id `?2`.
pub const BOOKMARKS_OF_TASK: Sql = rows!(
    bookmarks,
    "where b.task_id = ? and b.id > ? order by b.id limit ?",
    "where b.task_id = $1 and b.id > $2 order by b.id limit $3"
);

/// The condition that the document `d` has no row any more. `s` is the row of `search_tasks` for its task.
macro_rules! is_gone {
    () => {
        "(
            not exists (select 1 from tasks where tasks.id = s.task_id)
            or (d.position is not null
                and not exists (select 1 from events e where e.position = d.position and e.task_id = s.task_id))
            or (d.bookmark_id is not null
                and not exists (select 1 from bookmarks b where b.id = d.bookmark_id and b.task_id = s.task_id)))"
    };
}

/// The next `?2` documents below the id `?1`: rows of `id` and `gone`.
pub const DOCUMENTS_BELOW: Sql = Sql::both(
    concat!(
        "select d.id, s.number is null or ",
        is_gone!(),
        " as gone
        from (select * from search_documents where id < ? order by id desc limit ?) d
        left join search_tasks s on s.number = d.task order by d.id desc"
    ),
    concat!(
        "select d.id, s.number is null or ",
        is_gone!(),
        " as gone
        from (select * from search_documents where id < $1 order by id desc limit $2) d
        left join search_tasks s on s.number = d.task order by d.id desc"
    ),
);

/// At most `?2` documents of the task `?1` that have no row any more: rows of `id` and `gone`.
pub const GONE_DOCUMENTS_OF_TASK: Sql = Sql::both(
    concat!(
        "select d.id, true as gone from search_tasks s join search_documents d on d.task = s.number
        where s.task_id = ? and ",
        is_gone!(),
        " limit ?"
    ),
    concat!(
        "select d.id, true as gone from search_tasks s join search_documents d on d.task = s.number
        where s.task_id = $1 and ",
        is_gone!(),
        " limit $2"
    ),
);

/// The documents of the bookmarks in the JSON array `?` that have no row any more: rows of `id` and `gone`.
pub const GONE_DOCUMENTS_OF_BOOKMARKS: Sql = Sql::both(
    "select d.id, true as gone from json_each(?) join search_documents d on d.bookmark_id = value
    where not exists (select 1 from bookmarks b where b.id = d.bookmark_id)",
    "select d.id, true as gone
    from jsonb_array_elements_text($1::jsonb) item (value) join search_documents d on d.bookmark_id = value
    where not exists (select 1 from bookmarks b where b.id = d.bookmark_id)",
);

/// The tasks that have documents but no row.
pub const GONE_TASKS: Sql = Sql::both(GONE_TASKS_TEXT, GONE_TASKS_TEXT);
const GONE_TASKS_TEXT: &str = "select task_id from search_tasks
    where not exists (select 1 from tasks where tasks.id = search_tasks.task_id)";

/// The ids in the JSON array `?` that no event has. The column is named `task_id`, as in `GONE_TASKS`.
pub const GONE_EVENTS: Sql = Sql::both(
    "select value as task_id from json_each(?) where not exists (select 1 from events where events.id = value)",
    "select value as task_id from jsonb_array_elements_text($1::jsonb) item (value)
    where not exists (select 1 from events where events.id = value)",
);

/// The tasks in the JSON array `?1`, each with its project and the project under which its documents are indexed. A
/// task without documents also has the number and the size of its events. At most `?2` + 1 events are counted, so a
/// number above `?2` means that the task has more than `?2` events.
pub const KNOWN_TASKS: Sql = Sql::both(
    "select value as task_id, t.id is not null as is_there, t.project,
        s.project as indexed, coalesce(has.events, 0) as events, coalesce(has.bytes, 0) as bytes
    from json_each(?1) left join tasks t on t.id = value left join search_tasks s on s.task_id = value
    left join (
        select j.value as task_id,
            (select count(*) from (select 1 from events where task_id = j.value limit ?2 + 1)) as events,
            (select sum(octet_length(title) + coalesce(octet_length(body), 0))
                from (select title, body from events where task_id = j.value limit ?2 + 1)) as bytes
        from json_each(?1) j where not exists (select 1 from search_tasks where task_id = j.value)
    ) has on has.task_id = value",
    "select value as task_id, t.id is not null as is_there, t.project,
        s.project as indexed, coalesce(has.events, 0) as events, coalesce(has.bytes, 0) as bytes
    from jsonb_array_elements_text($1::jsonb) item (value)
    left join tasks t on t.id = value left join search_tasks s on s.task_id = value
    left join lateral (
        select count(*) as events, sum(octet_length(title) + coalesce(octet_length(body), 0))::bigint as bytes
        from (
            select title, body from events where task_id = value and s.task_id is null limit $2::bigint + 1
        ) counted
    ) has on true",
);

/// The words from `?1` up to `?2`, at most `?3` of them. Each step looks up the next word, so a frequent word costs no
/// more than a rare one.
pub const WORDS: Sql = Sql::new(
    "with recursive words (word) as (
        select (select term from search_words where term >= ?1 order by term limit 1)
        union all
        select (select term from search_words where term >= words.word || char(1) order by term limit 1)
        from words where word < ?2 limit ?3
    )
    select word from words where word < ?2",
);
