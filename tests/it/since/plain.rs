//! Statements of programs that use no API.

use crate::app::{Engine, by_engine, engine};
use crate::property::world::id;
use crate::store::{any_number, any_text};

/// The number of the statements of [`plain`].
pub const PLAIN: u8 = 20;

/// A statement of these for a task.
pub fn plain(which: u8, task: u8) -> String {
    let task = id(0, task);
    let only = format!("from tasks where id = '{task}'");
    if let (Engine::Postgres, Some(sql)) = (engine(), without_replace(which, &task)) {
        return sql;
    }
    let text = any_text();
    match which {
        // REPLACE takes the event with the same external id.
        0 => format!("insert or replace into events (task_id, kind, external_id) select id, 'log', 'x' {only};"),
        1 => format!("update or replace events set external_id = 'x' where task_id = '{task}' and position % 2;"),
        2 => format!("insert or replace into bookmarks (task_id, title) select id, {text} {only};"),
        3 => format!("delete from bookmarks where task_id = '{task}';"),
        4 => format!("update sessions set summary = {text} where task_id = '{task}';"),
        5 => format!("delete from sessions where task_id = '{task}';"),
        6 => format!("pragma foreign_keys = on; insert or replace into tasks (id, title) values ('{task}', 'again');"),
        7 => format!(
            "insert or replace into usage (task_id, answer_id, model, input_tokens) \
             select id, 'a', 'm', {} {only};",
            any_number(100)
        ),
        8 => format!(
            "update tasks set todos = '[{{\"id\":\"1\",\"title\":\"t\",\"state\":\"pending\"}}]', \
             model = {text} where id = '{task}';"
        ),
        9 => format!("update events set title = {text} where task_id = '{task}' and position % 3 = 0;"),
        10 => format!("delete from events where task_id = '{task}';"),
        11 => format!(
            "insert into events (task_id, kind, family, state, metadata) \
             select id, 'tool', 'file', 'ok', '{{\"file_path\":\"f' || {} || '\"}}' {only};",
            any_number(3)
        ),
        12 => {
            format!("insert into events (task_id, kind, state, created_at) select id, 'tool', 'running', 1000 {only};")
        }
        13 => format!("update tasks set listed_at = changed_at where {};", by_engine("rowid % 2", "true")),
        14 => format!("insert into sessions (task_id, started_at) select id, 1000 {only};"),
        15 => format!("update sessions set status = 'completed' where task_id = '{task}' and status = 'running';"),
        // A session can have the id of its task.
        16 => {
            format!("insert into sessions (id, task_id, started_at) select id, id, 2000 {only} on conflict do nothing;")
        }
        17 => format!("update sessions set summary = {text} where id = '{task}';"),
        // REPLACE takes the event with the same id, which was another kind of event.
        18 => format!(
            "insert or replace into events (id, task_id, kind) select id, task_id, 'log' from events \
             where task_id = '{task}' and family = 'file' order by position desc limit 1;"
        ),
        _ => format!(
            "insert into sessions (id, task_id) select id, task_id from sessions where task_id = '{task}' limit 1 \
             on conflict (id) do update set summary = {text};"
        ),
    }
}

/// The statements with REPLACE as Postgres takes them.
fn without_replace(which: u8, task: &str) -> Option<String> {
    let newest =
        format!("(select id from events where task_id = '{task}' and family = 'file' order by position desc limit 1)");
    let sql = match which {
        0 => format!(
            "delete from events where task_id = '{task}' and external_id = 'x'; insert into events \
             (task_id, kind, external_id) select id, 'log', 'x' from tasks where id = '{task}';"
        ),
        1 => format!("update events set external_id = 'x' || position where task_id = '{task}' and position % 2 = 1;"),
        2 => format!(
            "delete from bookmarks where task_id = '{task}' and event_id is null; insert into bookmarks \
             (task_id, title) select id, {} from tasks where id = '{task}';",
            any_text()
        ),
        6 => {
            format!("delete from tasks where id = '{task}'; insert into tasks (id, title) values ('{task}', 'again');")
        }
        7 => format!(
            "insert into usage (task_id, answer_id, model, input_tokens) select id, 'a', 'm', {} from tasks \
             where id = '{task}' on conflict (task_id, answer_id) do update set input_tokens = excluded.input_tokens;",
            any_number(100)
        ),
        18 => format!(
            "with gone as (delete from events where id = {newest} returning id, task_id) \
             insert into events (id, task_id, kind) select id, task_id, 'log' from gone;"
        ),
        _ => return None,
    };
    Some(sql)
}
