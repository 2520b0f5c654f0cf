//! Rows that conflict with existing rows: `or ignore`, `or replace`, upserts, unique columns.
//!
//! SQLite fires no delete trigger for a replaced row unless recursive triggers are on. The deletion must send its
//! notice in both cases.

use super::Wire;
use super::wire::{each_of, portable};
use crate::app::on_sqlite_only;

const NO_REPLACE: &str = "Postgres has no REPLACE";

const PRAGMAS: [&str; 4] = [
    "",
    "pragma foreign_keys = on; ",
    "pragma recursive_triggers = on; ",
    "pragma foreign_keys = on; pragma recursive_triggers = on; ",
];

/// Two tasks with external ids. The first has sessions, events, bookmarks and usage.
const ROWS: &str = "
    insert into tasks (id, title, project, source, external_id) values
        ('{a}', 'a', 'p', 'cli', 'one'), ('{b}', 'b', 'q', 'cli', 'two');
    insert into sessions (id, task_id) values ('{s}', '{a}');
    insert into events (id, task_id, kind, external_id) values
        ('{e}', '{a}', 'log', 'call'), ('{f}', '{a}', 'log', null), ('{g}', '{b}', 'log', null);
    insert into bookmarks (id, task_id, event_id) values ('{m}', '{a}', null), ('{n}', '{a}', '{f}'), ('{o}', '{a}', '{e}');
    insert into usage (task_id, answer_id, input_tokens, cost_usd_micros) values
        ('{a}', 'one', 3, 4), ('{a}', 'two', 5, null), ('{b}', 'one', 7, 8)";

#[tokio::test]
async fn an_ignored_row_sends_no_notice() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        for write in [
            "insert or ignore into tasks (id, title) values ('{a}', 'x')",
            "insert or ignore into tasks (title, project, source, external_id) values ('x', 'p', 'cli', 'one')",
            "insert or ignore into sessions (id, task_id) values ('{s}', '{a}')",
            "insert or ignore into events (id, task_id, kind) values ('{e}', '{a}', 'log')",
            "insert or ignore into events (task_id, kind, external_id) values ('{a}', 'log', 'call')",
            "insert or ignore into bookmarks (task_id) values ('{a}')",
            "insert or ignore into bookmarks (task_id, event_id) values ('{a}', '{f}')",
            "insert or ignore into usage (task_id, answer_id, input_tokens) values ('{a}', 'one', 9)",
            "insert into usage (task_id, answer_id) values ('{a}', 'one') on conflict do nothing",
            "insert into tasks (id, title) values ('{a}', 'x') on conflict do nothing",
            "update or ignore tasks set external_id = 'two', project = 'q' where id = '{a}'",
        ] {
            if let Some(write) = portable(write) {
                wire.check(&write, "").await;
            }
        }
        // The `before` triggers of an ignored row note the row; that note must not affect a later write.
        wire.check("delete from tasks where id = '{b}'", "task.deleted task_id=b project=q parent_task_id=null").await;
        wire.check(
            "insert into tasks (id, title, source, external_id) values ('{b}', 'b', 'cli', 'two')",
            "task.started task_id=b project= parent_task_id=null",
        )
        .await;
        wire.check(
            "update tasks set external_id = 'three' where id = '{a}'",
            "task.updated task_id=a project=p parent_task_id=null",
        )
        .await;
        wire.check(
            "insert into tasks (id, title, source, external_id) values ('{c}', 'c', 'cli', 'one')",
            "task.started task_id=c project= parent_task_id=null",
        )
        .await;
        wire.check_figures(&[]).await;
    }
}

#[tokio::test]
async fn an_upsert_sends_the_notice_of_its_insert_or_update() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        let upsert = "insert into tasks (id, title, project) values ('{c}', 'c', 'p')
            on conflict (id) do update set title = excluded.title || '!'";
        wire.check(upsert, "task.started task_id=c project=p parent_task_id=null").await;
        wire.check(upsert, "task.updated task_id=c project=p parent_task_id=null").await;
        wire.check(upsert, "").await;
        wire.check(
            "insert into tasks (title, project, source, external_id) values ('x', 'p', 'cli', 'one')
                 on conflict (source, external_id, project) where external_id is not null do update set status = 'completed'",
            "task.completed task_id=a project=p parent_task_id=null status=completed",
        )
        .await;
        wire.check(
            "insert into events (task_id, kind, external_id) values ('{a}', 'log', 'call')
                 on conflict (task_id, external_id) where external_id is not null do update set state = 'ok'",
            "event.updated event_id=e task_id=a project=p",
        )
        .await;
        let upsert_usage = "insert into usage (task_id, answer_id, input_tokens) values ('{a}', 'two', 6)
            on conflict (task_id, answer_id) do update set input_tokens =
                case when usage.input_tokens > excluded.input_tokens then usage.input_tokens else excluded.input_tokens end";
        wire.check(upsert_usage, "task.updated task_id=a project=p parent_task_id=null").await;
        wire.check(upsert_usage, "").await;
        wire.check("delete from usage where answer_id = 'two'", "task.updated task_id=a project=p parent_task_id=null")
            .await;
        wire.check(upsert_usage, "task.updated task_id=a project=p parent_task_id=null").await;
        // An updated task is not noted as replaced: its deletion sends `task.deleted`.
        wire.check("delete from tasks where id = '{c}'", "task.deleted task_id=c project=p parent_task_id=null").await;
        wire.check(upsert, "task.started task_id=c project=p parent_task_id=null").await;
        wire.check_figures(&[]).await;
    }
}

#[tokio::test]
async fn replacing_a_task_sends_deleted_and_started() {
    if on_sqlite_only(NO_REPLACE) {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        // If one of the two pragmas is on, the events and bookmarks are deleted with the old task. If both are off,
        // they stay and belong to the new task, which has the same id.
        let stays = pragmas.is_empty();
        let frames = "task.deleted task_id=a project=p parent_task_id=null
             task.started task_id=a project=q parent_task_id=null";
        let bookmarks = "bookmark.saved bookmark_id=o task_id=a project=q x3\n";
        let frames = if stays { format!("{bookmarks}{frames}") } else { frames.to_owned() };
        wire.check("replace into tasks (id, title, project, status) values ('{a}', 'A', 'q', 'waiting')", &frames)
            .await;
        assert_eq!(wire.sql("select count(*) from events where task_id = '{a}'"), if stays { "2" } else { "0" });
        assert_eq!(wire.sql("select event_count from task_counts where id = '{a}'"), if stays { "2" } else { "0" });
        wire.check("delete from tasks where id = '{a}'", "task.deleted task_id=a project=q parent_task_id=null").await;
        wire.check_figures(&[]).await;
    }
}

/// A row that conflicts by its external id would replace a task with another id. The triggers must not let that task
/// vanish without `task.deleted`: they refuse the write where SQLite fires no delete trigger.
#[tokio::test]
async fn a_task_is_not_replaced_silently_through_its_external_id() {
    if on_sqlite_only(NO_REPLACE) {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        wire.write("insert into tasks (id, title, parent_task_id) values ('{k}', 'k', '{a}')").await;
        wire.frames().await;
        let replace =
            "replace into tasks (id, title, project, source, external_id) values ('{c}', 'c', 'p', 'cli', 'one')";
        let update = "update or replace tasks set external_id = 'two', project = 'q' where external_id = 'one'";
        if pragmas.contains("recursive_triggers") {
            // With recursive triggers SQLite fires the delete triggers of the replaced task.
            wire.check(
                replace,
                "task.deleted task_id=k project=p parent_task_id=a
                 task.deleted task_id=a project=p parent_task_id=null
                 task.started task_id=c project=p parent_task_id=null",
            )
            .await;
            wire.check(
                update,
                "task.deleted task_id=b project=q parent_task_id=null
                 task.updated task_id=c project=p parent_task_id=null status_changed=null
                 task.updated task_id=c project=q parent_task_id=null status_changed=null",
            )
            .await;
        } else {
            wire.refuses(replace, "another task of this project has this source and external_id").await;
            wire.refuses(update, "another task of this project has this source and external_id").await;
        }
        wire.check_figures(&[]).await;
    }
}

/// A session, an event or a bookmark stays with its task: a `replace` with its id and another task is refused.
#[tokio::test]
async fn a_replace_cannot_move_a_row_to_another_task() {
    if on_sqlite_only(NO_REPLACE) {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        for (write, reason) in [
            (
                "replace into sessions (id, task_id) values ('{s}', '{b}')",
                "a session keeps its id, its rowid and its task",
            ),
            (
                "replace into events (id, task_id, kind) values ('{e}', '{b}', 'log')",
                "an event keeps its id, its task and its position",
            ),
            (
                "replace into events (position, task_id, kind) values (1, '{b}', 'log')",
                "an event keeps its id, its task and its position",
            ),
            (
                "replace into bookmarks (id, task_id) values ('{m}', '{b}')",
                "a bookmark keeps its id, its rowid and what it marks",
            ),
        ] {
            wire.refuses(write, reason).await;
        }
        wire.check_figures(&[]).await;
    }
}

/// A row that is replaced within its task makes the task stale, so clients fetch the task again.
#[tokio::test]
async fn replacing_a_row_within_its_task_sends_a_notice() {
    if on_sqlite_only(NO_REPLACE) {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        for (write, frames) in [
            (
                "replace into sessions (id, task_id) values ('{s}', '{a}')",
                "session.started session_id=s task_id=a project=p",
            ),
            (
                "replace into events (id, task_id, kind) values ('{f}', '{a}', 'tool')",
                r#"event.logged event_id=f task_id=a project=p kinds=["tool"] lanes=["coordination"]"#,
            ),
            (
                "replace into events (id, task_id, kind, external_id) values ('{h}', '{a}', 'tool', 'call')",
                r#"event.logged event_id=h task_id=a project=p kinds=["tool"] lanes=["coordination"]"#,
            ),
            (
                "replace into bookmarks (id, task_id) values ('{q}', '{a}')",
                "bookmark.saved bookmark_id=q task_id=a project=p",
            ),
            (
                "replace into usage (task_id, answer_id, output_tokens) values ('{a}', 'one', 9)",
                "task.updated task_id=a project=p parent_task_id=null",
            ),
        ] {
            wire.write(write).await;
            let all = wire.frames().await;
            assert!(all.iter().any(|line| line.trim_end_matches(" x2") == frames), "{pragmas}{write}: {all:?}");
            // With recursive triggers the deleted row may send a notice too: it names the same task.
            assert!(all.iter().all(|line| line.ends_with("project=p") || line.contains("task_id=a ")), "{all:?}");
        }
        assert_eq!(wire.sql("select count(*) from bookmarks where event_id not in (select id from events)"), "0");
        wire.check_figures(&[("a", 2)]).await;
    }
}

/// A row that a statement removes is named by a change, whatever the statement is called and whichever key it meets.
#[tokio::test]
async fn each_removed_row_is_named_by_a_change() {
    if on_sqlite_only(NO_REPLACE) {
        return;
    }
    const ROWS_THERE: &str = "select 'task.', id from tasks union all select 'session.', id from sessions
        union all select 'event.', id from events union all select 'bookmark.', id from bookmarks
        union all select 'task.', task_id || answer_id from usage";
    for pragmas in each_of(&PRAGMAS) {
        for (write, frames) in [
            (
                "replace into bookmarks (id, task_id) values ('{q}', '{a}')",
                "bookmark.deleted bookmark_id=m task_id=a project=p
                 bookmark.saved bookmark_id=q task_id=a project=p",
            ),
            (
                "replace into bookmarks (id, task_id, event_id) values ('{q}', '{a}', '{f}')",
                "bookmark.deleted bookmark_id=n task_id=a project=p
                 bookmark.saved bookmark_id=q task_id=a project=p",
            ),
            (
                "replace into events (id, task_id, kind, external_id) values ('{h}', '{a}', 'tool', 'call')",
                r#"bookmark.deleted bookmark_id=o task_id=a project=p
                 event.updated event_id=e task_id=a project=p
                 event.logged event_id=h task_id=a project=p kinds=["tool"] lanes=["coordination"]"#,
            ),
            (
                "update or replace events set external_id = 'call' where id = '{f}'",
                "bookmark.deleted bookmark_id=o task_id=a project=p
                 event.updated event_id=f task_id=a project=p x2",
            ),
            // Each event takes the id of the one before, so one of three events is left.
            (
                "insert into events (id, task_id, kind) values ('{h}', '{a}', 'log');
                 delete from bookmarks; update or replace events set external_id = 'same' where task_id = '{a}'",
                "",
            ),
            ("delete from bookmarks where task_id = '{a}'", ""),
        ] {
            let mut wire = with_rows(pragmas).await;
            let before = wire.sql(ROWS_THERE);
            let from = wire.sql("select max(id) from changes");
            wire.write(write).await;
            let after = wire.sql(ROWS_THERE);
            let removed: Vec<_> = before.lines().filter(|row| !after.lines().any(|there| there == *row)).collect();
            assert!(!removed.is_empty(), "{pragmas}{write}");
            for row in removed {
                let (kind, id) = row.split_once('|').unwrap();
                let named = format!(
                    "select count(*) > 0 from changes where id > {from} and kind glob '{kind}*'
                        and coalesce(object_id, task_id) = '{id}'"
                );
                assert_eq!(wire.sql(&named), "1", "{pragmas}{write}: {row}");
            }
            let sent = wire.frames().await;
            let expected: Vec<&str> = frames.lines().map(str::trim).collect();
            assert!(expected.is_empty() || sent == expected, "{pragmas}{write}: {sent:?}");
            let gone = "select event_count - (select count(*) from events where task_id = '{a}')
                from task_counts where id = '{a}'";
            let gone = [("a", wire.sql(gone).parse().unwrap())];
            wire.check_figures(if gone[0].1 > 0 { &gone } else { &[] }).await;
        }
    }
}

/// REPLACE puts the default of a column in the place of NULL, and only then looks for rows with the same key.
#[tokio::test]
async fn a_task_is_not_replaced_silently_through_a_default() {
    if on_sqlite_only(NO_REPLACE) {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        wire.write("insert into tasks (id, title, external_id) values ('{d}', 'd', 'one')").await;
        wire.frames().await;
        let told = pragmas.contains("recursive_triggers");
        for (write, frames) in [
            (
                "replace into tasks (id, title, source, external_id, project) values ('{k}', 'k', null, 'one', null)",
                "task.deleted task_id=d project= parent_task_id=null
                 task.started task_id=k project= parent_task_id=null",
            ),
            (
                "update or replace tasks set source = null, project = null, external_id = 'one' where id = '{b}'",
                "task.deleted task_id=k project= parent_task_id=null
                 task.updated task_id=b project=q parent_task_id=null status_changed=null
                 task.updated task_id=b project= parent_task_id=null status_changed=null",
            ),
        ] {
            if told {
                wire.check(write, frames).await;
            } else {
                wire.refuses(write, "another task of this project has this source and external_id").await;
            }
        }
        wire.check_figures(&[]).await;
    }
}

async fn with_rows(pragmas: &'static str) -> Wire {
    let mut wire = Wire::start_with(pragmas).await;
    wire.write(ROWS).await;
    wire.frames().await;
    wire
}
