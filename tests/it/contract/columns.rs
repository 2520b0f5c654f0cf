//! Changes every column of every table by plain SQL: each change sends one notice, or the database keeps the column
//! itself, or the database refuses the change.
//!
//! The test reads the columns from the database, so a column that is added later without a trigger fails here.

use super::Wire;
use crate::app::{Engine, by_engine, engine, now_ms, on_sqlite_only};

/// Tables that belong to no read model. The tables that begin with `search` do not either: search results are no read
/// model.
const INTERNAL: &str =
    "activity changes deliveries figures figure_deltas folded purges purging replaced runs searched requery_migrations
    requery_triggers settling tree_roots leaving \
    usage_replaced counts_pending epoch floor floor_notes folding leases servers settings";

/// Columns of a task that belong to no read model.
const SILENT: &[&str] = &["tasks.ingest_state", "tasks.heard_at", "tasks.process", "tasks.trigger_writes"];

/// Columns that the triggers keep: a value that a writer sets is taken back.
const KEPT: &[&str] = &[
    "tasks.event_count",
    "tasks.changed_at",
    "tasks.counted_to",
    "tasks.given",
    "tasks.listed_at",
    "events.updated_at",
    "bookmarks.updated_at",
];

/// Columns that never change.
const REFUSED: &[(&str, &str)] = &[
    ("tasks.id", "a task keeps its id and its rowid"),
    ("sessions.id", "a session keeps its id, its rowid and its task"),
    ("sessions.task_id", "a session keeps its id, its rowid and its task"),
    ("events.position", "an event keeps its id, its task and its position"),
    ("events.id", "an event keeps its id, its task and its position"),
    ("events.task_id", "an event keeps its id, its task and its position"),
    ("bookmarks.id", "a bookmark keeps its id, its rowid and what it marks"),
    ("bookmarks.task_id", "a bookmark keeps its id, its rowid and what it marks"),
    ("bookmarks.event_id", "a bookmark keeps its id, its rowid and what it marks"),
    ("bookmarks.project", "the project of a bookmark is kept by the database"),
    ("usage.task_id", "usage keeps its task, its answer and its project"),
    ("usage.answer_id", "usage keeps its task, its answer and its project"),
    ("usage.project", "usage keeps its task, its answer and its project"),
    ("agents.source", "an agent keeps its source, its host and its project"),
    ("agents.host", "an agent keeps its source, its host and its project"),
    ("agents.project", "an agent keeps its source, its host and its project"),
];

/// Columns whose change sends one notice for the old value and one for the new.
const MOVED: &[&str] = &["tasks.project", "tasks.parent_task_id"];

/// The values for columns that do not take any text.
const VALUES: &[(&str, &str)] = &[
    ("tasks.id", "'{other}'"),
    ("tasks.status", "'waiting'"),
    ("tasks.status_certain", "0"),
    ("tasks.mode", "'background'"),
    ("tasks.stale_reason", "'gone'"),
    ("tasks.parent_task_id", "'{b}'"),
    ("sessions.id", "'{other}'"),
    ("sessions.task_id", "'{b}'"),
    ("sessions.status", "'completed'"),
    ("events.id", "'{other}'"),
    ("events.task_id", "'{b}'"),
    ("events.family", "'mcp'"),
    ("events.lane", "'git'"),
    ("events.state", "'ok'"),
    ("events.metadata", "'{\"k\":1}'"),
    ("bookmarks.id", "'{other}'"),
    ("bookmarks.task_id", "'{b}'"),
    ("bookmarks.event_id", "null"),
    ("usage.task_id", "'{b}'"),
    ("usage.project", "'other'"),
];

#[tokio::test]
async fn each_changed_column_sends_its_notice_or_none_or_is_refused() {
    every_column("").await;
}

#[tokio::test]
async fn each_changed_column_behaves_so_with_recursive_triggers() {
    every_column("pragma recursive_triggers = on; ").await;
}

#[tokio::test]
async fn each_changed_column_behaves_so_with_foreign_keys() {
    every_column("pragma foreign_keys = on; ").await;
}

#[tokio::test]
async fn each_changed_column_behaves_so_with_recursive_triggers_and_foreign_keys() {
    every_column("pragma recursive_triggers = on; pragma foreign_keys = on; ").await;
}

#[tokio::test]
async fn each_changed_column_behaves_so_for_a_program_that_trusts_no_schema() {
    every_column("pragma trusted_schema = off; ").await;
}

async fn every_column(pragmas: &'static str) {
    if !pragmas.is_empty() && on_sqlite_only("Postgres has no pragmas") {
        return;
    }
    let mut wire = Wire::start_with(pragmas).await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a'), ('{b}', 'b')").await;
    wire.write("update tasks set project = 'x' where id = '{b}'").await;
    wire.write("insert into sessions (id, task_id) values ('{s}', '{a}')").await;
    wire.write("insert into events (id, task_id, kind) values ('{e}', '{a}', 'log')").await;
    wire.write("insert into bookmarks (id, task_id, event_id) values ('{m}', '{a}', '{e}')").await;
    wire.write("insert into usage (task_id, answer_id) values ('{a}', 'one')").await;
    wire.write("insert into agents (source, host) values ('codex', 'north')").await;
    wire.frames().await;
    let tables = wire.sql(by_engine(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name",
        "select table_name from information_schema.tables
         where table_schema = 'requery' and table_type = 'BASE TABLE' order by table_name",
    ));
    let mut checked = 0;
    let in_read_models =
        |table: &&str| !table.starts_with("search") && !INTERNAL.split_whitespace().any(|internal| internal == *table);
    for table in tables.lines().filter(in_read_models) {
        let row = match table {
            "tasks" => "id = '{a}'",
            "sessions" => "id = '{s}'",
            "events" => "id = '{e}'",
            "bookmarks" => "id = '{m}'",
            "usage" => "answer_id = 'one'",
            "agents" => "source = 'codex'",
            other => panic!("add the table {other} to a read model here or to INTERNAL"),
        };
        let columns = by_engine(
            "select name, type from pragma_table_info('TABLE')",
            "select column_name, case data_type when 'bigint' then 'INTEGER' else 'TEXT' end
             from information_schema.columns where table_schema = 'requery' and table_name = 'TABLE'
             order by ordinal_position",
        );
        let columns = wire.sql(&columns.replace("TABLE", table));
        for (column, kind) in columns.lines().map(|line| line.split_once('|').unwrap()) {
            let name = format!("{table}.{column}");
            let known = VALUES.iter().find(|(known, _)| *known == name);
            let value = known.map(|(_, value)| (*value).to_owned()).unwrap_or_else(|| match kind {
                "INTEGER" => format!("coalesce({column}, 0) + 1"),
                _ => "'x'".to_owned(),
            });
            let write = format!("update {table} set {column} = {value} where {row}");
            if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                wire.refuses(&write, reason).await;
                continue;
            }
            let read = format!("select {column} from {table} where {row}");
            let before = wire.sql(&read);
            wire.write(&write).await;
            let frames = wire.frames().await;
            if KEPT.contains(&name.as_str()) {
                assert_eq!((frames, wire.sql(&read)), (Vec::new(), before), "{write}");
                checked += 1;
                continue;
            }
            let expected = match name.as_str() {
                name if SILENT.contains(&name) => 0,
                name if MOVED.contains(&name) => check_old_and_new(name, &frames),
                _ => 1,
            };
            assert_eq!(frames.len(), expected, "{write}: {frames:?}");
            // A second write of the same value is no change. A value with `+` counts up, so it differs each time.
            if !value.contains('+') {
                wire.check(&write, "").await;
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} columns");
}

/// The number of frames for a task that moved. Bookmarks are listed by project, so a change of project sends theirs
/// too.
fn check_old_and_new(name: &str, frames: &[String]) -> usize {
    assert_eq!(frames.iter().filter(|line| line.starts_with("task.updated task_id=a ")).count(), 2, "{frames:?}");
    let bookmarks = if name == "tasks.project" { 2 } else { 0 };
    assert_eq!(frames.iter().filter(|line| line.starts_with("bookmark.saved bookmark_id=m ")).count(), bookmarks);
    2 + bookmarks
}

/// A direct insert names only the columns that have no default: the database fills in the rest, ids and times included.
#[tokio::test]
async fn a_direct_insert_gets_defaults() {
    let mut wire = Wire::start().await;
    wire.check("insert into tasks (title) values ('a')", "task.started task_id=? project= parent_task_id=null").await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a')").await;
    wire.frames().await;
    wire.check("insert into sessions (task_id) values ('{a}')", "session.started session_id=? task_id=a project=")
        .await;
    wire.check(
        "insert into events (task_id, kind) values ('{a}', 'log')",
        "event.logged event_id=? task_id=a project=",
    )
    .await;
    wire.check("insert into bookmarks (task_id) values ('{a}')", "bookmark.saved bookmark_id=? task_id=a project=")
        .await;
    wire.check(
        "insert into usage (task_id, answer_id) values ('{a}', 'one')",
        "task.updated task_id=a project= parent_task_id=null",
    )
    .await;
    let task = wire.sql(
        "select project, status, mode, source, event_count, cast(parent_task_id is null as integer),
             cast(status_reason is null as integer) from tasks where title = 'a' and id <> '{a}'",
    );
    assert_eq!(task, "|running|primary|sql|0|1|1");
    let session = wire.sql("select source, status, cast(ended_at is null as integer) from sessions");
    assert_eq!(session, "sql|running|1");
    let event = "select position, title, cast(body is null as integer), cast(lane is null as integer) from events";
    assert_eq!(wire.sql(event), "1||1|1");
    let usage = wire.sql("select * from usage").replace(&wire.sql("select at from usage"), "now");
    assert_eq!(usage, format!("{}|one||0|0|0|0||now|", super::id("a")));
    // Each id is a unique UUID of version 7 whose time is the current time.
    wire.write(
        "with recursive n (i) as (select 1 union select i + 1 from n where i < 500)
         insert into events (task_id, kind) select '{a}', 'log' from n",
    )
    .await;
    let h = "[0-9a-f]";
    let shape = format!("{}-{}-7{}-[89ab]{}-{}", h.repeat(8), h.repeat(4), h.repeat(3), h.repeat(3), h.repeat(12));
    for table in ["tasks", "sessions", "events", "bookmarks"] {
        let column = if table == "sessions" { "started_at" } else { "created_at" };
        let (not_like, hex) = match engine() {
            Engine::Sqlite => ("not glob", format!("printf('%012x', {column})")),
            Engine::Postgres => ("!~", format!("lpad(to_hex({column}), 12, '0')")),
        };
        let odd = wire.sql(&format!(
            "select id, {column} from {table} where id <> '{{a}}' and (id {not_like} '{shape}'
                or substr(id, 1, 8) || substr(id, 10, 4) <> {hex} or abs({column} - {}) > 60000)",
            now_ms()
        ));
        assert_eq!(odd, "", "{table}");
    }
    assert_eq!(wire.sql("select count(distinct id) from events"), "501");
    wire.check_figures(&[]).await;
}

/// The error of a refused row names the constraint that the row breaks.
#[tokio::test]
async fn a_refused_row_names_the_broken_constraint() {
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a'), ('{b}', 'b')").await;
    wire.write("insert into events (id, task_id, kind) values ('{e}', '{a}', 'log')").await;
    wire.write("insert into bookmarks (id, task_id) values ('{m}', '{a}')").await;
    wire.write("insert into bookmarks (task_id, event_id) values ('{a}', '{e}')").await;
    wire.frames().await;
    let upper = super::id("x").to_uppercase();
    for (write, rule) in [
        ("insert into tasks (id, title) values ('1', 'a')", "id_is_a_uuid"),
        (&*format!("insert into tasks (id, title) values ('{upper}', 'a')"), "id_is_a_uuid"),
        ("insert into tasks (title) values (null)", "NOT NULL constraint failed: tasks.title"),
        ("insert into tasks (title) values ('')", "title_is_1_to_500_characters"),
        ("insert into tasks (title) values (<501>)", "title_is_1_to_500_characters"),
        ("update tasks set title = ''", "title_is_1_to_500_characters"),
        ("update tasks set status_detail = <501>", "status_detail_is_at_most_500_characters"),
        ("update tasks set status_certain = 2", "status_certain_is_0_or_1"),
        ("insert into tasks (title, project) values ('a', <129>)", "project_is_at_most_128_characters"),
        ("insert into tasks (title, project) values ('a', 'a\n')", "project_has_no_control_characters"),
        ("insert into tasks (title, project) values ('a', '\u{7f}')", "project_has_no_control_characters"),
        ("insert into tasks (title, project) values ('a', '\u{85}b')", "project_has_no_control_characters"),
        ("insert into tasks (title, status) values ('a', 'done')", "status_is_known"),
        ("update tasks set status = 'Completed'", "status_is_known"),
        ("insert into tasks (title, mode) values ('a', 'b')", "mode_is_known"),
        (
            "insert into tasks (title, created_at) values ('a', 'today')",
            by_engine("cannot store TEXT value in INTEGER column", "invalid input syntax for type bigint"),
        ),
        ("insert into sessions (task_id, status) values ('{a}', 'waiting')", "status_is_known"),
        ("insert into sessions (status) values ('running')", "NOT NULL constraint failed: sessions.task_id"),
        ("insert into events (id, task_id, kind) values ('e', '{a}', 'log')", "id_is_a_uuid"),
        ("insert into events (task_id, kind) values ('{a}', '')", "kind_is_1_to_64_lower_case"),
        ("insert into events (task_id, kind) values ('{a}', 'Tool')", "kind_is_1_to_64_lower_case"),
        ("insert into events (task_id, kind) values ('{a}', 'a b')", "kind_is_1_to_64_lower_case"),
        ("insert into events (task_id, kind) values ('{a}', <65>)", "kind_is_1_to_64_lower_case"),
        ("insert into events (task_id) values ('{a}')", "NOT NULL constraint failed: events.kind"),
        ("insert into events (position, task_id, kind) values (9223372036854775807, '{a}', 'log')", "position: it is"),
        ("insert into events (position, task_id, kind) values (0, '{a}', 'log')", "position: it is"),
        ("update tasks set created_at = 9223372036854775807", "created_at_is_in_the_years_1970_to_9999"),
        ("update tasks set status_since = -1", "status_since_is_in_the_years_1970_to_9999"),
        ("update tasks set changed_at = -1", "changed_at_is_in_the_years_1970_to_9999"),
        ("update tasks set heard_at = -1", "heard_at_is_in_the_years_1970_to_9999"),
        ("update tasks set stale_since = 253402300800000", "stale_since_is_in_the_years_1970_to_9999"),
        ("insert into sessions (task_id, started_at) values ('{a}', -1)", "started_at_is_in_the_years_1970_to_9999"),
        ("insert into sessions (task_id, ended_at) values ('{a}', -1)", "ended_at_is_in_the_years_1970_to_9999"),
        ("update events set created_at = -1", "created_at_is_in_the_years_1970_to_9999"),
        ("update events set updated_at = -1", "updated_at_is_in_the_years_1970_to_9999"),
        ("update bookmarks set created_at = -1", "created_at_is_in_the_years_1970_to_9999"),
        ("update bookmarks set updated_at = -1", "updated_at_is_in_the_years_1970_to_9999"),
        ("insert into usage (task_id, answer_id, at) values ('{a}', 'x', -1)", "at_is_in_the_years_1970_to_9999"),
        ("insert into events (task_id, kind, metadata) values ('{a}', 'log', '[]')", "metadata_is_a_json_object"),
        ("update events set family = 'x'", "family_is_known"),
        ("update events set lane = 'x'", "lane_is_known"),
        ("update events set state = 'x'", "state_is_known"),
        ("update events set title = <501>", "title_is_at_most_500_characters"),
        ("update events set body = <65537>", "body_is_at_most_64_kib"),
        ("update events set metadata = '[]'", "metadata_is_a_json_object"),
        ("update events set metadata = '{'", by_engine("malformed JSON", "metadata")),
        ("insert into bookmarks (task_id) values ('{a}')", "UNIQUE constraint failed: bookmarks.task_id"),
        (
            "insert into bookmarks (task_id, event_id) values ('{a}', '{e}')",
            "UNIQUE constraint failed: bookmarks.event_id",
        ),
        (
            "insert into bookmarks (task_id, event_id) values ('{b}', '{e}')",
            "a bookmark of an event names the task of that event",
        ),
        ("insert into bookmarks (task_id, event_id) values ('{a}', '{x}')", "names the task of that event"),
        ("update bookmarks set note = <65537>", "note_is_at_most_64_kib"),
        ("update bookmarks set title = <501>", "title_is_at_most_500_characters"),
        ("insert into usage (task_id, answer_id) values ('{a}', '')", "answer_id_is_1_to_256_characters"),
        ("insert into usage (task_id, answer_id) values ('{a}', <257>)", "answer_id_is_1_to_256_characters"),
        ("insert into usage (task_id) values ('{a}')", "NOT NULL constraint failed: usage.answer_id"),
        (
            "insert into usage (task_id, answer_id, project) values ('{a}', 'x', 'p')",
            "the project of usage is kept by the database",
        ),
        (
            "insert into usage (task_id, answer_id, output_tokens) values ('{a}', 'x', -1)",
            "output_tokens_are_0_to_a_trillion",
        ),
        (
            "insert into usage (task_id, answer_id, cost_usd_micros) values ('{a}', 'x', 1000000000001)",
            "cost_usd_micros_are_0_to_a_trillion",
        ),
        ("insert into usage (task_id, answer_id, model) values ('{a}', 'x', <129>)", "model_is_at_most_128"),
    ] {
        // On Postgres a value of a kept column is taken back before a check sees it.
        let is_kept = write.contains("set changed_at") || write.contains("set updated_at");
        if engine() == Engine::Sqlite || !is_kept {
            wire.refuses(&with_texts(write), rule).await;
        }
    }
    // Postgres rounds the number, and its texts have no character with the code 0.
    if engine() == Engine::Sqlite {
        let fraction = "insert into usage (task_id, answer_id, input_tokens) values ('{a}', 'x', 0.5)";
        wire.refuses(fraction, "cannot store REAL value").await;
        let detail = "update tasks set status_detail = cast(x'00' || zeroblob(2000) as text)";
        wire.refuses(detail, "status_detail_is_at_most_500_characters").await;
    }
    // Texts of exactly the greatest length are accepted.
    wire.write(&with_texts("insert into tasks (title, project) values (<500>, <128>)")).await;
    wire.write("update tasks set project = 'é\u{a0}&\u{3000}' where id = '{a}'").await;
    let faces = "\u{1f600}".repeat(500);
    wire.write(&format!("update tasks set status_detail = '{faces}' where id = '{{a}}'")).await;
    wire.write(&with_texts("insert into events (task_id, kind, body) values ('{a}', <64>, <65536>)")).await;
    wire.check_figures(&[]).await;
}

/// Puts a text of `n` characters in the place of each `<n>`.
fn with_texts(write: &str) -> String {
    let mut parts = write.split(['<', '>']);
    let mut text = parts.next().unwrap().to_owned();
    while let (Some(length), Some(rest)) = (parts.next(), parts.next()) {
        text.push_str(&format!("'{}'{rest}", "x".repeat(length.parse().unwrap())));
    }
    text
}
