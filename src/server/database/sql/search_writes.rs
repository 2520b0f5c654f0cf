//! The statements that write the search index.

use super::Sql;
use super::runs::last_change;

/// The progress of the index. Documents of imported events have ids below 0. Their ids start at -2^40, with room on
/// both sides: events indexed as they arrive count upwards, events of a walk downwards.
pub const PROGRESS: Sql = Sql::both(
    "select next, document, stage, stage_at, stage_document, words, null as partly, 0 as step,
        coalesce((select max(id) from search_documents where id < 0) + 1, -(1 << 40)) as history,
        coalesce((select min(id) from search_documents where id < 0), -(1 << 40)) - 1 as walked_history
    from searched",
    "select next, document, stage, stage_at, stage_document, words, partly, step,
        coalesce((select max(id) from search_documents where id < 0) + 1, -(1::bigint << 40)) as history,
        coalesce((select min(id) from search_documents where id < 0), -(1::bigint << 40)) - 1 as walked_history
    from searched",
);

/// Sets the progress, unless another writer has set it. On SQLite: five new values, then four old values. On Postgres:
/// six new values, then the number of the step that the old values have.
pub const MOVE_ON: Sql = Sql::both(
    "update searched set next = ?, document = ?, stage = ?, stage_at = ?, stage_document = ?
    where next = ? and document = ? and stage is ? and stage_at is ?",
    "update searched
    set next = $1, document = $2, stage = $3, stage_at = $4, stage_document = $5, partly = $6, step = step + 1
    where step = $7",
);

/// Begins to walk all rows by the rules of the version `?1`, and leaves room for the ids of their documents. There is
/// no room for positions that the database cannot give. On Postgres nothing happens if the number of the step is no
/// longer `$2`: then another server has begun.
pub const BEGIN_WALK: Sql = Sql::both(
    concat!(
        "update searched set (next, document, stage, stage_at, stage_document, words) = (select next, document + room,
            'tasks', null, document + room - 1, ?1 from (select ",
        last_change!(),
        " + 1 as next,
            (select count(*) from tasks) + (select count(*) from bookmarks)
                + (select min(coalesce(max(position), 0), 1 << 40) from events) as room))",
    ),
    "update searched set next = pg_current_snapshot()::text, document = document + room, stage = 'tasks',
        stage_at = null, stage_document = document + room - 1, words = $1, partly = null, step = step + 1
    from (select (select count(*) from tasks) + (select count(*) from bookmarks)
        + (select least(coalesce(max(position), 0), 1::bigint << 40) from events) as room) rows
    where step = $2",
);

/// Records that all documents of the task `?1` are under the project `?2`.
pub const SETTLE_TASK: Sql = Sql::both(
    "insert into search_tasks (task_id, project) values (?, ?)
    on conflict (task_id) do update set project = excluded.project",
    "insert into search_tasks (task_id, project) values ($1, $2)
    on conflict (task_id) do update set project = excluded.project",
);

/// Adds the tasks in the JSON array `?` that are not there.
pub const ADD_TASKS: Sql = Sql::both(
    "insert into search_tasks (task_id, project)
    select value ->> 0, value ->> 1 from json_each(?) where true on conflict (task_id) do nothing",
    "insert into search_tasks (task_id, project)
    select value ->> 0, value ->> 1 from jsonb_array_elements($1::jsonb) item (value) on conflict (task_id) do nothing",
);

/// Adds or updates the documents in the JSON array `?`.
pub const SAVE_DOCUMENTS: Sql = Sql::both(
    "insert into search_documents (id, task, position, bookmark_id, fingerprint)
    select value ->> 0, (select number from search_tasks where task_id = value ->> 1),
        value ->> 2, value ->> 3, value ->> 4
    from json_each(?) where true on conflict (id) do update set fingerprint = excluded.fingerprint",
    "insert into search_documents (id, task, position, bookmark_id, fingerprint)
    select (value ->> 0)::bigint, (select number from search_tasks where task_id = value ->> 1),
        (value ->> 2)::bigint, value ->> 3, (value ->> 4)::bigint
    from jsonb_array_elements($1::jsonb) item (value) on conflict (id) do update set fingerprint = excluded.fingerprint",
);

/// Adds the texts in the JSON array `?` to the index. On Postgres a text is a `tsvector`.
pub const ADD_TEXTS: Sql = Sql::both(
    "insert into search_index (rowid, title, text, scope)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each(?)",
    "insert into search_index (id, words)
    select (value ->> 0)::bigint, (value ->> 1)::tsvector from jsonb_array_elements($1::jsonb) item (value)",
);

/// Removes the texts of the documents in the JSON array `?` from the index.
pub const REMOVE_TEXTS: Sql = Sql::both(
    "delete from search_index where rowid in (select value from json_each(?))",
    "delete from search_index where id in (select jsonb_array_elements_text($1::jsonb)::bigint)",
);

/// Removes the documents in the JSON array `?`.
pub const REMOVE_DOCUMENTS: Sql = Sql::both(
    "delete from search_documents where id in (select value from json_each(?))",
    "delete from search_documents where id in (select jsonb_array_elements_text($1::jsonb)::bigint)",
);

/// Removes the task `?1`, unless it has documents.
pub const REMOVE_TASK: Sql = Sql::both(
    "delete from search_tasks where task_id = ?1
        and not exists (select 1 from search_documents where task = search_tasks.number)",
    "delete from search_tasks where task_id = $1
        and not exists (select 1 from search_documents where task = search_tasks.number)",
);

/// Merges at most `?` pages of the index.
pub const MERGE: Sql = Sql::new("insert into search_index (search_index, rank) values ('merge', ?)");

/// The number of rows that the connection has changed.
pub const TOTAL_CHANGES: Sql = Sql::new("select total_changes() as n");

/// Drops the index.
pub const DROP_INDEX: Sql = Sql::new("drop table if exists search_words; drop table if exists search_index");

/// Restores the table without which SQLite can neither read nor drop the index.
pub const MAKE_INDEX_READABLE: Sql = Sql::new(
    "create table if not exists search_index_config (k primary key, v) without rowid;
    insert or replace into search_index_config (k, v) values ('version', 5)",
);

/// Creates an empty index and sets the progress to its beginning. The text is laid out as in the migrations, because
/// SQLite keeps it in the schema.
pub const MAKE_INDEX: Sql = Sql::new(
    "
create virtual table search_index using fts5 (
    title, text, scope, content = '', contentless_delete = 1, tokenize = 'ascii'
);
insert into search_index (search_index, rank) values ('automerge', 0);
insert into search_index (search_index, rank) values ('crisismerge', 1000);
insert into search_index (search_index, rank) values ('usermerge', 16);
create virtual table search_words using fts5vocab (search_index, instance);
delete from search_documents;
delete from search_tasks;
update searched set (next, document, stage, stage_at, stage_document) = (0, 1, null, null, null);
",
);
