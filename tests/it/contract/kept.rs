//! Changes that no trigger could announce are refused with the name of the column, or taken back, for every table and
//! with each setting of a writer.

use requery::protocol::limits;

use super::Wire;
use super::wire::{each_of, portable, settling};
use crate::app::{by_engine, now_ms, on_sqlite_only};

const PRAGMAS: [&str; 5] = [
    "",
    "pragma foreign_keys = on; ",
    "pragma recursive_triggers = on; ",
    "pragma foreign_keys = on; pragma recursive_triggers = on; ",
    "pragma trusted_schema = off; ",
];

const ROWS: &str = "
    insert into tasks (id, title, project) values ('{a}', 'a', 'p'), ('{b}', 'b', 'p');
    insert into sessions (id, task_id) values ('{s}', '{a}'), ('{t}', '{b}');
    insert into events (id, task_id, kind) values ('{e}', '{a}', 'log'), ('{f}', '{b}', 'log');
    insert into bookmarks (id, task_id) values ('{m}', '{a}'), ('{n}', '{b}');
    insert into usage (task_id, answer_id) values ('{a}', 'one')";

const SESSION: &str = "a session keeps its id, its rowid and its task";
const BOOKMARK: &str = "a bookmark keeps its id, its rowid and what it marks";
const EVENT: &str = "an event keeps its id, its task and its position";

async fn with_rows(pragmas: &'static str) -> Wire {
    let mut wire = Wire::start_with(pragmas).await;
    wire.write(ROWS).await;
    wire.frames().await;
    wire
}

/// A row with the rowid of another row would remove that row without any trigger.
#[tokio::test]
async fn a_row_is_not_replaced_through_its_rowid() {
    if on_sqlite_only("a row of Postgres has no rowid") {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        for (write, reason) in [
            ("insert or replace into tasks (rowid, title) values (1, 'x')", "rowid: another task has it"),
            ("insert or replace into tasks (_rowid_, id, title) values (2, '{a}', 'x')", "rowid: another task has it"),
            ("update or replace tasks set rowid = 2 where rowid = 1", "a task keeps its id and its rowid"),
            ("update or replace tasks set oid = 2 where id = '{a}'", "a task keeps its id and its rowid"),
            ("insert into tasks (rowid, title) values (-1, 'x')", "rowid: it is at least 1"),
            ("insert or replace into sessions (rowid, task_id) values (2, '{a}')", SESSION),
            ("update or replace sessions set _rowid_ = 2 where rowid = 1", SESSION),
            ("insert into sessions (rowid, task_id) values (0, '{a}')", "rowid: it is at least 1"),
            ("insert or replace into bookmarks (rowid, task_id) values (2, '{a}')", BOOKMARK),
            ("update or replace bookmarks set rowid = 2 where rowid = 1", BOOKMARK),
            (
                "insert or replace into bookmarks (rowid, task_id, event_id) values (-1, '{a}', '{e}')",
                "rowid: it is at least 1",
            ),
            ("insert or replace into events (rowid, task_id, kind) values (2, '{a}', 'log')", EVENT),
            ("update or replace events set rowid = 2 where rowid = 1", EVENT),
            // A fresh id stands in the place of NULL, but not yet when the triggers before the insert run.
            ("insert or replace into tasks (rowid, id, title) values (1, null, 'x')", "rowid: another task has it"),
            ("insert or replace into sessions (rowid, id, task_id) values (1, null, '{a}')", SESSION),
            ("insert or replace into bookmarks (rowid, id, task_id) values (2, null, '{a}')", BOOKMARK),
            ("insert or replace into events (position, id, task_id, kind) values (1, null, '{a}', 'log')", EVENT),
        ] {
            wire.refuses(write, reason).await;
        }
        // The number that SQLite gives by itself is free, and a rowid that no row has is taken.
        wire.check(
            "insert into tasks (rowid, id, title) values (99, '{c}', 'c')",
            "task.started task_id=c project= parent_task_id=null",
        )
        .await;
        wire.check_figures(&[]).await;
    }
}

/// Foreign keys are off in the `sqlite3` program.
#[tokio::test]
async fn a_row_of_a_task_that_does_not_exist_is_refused() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        for write in [
            "insert into sessions (task_id) values ('{none}')",
            "insert into events (task_id, kind) values ('{none}', 'log')",
            "insert or ignore into events (task_id, kind) values ('{none}', 'log')",
            "insert into bookmarks (task_id) values ('{none}')",
            "insert or replace into bookmarks (task_id) values ('{none}')",
            "insert into usage (task_id, answer_id) values ('{none}', 'one')",
        ] {
            if let Some(write) = portable(write) {
                wire.refuses(&write, "task_id: there is no such task").await;
            }
        }
        for write in [
            "insert into tasks (title, parent_task_id) values ('x', '{none}')",
            "update tasks set parent_task_id = '{none}' where id = '{b}'",
        ] {
            wire.refuses(write, "parent_task_id: there is no such task").await;
        }
        wire.check_figures(&[]).await;
    }
}

/// A counter or a time that the triggers keep stays right when a writer sets it together with another column.
#[tokio::test]
async fn a_kept_column_is_taken_back_beside_a_change() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        wire.check(
            by_engine(
                "update tasks set title = 'A', event_count = 99, changed_at = 253402300799999, counted_to = 7 \
                 where id = '{a}'",
                "update tasks set title = 'A', event_count = 99, changed_at = 253402300799999 where id = '{a}'",
            ),
            "task.updated task_id=a project=p parent_task_id=null",
        )
        .await;
        wire.check(
            "update tasks set project = 'q', event_count = 99 where id = '{b}'",
            "task.updated task_id=b project=p parent_task_id=null status_changed=null
             task.updated task_id=b project=q parent_task_id=null status_changed=null
             bookmark.saved bookmark_id=n task_id=b project=p
             bookmark.saved bookmark_id=n task_id=b project=q",
        )
        .await;
        wire.check(
            "update events set title = 'E', updated_at = 5 where id = '{e}'",
            "event.updated event_id=e task_id=a project=p",
        )
        .await;
        wire.check(
            "update bookmarks set note = 'N', updated_at = 253402300799999 where id = '{m}'",
            "bookmark.saved bookmark_id=m task_id=a project=p",
        )
        .await;
        let now = now_ms();
        let odd = format!(
            "select 'task', id from task_counts where event_count <> 1
                and id in (select id from tasks where project <> 'sentinel')
                or abs(changed_at - {now}) > 60000
            union all select 'event', id from events where abs(updated_at - {now}) > 60000
            union all select 'bookmark', id from bookmarks where abs(updated_at - {now}) > 60000"
        );
        assert_eq!(wire.sql(&odd), "", "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

/// A statement that imitates the trigger that counts the events is taken back.
#[tokio::test]
async fn a_forged_count_is_taken_back() {
    if on_sqlite_only("no trigger of Postgres counts events") {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        let newest = "(select max(position) from events)";
        // A statement that sets `counted_to` counts the events, which changes no sum.
        let kept = "select event_count, changed_at from task_counts where id = '{a}'";
        for event in [None, Some("insert into events (task_id, kind) values ('{a}', 'log')")] {
            if let Some(event) = event {
                // The change of the event is the last one of the log.
                wire.write(event).await;
                assert_eq!(wire.frames().await.len(), 1, "{event}");
            }
            let before = wire.sql(kept);
            for step in ["counted_to + 1", newest, "last_insert_rowid()", "0", "-1"] {
                for columns in ["event_count = 99", "event_count = event_count + 1, changed_at = 5", "listed_at = null"]
                {
                    let forged = format!("update tasks set {columns}, counted_to = {step} where id = '{{a}}'");
                    let first = event.map(|event| event.replace("'{a}'", "'{b}'") + "; ").unwrap_or_default();
                    wire.sql(&forged);
                    assert_eq!(wire.sql(kept), before, "{pragmas}{forged}");
                    // In one process, behind an event of another task.
                    wire.sql(&(first + &forged));
                    assert_eq!(wire.sql(kept), before, "{pragmas}{forged}");
                }
            }
            wire.frames().await;
        }
        wire.check_figures(&[]).await;
    }
}

/// A number of the log that comes again, because another program emptied the log, still counts an event.
#[tokio::test]
async fn events_are_counted_whatever_numbers_the_log_has() {
    if on_sqlite_only("no trigger of Postgres counts events") {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let wire = with_rows(pragmas).await;
        for numbers in ["delete from changes", "delete from changes; delete from sqlite_sequence"] {
            wire.sql(numbers);
            for _ in 0..3 {
                let before: i64 = wire.sql("select event_count from task_counts where id = '{a}'").parse().unwrap();
                wire.sql("insert into events (task_id, kind) values ('{a}', 'log'), ('{a}', 'log')");
                let count = wire.sql("select event_count from task_counts where id = '{a}'");
                assert_eq!(count, (before + 2).to_string(), "{pragmas}{numbers}");
            }
        }
        // A row that was copied from another database brings the place of an event there.
        wire.sql(
            "insert into tasks (id, title, counted_to)
             select '00000000-0000-7000-8000-0000000000f1', 'copied', max(position) + 2 from events",
        );
        wire.sql("insert into events (task_id, kind) values ('00000000-0000-7000-8000-0000000000f1', 'log')");
        assert_eq!(
            wire.sql("select event_count from task_counts where id = '00000000-0000-7000-8000-0000000000f1'"),
            "1",
            "{pragmas}"
        );
    }
}

/// One limit for the position that a writer chooses, and the database can go on behind it.
#[tokio::test]
async fn a_chosen_position_has_one_limit() {
    let mut wire = with_rows("").await;
    let limit = limits::EVENT_POSITION;
    let insert = |position: i64| {
        let insert = by_engine("insert or replace", "insert");
        format!("{insert} into events (position, task_id, kind) values ({position}, '{{a}}', 'log')")
    };
    for position in [i64::MIN, -2, 0, limit + 1, 1 << 53, i64::MAX] {
        wire.refuses(&insert(position), &format!("position: it is 1 to {limit}")).await;
    }
    wire.refuses(&insert(-1), "position").await;
    wire.check(&insert(limit), "event.logged event_id=? task_id=a project=p").await;
    wire.check(
        "insert into events (task_id, kind) values ('{a}', 'log')",
        "event.logged event_id=? task_id=a project=p",
    )
    .await;
    assert_eq!(wire.sql("select max(position) from events"), (limit + 1).to_string());
    wire.check_figures(&[]).await;
}

/// A time in the future is shown, but it keeps no row at the top of a list.
#[tokio::test]
async fn a_time_in_the_future_keeps_no_row_at_the_top() {
    let mut wire = with_rows("").await;
    for write in [
        "insert into tasks (title, changed_at, created_at) values ('future', 253402300799999, 253402300799999)",
        "insert into events (task_id, kind, created_at) values ('{a}', 'log', 253402300799999)",
        "insert into bookmarks (task_id, event_id, updated_at) values ('{a}', '{e}', 253402300799999)",
    ] {
        wire.write(write).await;
    }
    wire.frames().await;
    let now = now_ms();
    assert_eq!(wire.sql(&format!("select count(*) from tasks where changed_at > {now}")), "0");
    assert_eq!(wire.sql(&format!("select count(*) from bookmarks where updated_at > {now}")), "0");
    // Each later write works.
    wire.check(
        "update tasks set title = 'again' where title = 'future'",
        "task.updated task_id=? project= parent_task_id=null",
    )
    .await;
    wire.check(
        "insert into events (task_id, kind) values ('{a}', 'log')",
        "event.logged event_id=? task_id=a project=p",
    )
    .await;
    wire.check_figures(&[]).await;
}

/// An event that takes the external id of another event removes it, with its bookmark.
#[tokio::test]
async fn an_update_that_replaces_an_event_removes_its_bookmark() {
    if on_sqlite_only("Postgres has no REPLACE") {
        return;
    }
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        wire.write("update events set external_id = 'call' where id = '{e}'").await;
        wire.write("insert into events (id, task_id, kind) values ('{g}', '{a}', 'log')").await;
        wire.write("insert into bookmarks (id, task_id, event_id) values ('{o}', '{a}', '{e}')").await;
        wire.frames().await;
        wire.write("update or replace events set external_id = 'call' where id = '{g}'").await;
        let frames = wire.frames().await;
        assert!(frames.contains(&"bookmark.deleted bookmark_id=o task_id=a project=p".to_owned()), "{frames:?}");
        wire.check_figures(&[("a", 1)]).await;
    }
}

/// A detail belongs to one status and one reason: it stays only if the writer names it again.
#[tokio::test]
async fn a_detail_ends_with_its_status_or_its_reason() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        let frame = |changed: bool| {
            let changed = if changed { " status_changed=true" } else { "" };
            format!("task.updated task_id=a project=p parent_task_id=null{changed}")
        };
        let detail = "select coalesce(status_detail, 'none') from tasks where id = '{a}'";
        for (write, status_changes, left) in [
            (
                r#"PATCH /api/v1/tasks/{a} {"status":"waiting","status_reason":"question","status_detail":"?"}"#,
                true,
                "?",
            ),
            ("update tasks set status_detail = 'Which port?' where id = '{a}'", false, "Which port?"),
            ("update tasks set status_reason = 'permission' where id = '{a}'", false, "none"),
            ("update tasks set status_reason = 'question', status_detail = '?' where id = '{a}'", false, "?"),
            ("update tasks set status_reason = 'permission', status_detail = '?' where id = '{a}'", false, "?"),
            (r#"PATCH /api/v1/tasks/{a} {"status_reason":"question"}"#, false, "none"),
            (r#"PATCH /api/v1/tasks/{a} {"status_detail":"?"}"#, false, "?"),
            (r#"PATCH /api/v1/tasks/{a} {"status_reason":"permission","status_detail":"?"}"#, false, "?"),
            (r#"PATCH /api/v1/tasks/{a} {"status_detail":null}"#, false, "none"),
            (r#"PATCH /api/v1/tasks/{a} {"status_detail":"?"}"#, false, "?"),
            ("update tasks set status = 'running' where id = '{a}'", true, "none"),
            ("update tasks set status = 'waiting', status_detail = '?' where id = '{a}'", true, "?"),
        ] {
            wire.check(write, &frame(status_changes)).await;
            assert_eq!((wire.sql(detail).as_str(), wire.sql(settling()).as_str()), (left, ""), "{write}");
        }
        let failed = "task.completed task_id=a project=p parent_task_id=null status=errored";
        wire.check("update tasks set status = 'errored', status_detail = '?' where id = '{a}'", failed).await;
        assert_eq!(wire.sql(detail), "?");
        wire.check_figures(&[]).await;
    }
}

/// A doubt belongs to one status and one reason: it stays only if the writer names it again.
#[tokio::test]
async fn a_doubt_ends_with_its_status_or_its_reason() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        wire.write("update tasks set status = 'waiting', status_reason = 'permission' where id = '{a}'").await;
        wire.frames().await;
        let certain = "select status_certain from tasks where id = '{a}'";
        for (write, status_changes, left) in [
            ("update tasks set status_certain = 0 where id = '{a}'", false, "0"),
            ("update tasks set title = 'x' where id = '{a}'", false, "0"),
            ("update tasks set status_reason = 'question' where id = '{a}'", false, "1"),
            ("update tasks set status_reason = 'permission', status_certain = 0 where id = '{a}'", false, "0"),
            ("update tasks set status_reason = 'question', status_certain = 0 where id = '{a}'", false, "0"),
            (r#"PATCH /api/v1/tasks/{a} {"status_reason":"permission"}"#, false, "1"),
            ("update tasks set status_certain = 0 where id = '{a}'", false, "0"),
            (r#"PATCH /api/v1/tasks/{a} {"status":"waiting"}"#, false, "1"),
            ("update tasks set status = 'running', status_certain = 0 where id = '{a}'", true, "0"),
            ("update tasks set status = 'waiting' where id = '{a}'", true, "1"),
        ] {
            let changed = if status_changes { " status_changed=true" } else { "" };
            wire.check(write, &format!("task.updated task_id=a project=p parent_task_id=null{changed}")).await;
            assert_eq!((wire.sql(certain).as_str(), wire.sql(settling()).as_str()), (left, ""), "{write}");
        }
        wire.check_figures(&[]).await;
    }
}

/// A reason that stays the same under another status is kept if the writer names it, and cleared otherwise.
#[tokio::test]
async fn a_reason_that_is_given_again_stays() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_rows(pragmas).await;
        let frame = "task.updated task_id=a project=p parent_task_id=null status_changed=true";
        let failed = "task.completed task_id=a project=p parent_task_id=null status=errored";
        let reason = "select coalesce(status_reason, 'none') from tasks where id = '{a}'";
        wire.check(r#"PATCH /api/v1/tasks/{a} {"status":"waiting","status_reason":"why"}"#, frame).await;
        wire.check(r#"PATCH /api/v1/tasks/{a} {"status":"errored","status_reason":"why"}"#, failed).await;
        assert_eq!(wire.sql(reason), "why");
        wire.check("update tasks set status = 'waiting', status_reason = 'why' where id = '{a}'", frame).await;
        assert_eq!(wire.sql(reason), "why");
        wire.check("update tasks set status = 'errored' where id = '{a}'", failed).await;
        assert_eq!(wire.sql(reason), "none");

        // The note that the writer gave a reason does not outlive a row that was not written.
        wire.sql("update tasks set source = 'cli', external_id = 'one' where id = '{a}'");
        wire.sql("insert into tasks (title, project, source, external_id) values ('x', 'q', 'cli', 'one')");
        wire.sql("update tasks set status = 'waiting', status_reason = 'why' where id = '{a}'");
        wire.frames().await;
        let ignored =
            "update or ignore tasks set status = 'errored', status_reason = 'why', project = 'q' where id = '{a}'";
        if let Some(ignored) = portable(ignored) {
            wire.check(&ignored, "").await;
        }
        assert_eq!(wire.sql(settling()), "");
        wire.check("update tasks set status = 'errored' where id = '{a}'", failed).await;
        assert_eq!(wire.sql(reason), "none");
        wire.sql("update tasks set status = 'waiting', status_reason = 'why' where id = '{a}'");
        wire.frames().await;
        wire.check(
            "insert into tasks (id, title) values ('{a}', 'x')
                 on conflict (id) do update set status = 'errored', status_reason = 'why'",
            failed,
        )
        .await;
        assert_eq!(wire.sql(reason), "why");
        wire.check_figures(&[]).await;
    }
}
