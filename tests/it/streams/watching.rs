//! A stream of one project confirms only the read models of which it reports every change.

use serde_json::{Value, json};

use super::{OTHER, TASK, kind};
use crate::app::{App, Ws};
use crate::rest::Client;
use crate::store::assert_same_cursor;

const THIRD: &str = "0190b0a0-0000-7000-8000-000000000003";

async fn confirmed(ws: &mut Ws, models: &[&str]) -> Value {
    let frame = ws.watch(models).await;
    assert_eq!(kind(&frame), "watching");
    frame["payload"]["read_models"].clone()
}

/// The kind and the task of the next frame.
async fn next(ws: &mut Ws) -> (String, Value) {
    let frame = ws.frame().await;
    (kind(&frame).to_owned(), frame["payload"]["task_id"].clone())
}

#[tokio::test]
async fn a_task_of_another_project_is_not_confirmed_and_its_first_notice_in_the_project_comes() {
    let app = App::start().await;
    app.sql(&format!("insert into tasks (id, title, project) values ('{TASK}', 'a', 'p'), ('{OTHER}', 'b', 'q')"));
    let (own, other, third) = (format!("task:{TASK}"), format!("task:{OTHER}"), format!("task:{THIRD}"));
    let wanted = ["overview", &own, &other, &third, "bookmarks"];

    let mut all = app.ws("").await;
    all.frame().await;
    assert_eq!(confirmed(&mut all, &wanted).await, json!(wanted));
    let mut ws = app.ws("?project=p").await;
    ws.frame().await;
    assert_eq!(confirmed(&mut ws, &wanted).await, json!(["overview", own, third, "bookmarks"]));
    assert_eq!(confirmed(&mut ws, &["task:*"]).await, json!(["task:*"]));

    // The stream keeps all three ids. Nothing else is watched, so no other read model lets a notice through.
    assert_eq!(confirmed(&mut ws, &[&own, &other, &third]).await, json!([own, third]));
    app.sql(&format!("update tasks set title = 'c' where id = '{OTHER}'"));
    app.sql(&format!("insert into tasks (id, title, project) values ('{THIRD}', 'c', 'p')"));
    assert_eq!(next(&mut ws).await, ("task.started".to_owned(), json!(THIRD)));
    app.sql(&format!("update tasks set project = 'p' where id = '{OTHER}'"));
    assert_eq!(next(&mut ws).await, ("task.updated".to_owned(), json!(OTHER)));
    assert_eq!(confirmed(&mut ws, &[&own, &other, &third]).await, json!([own, other, third]));

    // A task that leaves the project has a last notice in it.
    app.sql(&format!("update tasks set project = 'q' where id = '{TASK}'"));
    assert_eq!(next(&mut ws).await, ("task.updated".to_owned(), json!(TASK)));
    assert_eq!(confirmed(&mut ws, &[&own, &other]).await, json!([other]));
    app.sql(&format!("delete from tasks where id = '{OTHER}'"));
    assert_eq!(next(&mut ws).await, ("task.deleted".to_owned(), json!(OTHER)));
    assert_eq!(confirmed(&mut ws, &[&own, &other]).await, json!([other]));
}

/// A client that requests tasks with the project of its stream learns that a task is gone from the project.
#[tokio::test]
async fn a_task_of_another_project_is_not_found_with_the_project_of_the_stream() {
    let app = App::start().await;
    app.sql(&format!("insert into tasks (id, title, project) values ('{TASK}', 'a', 'p')"));
    let rest = Client::of(&app);
    for path in [format!("/api/v1/tasks/{TASK}"), format!("/api/v1/tasks/{TASK}/timeline")] {
        let whole = rest.get(&path).await;
        for (query, expected) in [("?project=p", 200), ("?project=q", 404), ("?project=", 404), ("?project=P", 404)] {
            let answer = rest.get(&format!("{path}{query}")).await;
            assert_eq!(answer.status, expected, "{path}{query}");
            assert_same_cursor(
                answer.header("requery-cursor"),
                whole.header("requery-cursor"),
                &format!("{path}{query}"),
            );
            match expected {
                200 => assert_eq!((answer.header("etag"), &answer.text), (whole.header("etag"), &whole.text)),
                _ => assert_eq!(answer.problem(), "404", "{path}{query}"),
            }
        }
        assert_eq!(rest.get(&format!("{path}?project=p&project=p")).await.problem(), "422 project");
    }
}
