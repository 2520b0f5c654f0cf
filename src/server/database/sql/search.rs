//! The search index: its documents, its words and the rows behind them.

use super::Sql;

/// The current rows of the matches that the query `$newest` gives. `?2` is the project and `?3` the task, or null.
macro_rules! rows_of_matches {
    ($columns:literal, $newest:literal) => {
        Sql::new(concat!(
            "with newest (id) as materialized (",
            $newest,
            ") select d.id, ",
            $columns,
            " from newest join search_documents d on d.id = newest.id join search_tasks s on s.number = d.task
            join tasks t on t.id = s.task_id
            left join events e on e.position = d.position and e.task_id = t.id
            left join bookmarks b on b.id = d.bookmark_id and b.task_id = t.id
            where (d.position is null or e.id is not null) and (d.bookmark_id is null or b.id is not null)
                and (?2 is null or t.project = ?2) and (?3 is null or t.id = ?3) order by d.id desc"
        ))
    };
}

/// The newest `?4` matches of the expression `?1`, with `?5` characters of each text.
pub const CANDIDATES: Sql = rows_of_matches!(
    "coalesce(e.title, b.title, t.title) as title,
    substr(iif(d.position is not null, e.body, iif(d.bookmark_id is not null, b.note, t.summary)), 1, ?5) as text",
    "select rowid from search_index where search_index match ?1 order by rowid desc limit ?4"
);

/// The matches with the ids in the JSON array `?1`, with all columns that an answer shows.
pub const HITS: Sql = rows_of_matches!(
    "t.id as task_id, e.id as event_id, b.id as bookmark_id, b.event_id as marked_event_id,
    t.project, coalesce(e.title, b.title, t.title) as title,
    iif(d.position is not null, e.body, iif(d.bookmark_id is not null, b.note, t.summary)) as text,
    coalesce(e.created_at, b.updated_at, (select changed_at from task_counts where id = t.id)) as at",
    "select value from json_each(?1)"
);

/// The rows of a table that the index reads, each with its document.
macro_rules! rows {
    (tasks, $clause:literal) => {
        Sql::new(concat!(
            "select t.id, t.id as task_id, t.project, null as position, null as bookmark_id,
                t.title, t.summary as text, null as created_at,
                d.id as document, d.fingerprint
            from tasks t left join search_tasks s on s.task_id = t.id
                left join search_documents d on d.task = s.number and d.position is null and d.bookmark_id is null ",
            $clause
        ))
    };
    (bookmarks, $clause:literal) => {
        Sql::new(concat!(
            "select b.id, b.task_id, t.project, null as position, b.id as bookmark_id,
                b.title, b.note as text, null as created_at,
                d.id as document, d.fingerprint
            from bookmarks b join tasks t on t.id = b.task_id
                left join search_documents d on d.bookmark_id = b.id ",
            $clause
        ))
    };
    (events, $clause:literal) => {
        Sql::new(concat!(
            "select e.id, e.task_id, t.project, e.position, null as bookmark_id,
                e.title, e.body as text, e.created_at,
                d.id as document, d.fingerprint
            from events e join tasks t on t.id = e.task_id left join search_tasks s on s.task_id = e.task_id
                left join search_documents d on d.task = s.number and d.position = e.position ",
            $clause
        ))
    };
}

/// The tasks with the ids in the JSON array `?`.
pub const TASKS_NAMED: Sql = rows!(tasks, "where t.id in (select value from json_each(?))");
/// The bookmarks with the ids in the JSON array `?`.
pub const BOOKMARKS_NAMED: Sql = rows!(bookmarks, "where b.id in (select value from json_each(?))");
/// The events with the ids in the JSON array `?`.
pub const EVENTS_NAMED: Sql = rows!(events, "where e.id in (select value from json_each(?))");

/// The newest `?2` tasks older than the id `?1`.
pub const TASKS_BEFORE: Sql = rows!(tasks, "where t.id < ? order by t.id desc limit ?");
/// The newest `?2` bookmarks older than the id `?1`.
pub const BOOKMARKS_BEFORE: Sql = rows!(bookmarks, "where b.id < ? order by b.id desc limit ?");
/// The newest `?2` events before the position `?1`.
pub const EVENTS_BEFORE: Sql = rows!(events, "where e.position < ? order by e.position desc limit ?");

/// The oldest `?3` events of the task `?1` after the position `?2`.
pub const EVENTS_OF_TASK: Sql = rows!(events, "where e.task_id = ? and e.position > ? order by e.position limit ?");
/// The oldest `?2` events of the tasks in the JSON array `?1`.
pub const EVENTS_OF_TASKS: Sql =
    rows!(events, "where e.task_id in (select value from json_each(?)) order by e.position limit ?");
/// The first `?3` bookmarks of the task `?1` after the id `?2`.
pub const BOOKMARKS_OF_TASK: Sql = rows!(bookmarks, "where b.task_id = ? and b.id > ? order by b.id limit ?");

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
pub const DOCUMENTS_BELOW: Sql = Sql::new(concat!(
    "select d.id, s.number is null or ",
    is_gone!(),
    " as gone
    from (select * from search_documents where id < ? order by id desc limit ?) d
    left join search_tasks s on s.number = d.task order by d.id desc"
));

/// At most `?2` documents of the task `?1` that have no row any more: rows of `id` and `gone`.
pub const GONE_DOCUMENTS_OF_TASK: Sql = Sql::new(concat!(
    "select d.id, true as gone from search_tasks s join search_documents d on d.task = s.number
    where s.task_id = ? and ",
    is_gone!(),
    " limit ?"
));

/// The documents of the bookmarks in the JSON array `?` that have no row any more: rows of `id` and `gone`.
pub const GONE_DOCUMENTS_OF_BOOKMARKS: Sql = Sql::new(
    "select d.id, true as gone from json_each(?) join search_documents d on d.bookmark_id = value
    where not exists (select 1 from bookmarks b where b.id = d.bookmark_id)",
);

/// The tasks that have documents but no row.
pub const GONE_TASKS: Sql = Sql::new(
    "select task_id from search_tasks
    where not exists (select 1 from tasks where tasks.id = search_tasks.task_id)",
);

/// The ids in the JSON array `?` that no event has. The column is named `task_id`, as in `GONE_TASKS`.
pub const GONE_EVENTS: Sql = Sql::new(
    "select value as task_id from json_each(?) where not exists (select 1 from events where events.id = value)",
);

/// The first `?3` changes from the change `?1` up to, but without, the change `?2`.
pub const CHANGES: Sql = Sql::new(
    "select id, kind, project, task_id, object_id from changes
    where id >= ?1 and id < ?2 order by id limit ?3",
);

/// The tasks in the JSON array `?1`, each with its project and the project under which its documents are indexed. A
/// task without documents also has the number and the size of its events. At most `?2` + 1 events are counted, so a
/// number above `?2` means that the task has more than `?2` events.
pub const KNOWN_TASKS: Sql = Sql::new(
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
