//! The files of the schema, and the statements in them.

use crate::macros::put_in_place;

/// The migrations in their order.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[("0001_initial", include_str!("../../postgres/0001_initial.sql"))];
/// The tables of this crate, and the functions that the migrations need.
pub(super) const BOOKKEEPING: &str = include_str!("../../postgres/bookkeeping.sql");
/// Puts right what the triggers keep.
pub(super) const RECOUNT: &str = include_str!("../../postgres/recount.sql");

/// The functions and triggers. The order of the files counts for the functions that others use.
const TRIGGERS: &[&str] = &[
    include_str!("../../triggers/postgres/common.sql"),
    include_str!("../../triggers/postgres/kept.sql"),
    include_str!("../../triggers/postgres/trees.sql"),
    include_str!("../../triggers/postgres/tasks.sql"),
    include_str!("../../triggers/postgres/sessions.sql"),
    include_str!("../../triggers/postgres/events.sql"),
    include_str!("../../triggers/postgres/bookmarks.sql"),
    include_str!("../../triggers/postgres/usage.sql"),
    include_str!("../../triggers/postgres/agents.sql"),
    include_str!("../../triggers/postgres/purges.sql"),
    include_str!("../../triggers/postgres/truncate.sql"),
    include_str!("../../triggers/postgres/replica.sql"),
];

/// The rules of an event. `refuse_event` has the same ones, each with its message.
const IS_EVENT: &str = "it.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    and it.kind ~ '^[a-z0-9._]{1,64}$'
    and (it.family is null
        or it.family in ('terminal', 'file', 'explore', 'agent', 'mcp', 'todo', 'question'))
    and (it.lane is null
        or it.lane in ('user', 'assistant', 'exploration', 'implementation', 'terminal', 'planning', 'questions',
            'todos', 'git', 'background', 'coordination', 'system'))
    and (it.state is null or it.state in ('running', 'ok', 'failed', 'denied', 'abandoned'))
    and length(it.title) <= 500
    and (it.body is null or octet_length(it.body) <= 65536)
    and (it.metadata is null or is_json_object(it.metadata))
    and it.created_at between 0 and 253402300799999
    and it.updated_at between 0 and 253402300799999";

/// Puts the name of the schema in the place of `{schema}`, and the rules of an event in the place of `{is_event:row}`.
pub(super) fn expand(sql: &str, schema: &str) -> String {
    let sql = sql.replace("{schema}", schema);
    put_in_place(sql, "{is_event:", |row| IS_EVENT.replace("it.", &format!("{row}.")))
}

/// The statements that make all functions and triggers. A function that exists is replaced.
pub(super) fn triggers(schema: &str) -> String {
    let functions = BOOKKEEPING.split("\n\n").filter(|it| it.contains("create function "));
    let all = functions.chain(TRIGGERS.iter().copied()).collect::<Vec<_>>().join("\n\n");
    expand(&all, schema).replace("create function ", "create or replace function ")
}

/// The statements of the migrations, without comments: each in one line.
pub(super) fn statements() -> Vec<String> {
    let all = [BOOKKEEPING].into_iter().chain(MIGRATIONS.iter().map(|(_, sql)| *sql));
    let statements = all.flat_map(|sql| {
        let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        code.join("\n").split(";\n").map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    });
    statements.filter(|it| !it.is_empty()).collect()
}

/// The names after the words, in all functions and triggers of the files.
pub(super) fn names(words: &str, schema: &str) -> Vec<String> {
    let text = triggers(schema);
    let after = text.match_indices(words).map(|(at, _)| &text[at + words.len()..]);
    after.map(|rest| rest.split([' ', '(']).next().unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::{TRIGGERS, names, statements, triggers};

    #[test]
    fn each_file_of_the_folder_is_in_the_list() {
        let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/triggers/postgres")).unwrap();
        for path in folder.map(|file| file.unwrap().path()) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(TRIGGERS.contains(&&*text), "{} is missing in `TRIGGERS`", path.display());
        }
    }

    #[test]
    fn nothing_is_left_to_put_in_place() {
        let text = triggers("s");
        assert!(!text.contains("{is_") && !text.contains("{schema}"));
        assert!(statements().iter().any(|it| it.starts_with("create table tasks (")));
        assert!(names("create trigger ", "s").contains(&"events_logged".to_owned()));
    }
}
