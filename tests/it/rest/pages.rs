//! Lists in pages, in both directions and while rows change.

use serde_json::{Value, json};

use super::{Answer, Client};
use crate::app::App;

#[tokio::test]
async fn tasks_are_paged_in_both_directions() {
    let app = App::start().await;
    let client = Client::of(&app);
    // Ten tasks share each millisecond. The id decides their order.
    for at in 0..25 {
        app.sql_seen(&format!(
            "insert into tasks (title, project, changed_at) values ('{at:02}', 'p', {})",
            1000 + at / 10
        ));
    }
    app.sql_seen("insert into tasks (title, project) values ('other', 'q')");
    walk(&client, "/api/v1/tasks?project=p&", 25).await;
    walk(&client, "/api/v1/tasks?", 26).await;
}

#[tokio::test]
async fn timelines_and_bookmarks_are_paged_in_both_directions() {
    let client = Client::of(&App::start().await);
    let id = client.task("a", json!({"project": "p"})).await;
    let events: Vec<_> = (0..25).map(|at| json!({"kind": "log", "title": at.to_string()})).collect();
    let logged = client.post(&format!("/api/v1/tasks/{id}/events"), json!({ "events": events })).await;
    for event in logged.at("/items").as_array().unwrap() {
        client.put("/api/v1/bookmarks", json!({"event_id": event["event_id"]})).await;
    }
    let marked = client.task("b", json!({"project": "q"})).await;
    client.put("/api/v1/bookmarks", json!({"task_id": marked})).await;
    walk(&client, &format!("/api/v1/tasks/{id}/timeline?"), 25).await;
    walk(&client, "/api/v1/bookmarks?", 26).await;
    walk(&client, "/api/v1/bookmarks?project=p&", 25).await;
    walk(&client, &format!("/api/v1/bookmarks?task_id={marked}&"), 1).await;
}

/// Reads all pages to the end and back. Each direction has each row once and in the same order.
pub(super) async fn walk(client: &Client, path: &str, count: usize) {
    let all = client.get(&format!("{path}limit=200")).await;
    assert_eq!(items(&all).len(), count);
    assert_eq!((all.at("/next"), all.at("/previous")), (json!(null), json!(null)));

    let mut pages = vec![client.get(&format!("{path}limit=7")).await];
    assert_eq!(pages[0].at("/previous"), json!(null));
    while let Value::String(next) = pages.last().unwrap().at("/next") {
        pages.push(client.get(&format!("{path}limit=7&before={next}")).await);
    }
    let forth: Vec<Value> = pages.iter().flat_map(items).collect();
    assert_eq!(forth, items(&all), "{path}");

    let mut back = items(pages.last().unwrap());
    let mut page = pages.pop().unwrap();
    while let Value::String(previous) = page.at("/previous") {
        page = client.get(&format!("{path}limit=7&after={previous}")).await;
        back.splice(0..0, items(&page));
    }
    assert_eq!(back, items(&all), "{path}");
}

fn items(page: &Answer) -> Vec<Value> {
    page.at("/items").as_array().unwrap().clone()
}

#[tokio::test]
async fn a_task_changed_while_paging_moves_to_the_front_and_shifts_no_page() {
    let app = App::start().await;
    let client = Client::of(&app);
    for at in 0..10 {
        app.sql_seen(&format!("insert into tasks (title, changed_at) values ('{at}', {})", 1000 + at));
    }
    let titles =
        |page: &Answer| items(page).iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let first = client.get("/api/v1/tasks?limit=3").await;
    assert_eq!(titles(&first), ["9", "8", "7"]);
    app.sql_seen("delete from tasks where title in ('7', '5')");
    app.sql_seen("update tasks set summary = 's' where title = '2'");
    client.task("new", json!({})).await;
    let next = first.text_at("/next");
    let second = client.get(&format!("/api/v1/tasks?limit=3&before={next}")).await;
    assert_eq!(titles(&second), ["6", "4", "3"]);
    let previous = second.text_at("/previous");
    let newer = client.get(&format!("/api/v1/tasks?limit=3&after={previous}")).await;
    assert_eq!(titles(&newer), ["2", "9", "8"]);
    let newest = client.get(&format!("/api/v1/tasks?after={}", newer.text_at("/previous"))).await;
    assert_eq!((titles(&newest), newest.at("/previous")), (vec!["new".to_owned()], json!(null)));
}

#[tokio::test]
async fn filters_combine() {
    let client = Client::of(&App::start().await);
    let parent = client.task("parent", json!({"project": "p"})).await;
    client.task("a", json!({"parent_task_id": parent, "status": "waiting"})).await;
    client.task("b", json!({"parent_task_id": parent})).await;
    let count = async |query: &str| items(&client.get(&format!("/api/v1/tasks?{query}")).await).len();
    assert_eq!(count("").await, 3);
    assert_eq!(count("unknown=1").await, 3);
    assert_eq!(count("project=p").await, 3);
    assert_eq!(count("project=nobody%00").await, 0);
    assert_eq!(count(&format!("parent={parent}")).await, 2);
    assert_eq!(count(&format!("parent={parent}&status=waiting&project=p")).await, 1);
    assert_eq!(count("status=errored").await, 0);
}
