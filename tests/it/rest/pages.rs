//! Lists in pages, in both directions and while rows change.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Answer, Client};
use crate::app::{App, BACKGROUND_PATIENCE, on_sqlite_only};

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

/// A task is in the indexes of the lists or has no place there yet. No list shows the difference.
#[tokio::test]
async fn a_list_of_tasks_is_the_same_whichever_tasks_have_a_place_in_it() {
    if on_sqlite_only("each task of Postgres has its place at once") {
        return;
    }
    let app = App::start().await;
    let client = Client::of(&app);
    app.sql(
        "with recursive n (i) as (select 0 union all select i + 1 from n where i < 79)
         insert into tasks (title, project, status, changed_at) select i, iif(i % 3, 'p', 'q'),
            iif(i % 2, 'running', 'completed'), 1000 + i / 4 from n",
    );
    for place in ["null", "changed_at", "iif(rowid % 2, changed_at, null)", "iif(rowid % 3, null, changed_at)"] {
        // The change of a task makes the server read the database again.
        let change = "update tasks set summary = hex(randomblob(4)) where title = '0'";
        app.sql_seen(&format!("{change}; update tasks set listed_at = {place}"));
        assert_eq!(app.sql(&format!("select count(*) from tasks where listed_at is not ({place})")), "0");
        for (query, count) in
            [("", 80), ("project=p&", 53), ("status=running&", 40), ("project=q&status=completed&", 14)]
        {
            walk(&client, &format!("/api/v1/tasks?{query}"), count).await;
        }
        let shown = items(&client.get("/api/v1/tasks?limit=200").await);
        let shown: Vec<&str> = shown.iter().map(|task| task["title"].as_str().unwrap()).collect();
        let expected = app.sql("select title from tasks order by changed_at desc, id desc");
        assert_eq!(shown, expected.lines().collect::<Vec<_>>(), "{place}");
        let projects = client.get("/api/v1/projects").await;
        let newest = app.sql("select strftime('%Y-%m-%dT%H:%M:%fZ', max(changed_at) / 1000.0, 'unixepoch') from tasks");
        assert_eq!(projects.at("/items/0/changed_at"), newest, "{place}");
    }
}

#[tokio::test]
async fn the_server_gives_all_but_the_newest_tasks_a_place() {
    if on_sqlite_only("each task of Postgres has its place at once") {
        return;
    }
    let app = App::start().await;
    app.sql(
        "with recursive n (i) as (select 0 union all select i + 1 from n where i < 599)
         insert into tasks (title) select i from n",
    );
    let unlisted = "select count(*) from tasks where listed_at is null";
    let listed = async {
        while app.sql(unlisted).parse::<u32>().unwrap() > 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(BACKGROUND_PATIENCE, listed).await.expect("the tasks have a place in time");
    // The server gives the places in no order.
    let listed = app.sql("select title from tasks where listed_at is not null limit 1");
    app.sql(&format!("insert into events (task_id, kind) select id, 'log' from tasks where title = '{listed}'"));
    let is_unlisted = format!("select listed_at is null from tasks where title = '{listed}'");
    assert_eq!(app.sql(&is_unlisted), "1", "a task that changes loses its place");
    assert_eq!(app.sql("select count(*) from tasks where listed_at <> changed_at"), "0");
    let first = items(&Client::of(&app).get("/api/v1/tasks?limit=1").await);
    assert_eq!(first[0]["title"], listed.as_str());
}

/// A task that changes now gets no place: its next event would take the place away again.
#[tokio::test]
async fn tasks_that_change_now_get_no_place() {
    if on_sqlite_only("each task of Postgres has its place at once") {
        return;
    }
    let app = App::start().await;
    // The first ids have the latest changes. A task that changes for ever has a time that never passes.
    app.sql(
        "with recursive n (i) as (select 0 union all select i + 1 from n where i < 599)
         insert into tasks (id, title, changed_at)
            select printf('0190b0a0-0000-7000-8000-%012x', i), iif(i < 300, 'changes', 'rests'), 1000 - i from n;
         insert into settling (id) select id from tasks where title = 'changes';
         update tasks set changed_at = 253402300799999 where title = 'changes';
         delete from settling",
    );
    let resting = "select count(*) from tasks where listed_at is null and title = 'rests'";
    let listed = async {
        while app.sql(resting).parse::<u32>().unwrap() > 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(BACKGROUND_PATIENCE, listed).await.expect("the tasks that rest have a place in time");
    assert_eq!(app.sql("select count(*) from tasks where listed_at is not null and title = 'changes'"), "0");
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
