//! The details of notices: the kinds and lanes of events, and whether it is the status of a task that changed. They
//! come from the change log, for every writer, and merging loses none.

use super::Wire;
use crate::app::by_engine;

#[tokio::test]
async fn a_notice_of_a_task_says_whether_its_status_changed() {
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title, parent_task_id) values ('{a}', 'a', null), ('{b}', 'b', '{a}')").await;
    wire.write("insert into sessions (id, task_id) values ('{s}', '{b}')").await;
    wire.frames().await;
    let other = "task.updated task_id=b project= parent_task_id=a";
    let status = "task.updated task_id=b project= parent_task_id=a status_changed=true";
    for (write, expected) in [
        ("update tasks set title = 'c' where id = '{b}'", other),
        ("update tasks set status = 'waiting', status_reason = 'ready' where id = '{b}'", status),
        ("update tasks set status_reason = 'question' where id = '{b}'", other),
        ("update tasks set stale_since = 5, stale_reason = 'silent' where id = '{b}'", other),
        (r#"PATCH /api/v1/tasks/{b} {"status":"running"}"#, status),
        ("update sessions set summary = 's' where id = '{s}'", other),
        ("delete from sessions where id = '{s}'", other),
        ("insert into usage (task_id, answer_id) values ('{b}', 'one')", other),
        ("update usage set output_tokens = 7 where answer_id = 'one'", other),
        ("delete from usage where answer_id = 'one'", other),
        // A move with a change of the status: the screens of both parents show the status. One without it can end or
        // begin the task on a screen that shows the status alone.
        (
            "update tasks set parent_task_id = null, status = 'waiting' where id = '{b}'",
            "task.updated task_id=b project= parent_task_id=a status_changed=true
             task.updated task_id=b project= parent_task_id=null status_changed=true",
        ),
        (
            "update tasks set parent_task_id = '{a}' where id = '{b}'",
            "task.updated task_id=b project= parent_task_id=null status_changed=null
             task.updated task_id=b project= parent_task_id=a status_changed=null",
        ),
        // Merged notices: the status changed if it changed in one of them, and it is back at its old value here.
        (
            "update tasks set status = 'running' where id = '{b}'; update tasks set status = 'waiting' where id = '{b}';
             update tasks set title = 'd' where id = '{b}'",
            "task.updated task_id=b project= parent_task_id=a status_changed=true x3",
        ),
        // The change of a program that knows no details.
        (
            "insert into changes (kind, project, task_id, parent_task_id) values ('task.updated', '', '{b}', '{a}')",
            "task.updated task_id=b project= parent_task_id=a status_changed=null",
        ),
        (
            "insert into changes (kind, project, task_id, parent_task_id) values ('task.updated', '', '{b}', '{a}');
             update tasks set title = 'e' where id = '{b}'",
            "task.updated task_id=b project= parent_task_id=a status_changed=null x2",
        ),
    ] {
        wire.check(write, expected).await;
    }
}

#[tokio::test]
async fn a_notice_of_events_names_their_kinds_and_lanes() {
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a')").await;
    wire.frames().await;
    let kinds_of = |count: u32| {
        format!(
            "with recursive n (i) as (select 10 union select i + 1 from n where i < {})
             insert into events (task_id, kind, lane) select '{{a}}', 'k' || i, 'git' from n",
            9 + count
        )
    };
    let many = r#"["k10","k11","k12","k13","k14","k15","k16","k17","k18","k19","k20","k21","k22","k23","k24","k25"]"#;
    for (write, expected) in [
        (
            r#"POST /api/v1/tasks/{a}/events {"event_id":"{e}","kind":"tool","family":"file"}"#,
            r#"event.logged event_id=e task_id=a project= kinds=["tool"] lanes=["implementation"]"#,
        ),
        (
            "update events set state = 'ok' where id = '{e}'",
            r#"event.updated event_id=e task_id=a project= kinds=["tool"] lanes=["implementation"]"#,
        ),
        // An event leaves a kind and a lane, and comes into others.
        (
            "update events set kind = 'plan', family = null where id = '{e}'",
            r#"event.updated event_id=e task_id=a project= kinds=["plan","tool"] lanes=["implementation","planning"]"#,
        ),
        (
            "update events set lane = 'todos' where id = '{e}'",
            r#"event.updated event_id=e task_id=a project= kinds=["plan"] lanes=["planning","todos"]"#,
        ),
        (
            "insert into events (id, task_id, kind) values ('{f}', '{a}', 'user.message'), ('{g}', '{a}', 'of.tomorrow')",
            r#"event.logged event_id=g task_id=a project= kinds=["of.tomorrow","user.message"] lanes=["system","user"] x2"#,
        ),
        (
            "delete from events where id in ('{e}', '{f}')",
            // The newest of merged notices stays, and the order within a statement is that of the engine.
            by_engine(
                r#"event.updated event_id=f task_id=a project= kinds=["plan","user.message"] lanes=["todos","user"] x2"#,
                r#"event.updated event_id=e task_id=a project= kinds=["plan","user.message"] lanes=["todos","user"] x2"#,
            ),
        ),
        (&kinds_of(16), &format!(r#"event.logged event_id=? task_id=a project= kinds={many} lanes=["git"] x16"#)),
        (&kinds_of(17), r#"event.logged event_id=? task_id=a project= kinds=null lanes=["git"] x17"#),
        (
            "insert into changes (kind, project, task_id, object_id) values ('event.logged', '', '{a}', '{h}')",
            "event.logged event_id=h task_id=a project= kinds=null lanes=null",
        ),
        (
            "insert into changes (kind, project, task_id, object_id) values ('event.logged', '', '{a}', '{h}');
             insert into events (id, task_id, kind) values ('{i}', '{a}', 'log')",
            "event.logged event_id=i task_id=a project= kinds=null lanes=null x2",
        ),
    ] {
        wire.check(write, expected).await;
    }
}
