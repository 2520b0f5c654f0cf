//! What goes with its task goes in silence; what is a task says itself that it went.

use super::Wire;

const ALL: [&str; 4] = [
    "",
    "pragma foreign_keys = on; ",
    "pragma recursive_triggers = on; ",
    "pragma foreign_keys = on; pragma recursive_triggers = on; ",
];

/// A tree of four, the deepest at the third level, each with everything a task can have, and a stranger.
const TREE: &str = "
    insert into tasks (id, title, project, parent_task_id) values
        ('{a}', 'a', 'p', null), ('{b}', 'b', 'p', '{a}'), ('{c}', 'c', 'q', '{b}'), ('{d}', 'd', 'p', '{a}'),
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
    for pragmas in ALL {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write(TREE).await;
        wire.told().await;
        wire.write("delete from tasks where id = '{a}'").await;
        let mut told = wire.told().await;
        assert_eq!(told.last().unwrap(), "task.deleted task_id=a project=p parent_task_id=null", "{pragmas}");
        told.sort();
        let expected = [
            "task.deleted task_id=a project=p parent_task_id=null",
            "task.deleted task_id=b project=p parent_task_id=a",
            "task.deleted task_id=c project=q parent_task_id=b",
            "task.deleted task_id=d project=p parent_task_id=a",
        ];
        assert_eq!(told, expected, "{pragmas}");
        assert_eq!(wire.sql("select count(*) from tasks where project <> 'sentinel'"), "1", "{pragmas}");
        wire.figures_hold(&[]).await;
    }
}

#[tokio::test]
async fn deleting_all_tasks_sends_one_notice_for_each_task() {
    for pragmas in ALL {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write(TREE).await;
        wire.told().await;
        wire.write("delete from tasks where project <> 'sentinel'").await;
        let mut told = wire.told().await;
        told.sort();
        let ids: Vec<_> = told.iter().filter_map(|line| line.strip_prefix("task.deleted task_id=")?.get(..1)).collect();
        assert_eq!((told.len(), ids), (5, vec!["a", "b", "c", "d", "x"]), "{pragmas}: {told:?}");
        assert_eq!(wire.sql("select count(*) from events"), "0", "{pragmas}");
        assert_eq!(wire.sql("select sum(value) from figures where figure glob 'usage.*'"), "0", "{pragmas}");
        wire.figures_hold(&[]).await;
    }
}

/// Tasks that are below each other go as well, once each.
#[tokio::test]
async fn deleting_a_circle_of_tasks_sends_each_notice_once() {
    for pragmas in ALL {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write("insert into tasks (id, title) values ('{a}', 'a'), ('{b}', 'b')").await;
        wire.write("update tasks set parent_task_id = iif(id = '{a}', '{b}', '{a}') where id in ('{a}', '{b}')").await;
        wire.told().await;
        wire.write("delete from tasks where id = '{a}'").await;
        let mut told = wire.told().await;
        told.sort();
        let expected =
            ["task.deleted task_id=a project= parent_task_id=b", "task.deleted task_id=b project= parent_task_id=a"];
        assert_eq!(told, expected, "{pragmas}");
        wire.figures_hold(&[]).await;
    }
}

/// Parents are told apart: who moves below another task is told of under both.
#[tokio::test]
async fn a_change_of_parent_sends_notices_for_both_parents() {
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a'), ('{b}', 'b'), ('{c}', 'c')").await;
    wire.told().await;
    for (write, told) in [
        (
            "update tasks set parent_task_id = '{a}' where id = '{c}'",
            "task.updated task_id=c project= parent_task_id=null
             task.updated task_id=c project= parent_task_id=a",
        ),
        (
            "update tasks set parent_task_id = '{b}', title = 'C' where id = '{c}'",
            "task.updated task_id=c project= parent_task_id=a
             task.updated task_id=c project= parent_task_id=b",
        ),
        (
            "update tasks set parent_task_id = null, project = 'p', status = 'errored' where id = '{c}'",
            "task.updated task_id=c project= parent_task_id=b
             task.completed task_id=c project=p parent_task_id=null status=errored",
        ),
    ] {
        wire.check(write, told).await;
    }
    wire.figures_hold(&[]).await;
}

#[tokio::test]
async fn deleting_rows_of_a_task_sends_notices_of_that_task() {
    for pragmas in ALL {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write("insert into tasks (id, title, project) values ('{a}', 'a', 'p')").await;
        wire.write("insert into sessions (id, task_id) values ('{s}', '{a}')").await;
        wire.write("insert into events (id, task_id, kind) values ('{e}', '{a}', 'log'), ('{f}', '{a}', 'log')").await;
        wire.write("insert into bookmarks (id, task_id, event_id) values ('{m}', '{a}', '{e}')").await;
        wire.write("insert into usage (task_id, answer_id, input_tokens) values ('{a}', 'one', 3)").await;
        wire.told().await;
        for (write, told) in [
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
            wire.check(write, told).await;
        }
        wire.figures_hold(&[("a", 2)]).await;
    }
}
