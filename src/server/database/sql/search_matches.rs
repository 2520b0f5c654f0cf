//! The matches of a search.

use super::Sql;

/// The text of a match that a search ranks and shows.
macro_rules! text {
    () => {
        "case when d.position is not null then e.body when d.bookmark_id is not null then b.note else t.summary end"
    };
}

/// The current rows of the matches that the query `$newest` gives. The second value is the project and the third the
/// task, or null. The two texts of each engine are the columns and `$newest`.
macro_rules! rows_of_matches {
    (sqlite: $sqlite_columns:expr, $sqlite:expr, postgres: $postgres_columns:expr, $postgres:expr $(,)?) => {
        Sql::both(
            concat!(
                "with newest (id) as materialized (",
                $sqlite,
                ") select d.id, ",
                $sqlite_columns,
                rows_of_matches!(from),
                " and (?2 is null or t.project = ?2) and (?3 is null or t.id = ?3) order by d.id desc"
            ),
            concat!(
                "with recursive ",
                $postgres,
                " select d.id, ",
                $postgres_columns,
                rows_of_matches!(from),
                " and ($2::text is null or t.project = $2) and ($3::text is null or t.id = $3) order by d.id desc"
            ),
        )
    };
    (from) => {
        " from newest join search_documents d on d.id = newest.id join search_tasks s on s.number = d.task
            join tasks t on t.id = s.task_id
            left join events e on e.position = d.position and e.task_id = t.id
            left join bookmarks b on b.id = d.bookmark_id and b.task_id = t.id
            where (d.position is null or e.id is not null) and (d.bookmark_id is null or b.id is not null)"
    };
}

/// The newest `$4` documents that match the `tsquery` `$1` on Postgres.
///
/// The index has no order, so it would have to collect all matches of a frequent word. So each document has a word for
/// its section, on five levels. The first arm looks into the newest two sections of up to 4,096 documents each. Each
/// further arm looks into two sections of an eight times larger size, and the last one into all documents. Postgres
/// runs an arm when the arms before it have not given enough documents. The innermost query has `offset 0`, so that the
/// order of the result never leads Postgres to read all documents in that order.
macro_rules! newest_on_postgres {
    () => {
        "arms (level, below, start, sections) as (
            select -1, 9223372036854775807, 9223372036854775807, null::tsquery
            union all
            select arms.level + 1, arms.start,
                case when arms.level < 4 then coalesce(older.section, newest.section) << shift
                    else -9223372036854775808 end,
                case when arms.level < 4 then (
                    '''/' || arms.level + 1 || ':' || newest.section || ''''
                    || coalesce(' | ''/' || arms.level + 1 || ':' || older.section || '''', ''))::tsquery end
            from arms cross join lateral (select 3 * arms.level + 15 as shift) step
                cross join lateral (select id >> shift as section from search_index order by id desc limit 1) newest
                left join lateral (
                    select id >> shift as section from search_index where id < newest.section << shift
                    order by id desc limit 1
                ) older on true
            where arms.level < 5 and exists (select 1 from search_index where id < arms.start)
        ), newest (id) as materialized (
            select found.id from arms cross join lateral (
                select id from (
                    select id from search_index
                    where words @@ coalesce($1::tsquery && arms.sections, $1::tsquery) offset 0
                ) matches where id < arms.below order by id desc limit $4
            ) found where arms.level >= 0 limit $4
        )"
    };
}

/// The newest `?4` matches of the expression `?1`, with `?5` characters of each text.
pub const CANDIDATES: Sql = rows_of_matches!(
    sqlite: concat!("coalesce(e.title, b.title, t.title) as title, substr(", text!(), ", 1, ?5) as text"),
    "select rowid from search_index where search_index match ?1 order by rowid desc limit ?4",
    postgres: concat!("coalesce(e.title, b.title, t.title) as title, substr(", text!(), ", 1, $5::int) as text"),
    newest_on_postgres!(),
);

/// The columns of a match that an answer shows.
macro_rules! shown {
    () => {
        concat!(
            "t.id as task_id, e.id as event_id, b.id as bookmark_id, b.event_id as marked_event_id,
            t.project, coalesce(e.title, b.title, t.title) as title, ",
            text!(),
            " as text, coalesce(e.created_at, b.updated_at, (select changed_at from task_counts where id = t.id)) as at"
        )
    };
}

/// The matches with the ids in the JSON array `?1`, with all columns that an answer shows.
pub const HITS: Sql = rows_of_matches!(
    sqlite: shown!(), "select value from json_each(?1)",
    postgres: shown!(),
    "newest (id) as materialized (select value::bigint from jsonb_array_elements_text($1::jsonb) item (value))",
);
