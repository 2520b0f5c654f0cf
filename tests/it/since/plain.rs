//! Statements of programs that use no API.

use crate::property::world::id;

/// The number of the statements of [`plain`].
pub const PLAIN: u8 = 20;

/// A statement of these for a task.
pub fn plain(which: u8, task: u8) -> String {
    let task = id(0, task);
    let only = format!("from tasks where id = '{task}'");
    match which {
        // REPLACE takes the event with the same external id.
        0 => format!("insert or replace into events (task_id, kind, external_id) select id, 'log', 'x' {only};"),
        1 => format!("update or replace events set external_id = 'x' where task_id = '{task}' and position % 2;"),
        2 => format!("insert or replace into bookmarks (task_id, title) select id, hex(randomblob(2)) {only};"),
        3 => format!("delete from bookmarks where task_id = '{task}';"),
        4 => format!("update sessions set summary = hex(randomblob(2)) where task_id = '{task}';"),
        5 => format!("delete from sessions where task_id = '{task}';"),
        6 => format!("pragma foreign_keys = on; insert or replace into tasks (id, title) values ('{task}', 'again');"),
        7 => format!(
            "insert or replace into usage (task_id, answer_id, model, input_tokens) \
             select id, 'a', 'm', abs(random() % 100) {only};"
        ),
        8 => format!(
            "update tasks set todos = '[{{\"id\":\"1\",\"title\":\"t\",\"state\":\"pending\"}}]', \
             model = hex(randomblob(2)) where id = '{task}';"
        ),
        9 => format!("update events set title = hex(randomblob(2)) where task_id = '{task}' and position % 3 = 0;"),
        10 => format!("delete from events where task_id = '{task}';"),
        11 => format!(
            "insert into events (task_id, kind, family, state, metadata) \
             select id, 'tool', 'file', 'ok', json_object('file_path', 'f' || abs(random() % 3)) {only};"
        ),
        12 => {
            format!("insert into events (task_id, kind, state, created_at) select id, 'tool', 'running', 1000 {only};")
        }
        13 => "update tasks set listed_at = changed_at where rowid % 2;".to_owned(),
        14 => format!("insert into sessions (task_id, started_at) select id, 1000 {only};"),
        15 => format!("update sessions set status = 'completed' where task_id = '{task}' and status = 'running';"),
        // A session can have the id of its task.
        16 => format!("insert or ignore into sessions (id, task_id, started_at) select id, id, 2000 {only};"),
        17 => format!("update sessions set summary = hex(randomblob(2)) where id = '{task}';"),
        // REPLACE takes the event with the same id, which was another kind of event.
        18 => format!(
            "insert or replace into events (id, task_id, kind) select id, task_id, 'log' from events \
             where task_id = '{task}' and family = 'file' order by position desc limit 1;"
        ),
        _ => format!(
            "insert into sessions (id, task_id) select id, task_id from sessions where task_id = '{task}' limit 1 \
             on conflict (id) do update set summary = hex(randomblob(2));"
        ),
    }
}
