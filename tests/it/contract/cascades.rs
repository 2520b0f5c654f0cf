//! A deleted task sends `task.deleted` for itself and for each task below it. Its sessions, events, bookmarks and usage
//! are deleted without notices of their own.

use super::Wire;
use super::wire::each_of;
use crate::app::{Engine, engine};

const PRAGMAS: [&str; 4] = [
    "",
    "pragma foreign_keys = on; ",
    "pragma recursive_triggers = on; ",
    "pragma foreign_keys = on; pragma recursive_triggers = on; ",
];

/// A tree of four tasks on three levels, and the task `x` outside of it. Each task has a session, events, bookmarks and
/// usage.
const TREE: &str = "
    insert into tasks (id, title, project, parent_task_id) values
        ('{a}', 'a', 'p', null), ('{b}', 'b', 'p', '{a}'), ('{c}', 'c', 'p', '{b}'), ('{d}', 'd', 'p', '{a}'),
        ('{x}', 'x', 'p', null);
    insert into sessions (task_id) select id from tasks;
    insert into events (task_id, kind) select id, 'log' from tasks;
    insert into events (task_id, kind) select id, 'tool' from tasks;
    insert into bookmarks (task_id) select id from tasks;
    insert into bookmarks (task_id, event_id) select task_id, id from events where kind = 'log';
    insert into usage (task_id, answer_id, input_tokens) select id, 'one', 3 from tasks;
    insert into usage (task_id, answer_id, output_tokens, cost_usd_micros) select id, 'two', 5, 7 from tasks";

#[tokio::test]
async fn deleting_a_tree_sends_one_notice_for_each_task() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write(TREE).await;
        wire.frames().await;
        wire.write("delete from tasks where id = '{a}'").await;
        let mut frames = wire.frames().await;
        // One statement of Postgres deletes the tasks below, after that of the writer.
        if engine() == Engine::Sqlite {
            assert_eq!(frames.last().unwrap(), "task.deleted task_id=a project=p parent_task_id=null", "{pragmas}");
        }
        frames.sort();
        let expected = [
            "task.deleted task_id=a project=p parent_task_id=null",
            "task.deleted task_id=b project=p parent_task_id=a",
            "task.deleted task_id=c project=p parent_task_id=b",
            "task.deleted task_id=d project=p parent_task_id=a",
        ];
        assert_eq!(frames, expected, "{pragmas}");
        assert_eq!(wire.sql("select count(*) from tasks where project <> 'sentinel'"), "1", "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

#[tokio::test]
async fn deleting_all_tasks_sends_one_notice_for_each_task() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write(TREE).await;
        wire.frames().await;
        wire.write("delete from tasks where project <> 'sentinel'").await;
        let mut frames = wire.frames().await;
        frames.sort();
        let ids: Vec<_> =
            frames.iter().filter_map(|line| line.strip_prefix("task.deleted task_id=")?.get(..1)).collect();
        assert_eq!((frames.len(), ids), (5, vec!["a", "b", "c", "d", "x"]), "{pragmas}: {frames:?}");
        assert_eq!(wire.sql("select count(*) from events"), "0", "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

/// A notice names one parent, so a task that moves below another parent sends one notice for the old and one for the
/// new.
#[tokio::test]
async fn a_change_of_parent_sends_notices_for_both_parents() {
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a'), ('{b}', 'b'), ('{c}', 'c')").await;
    wire.frames().await;
    for (write, frames) in [
        (
            "update tasks set parent_task_id = '{a}' where id = '{c}'",
            "task.updated task_id=c project= parent_task_id=null status_changed=null
             task.updated task_id=c project= parent_task_id=a status_changed=null",
        ),
        (
            "update tasks set parent_task_id = '{b}', title = 'C' where id = '{c}'",
            "task.updated task_id=c project= parent_task_id=a status_changed=null
             task.updated task_id=c project= parent_task_id=b status_changed=null",
        ),
        (
            "update tasks set parent_task_id = null, project = 'p', status = 'errored' where id = '{c}'",
            "task.updated task_id=c project= parent_task_id=b status_changed=true
             task.completed task_id=c project=p parent_task_id=null status=errored",
        ),
    ] {
        wire.check(write, frames).await;
    }
    wire.check_figures(&[]).await;
}

#[tokio::test]
async fn deleting_rows_of_a_task_sends_notices_of_that_task() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write("insert into tasks (id, title, project) values ('{a}', 'a', 'p')").await;
        wire.write("insert into sessions (id, task_id) values ('{s}', '{a}')").await;
        wire.write("insert into events (id, task_id, kind) values ('{e}', '{a}', 'log'), ('{f}', '{a}', 'log')").await;
        wire.write("insert into bookmarks (id, task_id, event_id) values ('{m}', '{a}', '{e}')").await;
        wire.write("insert into usage (task_id, answer_id, input_tokens) values ('{a}', 'one', 3)").await;
        wire.frames().await;
        for (write, frames) in [
            ("delete from usage", "task.updated task_id=a project=p parent_task_id=null"),
            ("delete from sessions", "task.updated task_id=a project=p parent_task_id=null"),
            (
                "delete from events where id = '{e}'",
                "bookmark.deleted bookmark_id=m task_id=a project=p
                 event.updated event_id=e task_id=a project=p",
            ),
            ("delete from events", "event.updated event_id=f task_id=a project=p"),
            ("delete from events; delete from sessions; delete from bookmarks; delete from usage", ""),
        ] {
            wire.check(write, frames).await;
        }
        wire.check_figures(&[("a", 2)]).await;
    }
}
