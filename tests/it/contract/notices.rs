//! Every kind of notice, caused by a request and by the SQL statement that writes the same.

use std::collections::BTreeSet;

use requery::protocol::Notice;

use super::Wire;
use crate::app::on_sqlite_only;

/// A request, a statement that writes the same, and the frames that either sends.
type Step = (&'static str, &'static str, &'static str);

const STEPS: &[Step] = &[
    // Starting a task with the id of an existing task is no change.
    (
        r#"POST /api/v1/tasks {"task_id":"{a}","title":"a","project":"p"}"#,
        "insert into tasks (id, title, project) values ('{a}', 'a', 'p')",
        "task.started task_id=a project=p parent_task_id=null",
    ),
    (
        r#"POST /api/v1/tasks {"task_id":"{a}","title":"again","project":"p"}"#,
        "insert into tasks (id, title, project) values ('{a}', 'again', 'p') on conflict do nothing",
        "",
    ),
    (
        r#"POST /api/v1/tasks {"task_id":"{b}","title":"b","parent_task_id":"{a}"}"#,
        "insert into tasks (id, title, project, parent_task_id) values ('{b}', 'b', 'p', '{a}')",
        "task.started task_id=b project=p parent_task_id=a",
    ),
    (
        r#"POST /api/v1/tasks {"task_id":"{f}","title":"finished at once","status":"completed"}"#,
        "insert into tasks (id, title, status) values ('{f}', 'finished at once', 'completed')",
        "task.started task_id=f project= parent_task_id=null",
    ),
    // An update of a task sends a notice only if a value changes.
    (
        r#"PATCH /api/v1/tasks/{b} {"title":"B","mode":"background"}"#,
        "update tasks set title = 'B', mode = 'background' where id = '{b}'",
        "task.updated task_id=b project=p parent_task_id=a",
    ),
    (
        r#"PATCH /api/v1/tasks/{b} {"title":"B","mode":"background"}"#,
        "update tasks set title = 'B', mode = 'background' where id = '{b}'",
        "",
    ),
    ("PATCH /api/v1/tasks/{b} {}", "update tasks set title = title", ""),
    (
        r#"PATCH /api/v1/tasks/{b} {"status":"waiting","status_reason":"why"}"#,
        "update tasks set status = 'waiting', status_reason = 'why' where id = '{b}'",
        "task.updated task_id=b project=p parent_task_id=a status_changed=true",
    ),
    // A completed task sends `task.completed` alone, even if other columns change in the same write.
    (
        r#"PATCH /api/v1/tasks/{b} {"status":"completed","title":"done","summary":"s"}"#,
        "update tasks set status = 'completed', title = 'done', summary = 's' where id = '{b}'",
        "task.completed task_id=b project=p parent_task_id=a status=completed",
    ),
    (r#"PATCH /api/v1/tasks/{b} {"status":"completed"}"#, "update tasks set status = 'completed' where id = '{b}'", ""),
    (
        r#"PATCH /api/v1/tasks/{b} {"status":"completed","title":"done well"}"#,
        "update tasks set status = 'completed', title = 'done well' where id = '{b}'",
        "task.updated task_id=b project=p parent_task_id=a",
    ),
    (
        r#"PATCH /api/v1/tasks/{b} {"status":"errored"}"#,
        "update tasks set status = 'errored' where id = '{b}'",
        "task.completed task_id=b project=p parent_task_id=a status=errored",
    ),
    (
        r#"PATCH /api/v1/tasks/{b} {"status":"running"}"#,
        "update tasks set status = 'running' where id = '{b}'",
        "task.updated task_id=b project=p parent_task_id=a status_changed=true",
    ),
    // A task that moves to another project sends one notice for each of the two projects.
    (
        r#"PATCH /api/v1/tasks/{f} {"project":"q"}"#,
        "update tasks set project = 'q' where id = '{f}'",
        "task.updated task_id=f project= parent_task_id=null status_changed=null
         task.updated task_id=f project=q parent_task_id=null status_changed=null",
    ),
    (
        r#"PATCH /api/v1/tasks/{f} {"project":"","status":"errored"}"#,
        "update tasks set project = '', status = 'errored' where id = '{f}'",
        "task.updated task_id=f project=q parent_task_id=null status_changed=true
         task.completed task_id=f project= parent_task_id=null status=errored",
    ),
    // A session sends notices of its own when it begins and ends. Any other change of a session sends `task.updated`.
    (
        r#"POST /api/v1/tasks/{a}/sessions {"session_id":"{s}"}"#,
        "insert into sessions (id, task_id) values ('{s}', '{a}')",
        "session.started session_id=s task_id=a project=p",
    ),
    (
        r#"POST /api/v1/tasks/{a}/sessions {"session_id":"{s}"}"#,
        "insert into sessions (id, task_id) values ('{s}', '{a}') on conflict do nothing",
        "",
    ),
    (
        r#"PATCH /api/v1/sessions/{s} {"summary":"half"}"#,
        "update sessions set summary = 'half' where id = '{s}'",
        "task.updated task_id=a project=p parent_task_id=null",
    ),
    (r#"PATCH /api/v1/sessions/{s} {"summary":"half"}"#, "update sessions set summary = 'half' where id = '{s}'", ""),
    (
        r#"PATCH /api/v1/sessions/{s} {"status":"completed","summary":"whole"}"#,
        "update sessions set status = 'completed', summary = 'whole' where id = '{s}'",
        "session.ended session_id=s task_id=a project=p",
    ),
    (
        r#"PATCH /api/v1/sessions/{s} {"status":"lost"}"#,
        "update sessions set status = 'lost' where id = '{s}'",
        "task.updated task_id=a project=p parent_task_id=null",
    ),
    (
        r#"PATCH /api/v1/sessions/{s} {"status":"running"}"#,
        "update sessions set status = 'running', ended_at = null where id = '{s}'",
        "task.updated task_id=a project=p parent_task_id=null",
    ),
    (
        r#"PATCH /api/v1/sessions/{s} {"status":"errored","ended_at":"2026-01-01T00:00:00Z"}"#,
        "update sessions set status = 'errored', ended_at = 1767225600000 where id = '{s}'",
        "session.ended session_id=s task_id=a project=p",
    ),
    // Events logged in one write are merged. An update without a changed value sends no notice.
    (
        r#"POST /api/v1/tasks/{a}/events {"event_id":"{e}","kind":"log"}"#,
        "insert into events (id, task_id, kind) values ('{e}', '{a}', 'log')",
        "event.logged event_id=e task_id=a project=p",
    ),
    (
        r#"POST /api/v1/tasks/{a}/events {"event_id":"{e}","kind":"log"}"#,
        "insert into events (id, task_id, kind) values ('{e}', '{a}', 'log') on conflict do nothing",
        "",
    ),
    (
        r#"POST /api/v1/tasks/{a}/events {"events":[{"event_id":"{e1}","kind":"log"},{"event_id":"{e2}","kind":"tool"}]}"#,
        "insert into events (id, task_id, kind) values ('{e1}', '{a}', 'log'), ('{e2}', '{a}', 'tool')",
        r#"event.logged event_id=e2 task_id=a project=p kinds=["log","tool"] lanes=["coordination","system"] x2"#,
    ),
    (
        r#"PATCH /api/v1/events/{e} {"title":"t","state":"ok","metadata":{"k":1}}"#,
        r#"update events set title = 't', state = 'ok', metadata = '{"k":1}' where id = '{e}'"#,
        "event.updated event_id=e task_id=a project=p",
    ),
    (
        r#"PATCH /api/v1/events/{e} {"title":"t","state":"ok","metadata":{"k":1}}"#,
        r#"update events set title = 't', state = 'ok', metadata = '{"k":1}' where id = '{e}'"#,
        "",
    ),
    // A task and an event have at most one bookmark each, so a second save updates the first.
    (
        r#"PUT /api/v1/bookmarks {"bookmark_id":"{m}","task_id":"{a}","title":"m"}"#,
        "insert into bookmarks (id, task_id, title) values ('{m}', '{a}', 'm')",
        "bookmark.saved bookmark_id=m task_id=a project=p",
    ),
    (
        r#"PUT /api/v1/bookmarks {"bookmark_id":"{n}","event_id":"{e}","title":"n"}"#,
        "insert into bookmarks (id, task_id, event_id, title) values ('{n}', '{a}', '{e}', 'n')",
        "bookmark.saved bookmark_id=n task_id=a project=p",
    ),
    (
        r#"PUT /api/v1/bookmarks {"task_id":"{a}","note":"why"}"#,
        "insert into bookmarks (task_id, note) values ('{a}', 'why')
            on conflict (task_id) where event_id is null do update set note = excluded.note",
        "bookmark.saved bookmark_id=m task_id=a project=p",
    ),
    (
        r#"PUT /api/v1/bookmarks {"task_id":"{a}","note":"why"}"#,
        "insert into bookmarks (task_id, note) values ('{a}', 'why')
            on conflict (task_id) where event_id is null do update set note = excluded.note",
        "",
    ),
    // Bookmarks are listed by project, so a task that moves to another project sends the notices of its bookmarks too.
    // The tasks below it move with it.
    (
        r#"PATCH /api/v1/tasks/{a} {"project":"q"}"#,
        "update tasks set project = 'q' where id = '{a}'",
        "task.updated task_id=a project=p parent_task_id=null status_changed=null
         task.updated task_id=a project=q parent_task_id=null status_changed=null
         bookmark.saved bookmark_id=m task_id=a project=p x2
         bookmark.saved bookmark_id=m task_id=a project=q x2
         task.updated task_id=b project=p parent_task_id=a status_changed=null
         task.updated task_id=b project=q parent_task_id=a status_changed=null",
    ),
    (
        "DELETE /api/v1/bookmarks/{m}",
        "delete from bookmarks where id = '{m}'",
        "bookmark.deleted bookmark_id=m task_id=a project=q",
    ),
    // The bookmark of a deleted event is deleted with it.
    (
        "DELETE /api/v1/events/{e}",
        "delete from events where id = '{e}'",
        "bookmark.deleted bookmark_id=n task_id=a project=q
         event.updated event_id=e task_id=a project=q",
    ),
    (
        "DELETE /api/v1/events/{e2}",
        "delete from events where id = '{e2}'",
        r#"event.updated event_id=e2 task_id=a project=q kinds=["tool"] lanes=["coordination"]"#,
    ),
    // A deleted tree sends one notice for each task, and none for the rows of these tasks.
    (
        "DELETE /api/v1/tasks/{a}",
        "delete from tasks where id = '{a}'",
        "task.deleted task_id=b project=q parent_task_id=a
         task.deleted task_id=a project=q parent_task_id=null",
    ),
    // A purge sends one notice for each project, and none if it deletes no task.
    (
        r#"POST /api/v1/tasks {"task_id":"{c}","title":"c","project":"p","status":"errored"}"#,
        "insert into tasks (id, title, project, status) values ('{c}', 'c', 'p', 'errored')",
        "task.started task_id=c project=p parent_task_id=null",
    ),
    (
        r#"POST /api/v1/tasks {"task_id":"{d}","title":"d","project":"p","parent_task_id":"{c}","status":"completed"}"#,
        "insert into tasks (id, title, project, parent_task_id, status) values ('{d}', 'd', 'p', '{c}', 'completed')",
        "task.started task_id=d project=p parent_task_id=c",
    ),
    (
        "POST /api/v1/tasks/purge {}",
        "insert into purging (task_id) select id from tasks where status in ('completed', 'errored');
         insert into purges (project, count) select project, count(*) from tasks
             where id in (select task_id from purging) group by project order by project;
         delete from tasks where id in (select task_id from purging);
         delete from purging",
        "tasks.purged count=1 project=
         tasks.purged count=2 project=p",
    ),
    (
        "POST /api/v1/tasks/purge {}",
        "insert into purges (project, count) values ('p', 0); delete from tasks where status = 'completed'",
        "",
    ),
    // An agent has one row for each project, and one without a project until it is heard.
    (
        r#"PUT /api/v1/agents {"source":"codex","host":"north","version":"0.169.0","hooks":9}"#,
        "insert into agents (source, host, version, hooks) values ('codex', 'north', '0.169.0', 9)",
        "agent.registered source=codex project=",
    ),
    (
        r#"PUT /api/v1/agents {"source":"codex","host":"north","version":"0.169.0","hooks":9}"#,
        "update agents set version = '0.169.0', hooks = 9",
        "",
    ),
    (
        r#"PUT /api/v1/agents {"source":"codex","host":"north","version":"0.170.0","hooks":9}"#,
        "update agents set version = '0.170.0' where source = 'codex'",
        "agent.changed source=codex project=",
    ),
];

#[test]
fn the_steps_cover_every_kind_of_notice() {
    let frames = STEPS.iter().flat_map(|(_, _, frames)| frames.lines());
    let kinds: BTreeSet<_> = frames.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(kinds, Notice::KINDS.iter().copied().collect());
}

#[tokio::test]
async fn each_request_sends_its_notices() {
    let mut wire = Wire::start().await;
    for (request, _, frames) in STEPS {
        wire.check(request, frames).await;
    }
    wire.check_figures(&[]).await;
}

#[tokio::test]
async fn each_statement_sends_its_notices() {
    statements_with("").await;
}

#[tokio::test]
async fn each_statement_sends_its_notices_with_foreign_keys() {
    statements_with("pragma foreign_keys = on; ").await;
}

#[tokio::test]
async fn each_statement_sends_its_notices_with_recursive_triggers() {
    statements_with("pragma recursive_triggers = on; ").await;
}

#[tokio::test]
async fn each_statement_sends_its_notices_with_both_pragmas() {
    statements_with("pragma foreign_keys = on; pragma recursive_triggers = on; ").await;
}

async fn statements_with(pragmas: &'static str) {
    if !pragmas.is_empty() && on_sqlite_only("Postgres has no pragmas") {
        return;
    }
    let mut wire = Wire::start_with(pragmas).await;
    for (_, sql, frames) in STEPS {
        wire.check(sql, frames).await;
    }
    wire.check_figures(&[]).await;
}

#[tokio::test]
async fn a_refused_request_sends_no_notice() {
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a'), ('{b}', 'b')").await;
    wire.write("insert into sessions (id, task_id) values ('{s}', '{a}')").await;
    wire.write("insert into events (id, task_id, kind) values ('{e}', '{a}', 'log')").await;
    wire.frames().await;
    for (request, reason) in [
        ("POST /api/v1/tasks {", "400"),
        (r#"POST /api/v1/tasks {"title":""}"#, "422"),
        (r#"POST /api/v1/tasks {"task_id":"{a}","title":"a","parent_task_id":"{b}"}"#, "409"),
        (r#"PATCH /api/v1/tasks/{none} {"title":"x"}"#, "404"),
        (r#"PATCH /api/v1/tasks/{a} {"title":"x","status":"gone"}"#, "422"),
        ("DELETE /api/v1/tasks/{none}", "404"),
        (r#"POST /api/v1/tasks/{none}/sessions {}"#, "404"),
        (r#"POST /api/v1/tasks/{b}/sessions {"session_id":"{s}"}"#, "409"),
        (r#"POST /api/v1/tasks/{b}/events {"events":[{"kind":"log"},{"kind":"NO"}]}"#, "422"),
        (r#"POST /api/v1/tasks/{b}/events {"events":[{"kind":"log"},{"event_id":"{e}","kind":"log"}]}"#, "409"),
        (r#"PATCH /api/v1/events/{none} {"title":"x"}"#, "404"),
        ("DELETE /api/v1/events/{none}", "404"),
        (r#"PUT /api/v1/bookmarks {"task_id":"{b}","event_id":"{e}"}"#, "422"),
        ("DELETE /api/v1/bookmarks/{none}", "404"),
        (r#"POST /api/v1/tasks/purge {"older_than":"yesterday"}"#, "422"),
        (r#"PUT /api/v1/agents {"host":"north"}"#, "422"),
        (r#"PUT /api/v1/agents {"source":"codex","hooks":-1}"#, "422"),
    ] {
        wire.refuses(request, reason).await;
    }
    wire.check_figures(&[]).await;
}
