//! The list of projects: counts by status and the last activity, without a scan of rows.

use serde_json::{Value, json};

use super::pages::walk;
use super::{Answer, Client};
use crate::app::{App, by_engine};
use crate::store::assert_same_cursor;

/// Each project as `name: total running waiting completed errored`.
fn lines(page: &Answer) -> Vec<String> {
    let line = |one: &Value| {
        let count = |name: &str| one[name].as_u64().unwrap();
        let counts = ["total_tasks", "running_tasks", "waiting_tasks", "completed_tasks", "errored_tasks"].map(count);
        format!("{}: {}", one["project"].as_str().unwrap(), counts.map(|count| count.to_string()).join(" "))
    };
    page.at("/items").as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn each_project_has_its_counts_and_its_last_activity() {
    let app = App::start().await;
    let client = Client::of(&app);
    let list = async || client.get("/api/v1/projects").await;
    assert_eq!(list().await.json(), json!({"items": [], "next": null, "previous": null}));

    let first = client.task("a", json!({"project": "acme/web"})).await;
    client.task("b", json!({"project": "acme/web", "status": "waiting"})).await;
    client.task("c", json!({"project": "acme/web", "status": "errored"})).await;
    app.sql_seen("insert into tasks (title, project, status, changed_at) values ('d', 'old', 'completed', 1000), ('e', '', 'running', 2000)");
    assert_eq!(lines(&list().await), ["acme/web: 3 1 1 0 1", ": 1 1 0 0 0", "old: 1 0 0 1 0"]);
    assert_eq!(list().await.at("/items/2/changed_at"), "1970-01-01T00:00:01.000Z");

    // The folded figures and the deltas that are not folded yet give the same counts.
    app.until_folded().await;
    assert_eq!(lines(&list().await), ["acme/web: 3 1 1 0 1", ": 1 1 0 0 0", "old: 1 0 0 1 0"]);

    // An event of another program, a move, a deletion and a purge.
    app.sql_seen("insert into events (task_id, kind) select id, 'log' from tasks where title = 'd'");
    assert_eq!(lines(&list().await)[0], "old: 1 0 0 1 0");
    client.patch(&format!("/api/v1/tasks/{first}"), json!({"project": "new"})).await;
    assert_eq!(lines(&list().await), ["new: 1 1 0 0 0", "old: 1 0 0 1 0", "acme/web: 2 0 1 0 1", ": 1 1 0 0 0"]);
    app.sql_seen("delete from tasks where title = 'e'");
    client.post("/api/v1/tasks/purge", json!({"project": "old"})).await;
    assert_eq!(lines(&list().await), ["new: 1 1 0 0 0", "acme/web: 2 0 1 0 1"]);
}

#[tokio::test]
async fn projects_are_read_and_paged_like_other_lists() {
    let app = App::start().await;
    let client = Client::of(&app);
    // Three projects share each moment. The name decides their order. Some names are not UTF-8.
    // Postgres refuses these.
    let names = ["cast(x'7aff' as text)", "cast(x'7a007a' as text)", "cast(x'7afefe' as text)"];
    let [first, second, third] = by_engine(names, ["'zÿ'", "'z-z'", "'zþþ'"]);
    app.sql_seen(&format!(
        "with recursive n (i) as (select 0 union all select i + 1 from n where i < 24)
         insert into tasks (title, project, changed_at) select i, 'p/' || i, 1000 + i / 3 from n;
         insert into tasks (title, project, changed_at)
             values ('x', {first}, 5), ('y', '', 5), ('z', 'Ä😀', 5), ('w', 'z', 5), ('v', 'zz', 5),
                 ('u', {second}, 5), ('t', {third}, 5)",
    ));
    walk(&client, "/api/v1/projects?", 32).await;
    let held = client.get("/api/v1/projects").await;
    assert!(!held.header("requery-cursor").is_empty());
    let again = client
        .send("GET", "/api/v1/projects", None::<String>, &[("if-none-match", held.header("etag").to_owned())])
        .await;
    assert_eq!(again.status, 304);
    assert_same_cursor(again.header("requery-cursor"), held.header("requery-cursor"), "projects");
    for query in ["limit=0", "limit=201", "before=odd", "after=0000000000000001"] {
        let refused = client.get(&format!("/api/v1/projects?{query}")).await.problem();
        assert!(refused.starts_with('4'), "{query}: {refused}");
    }
    let of_tasks = client.get("/api/v1/tasks?limit=1").await.text_at("/next");
    assert_eq!(client.get(&format!("/api/v1/projects?before={of_tasks}")).await.problem(), "400");
}

/// The tasks of one team move between three projects, through the API and by another program, while the server folds.
/// Each answer has each task once, and the last answer agrees with the rows.
#[tokio::test]
async fn every_answer_has_each_task_once_while_tasks_move_and_end() {
    const TASKS: usize = 12;
    let app = App::start().await;
    let client = Client::of(&app);
    let mut ids = Vec::new();
    for at in 0..TASKS {
        ids.push(client.task(&format!("t{at}"), json!({"project": format!("p{}", at % 3)})).await);
    }
    let statuses = ["running", "waiting", "completed", "errored"];
    let over_rest = async {
        for round in 0..40 {
            let change = json!({"project": format!("p{}", round % 3), "status": statuses[round % 4]});
            let answer = client.patch(&format!("/api/v1/tasks/{}", ids[round % TASKS]), change).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    };
    let in_sql = async {
        for round in 0..20 {
            // One transaction moves half of the tasks. Another program would block this thread, and with it the others.
            let store = app.store();
            let (from, to, status) = (round % 3, (round + 1) % 3, statuses[round % 4]);
            let sql = format!(
                "update tasks set project = 'p{to}', status = '{status}' where project = 'p{from}';
                 insert into events (task_id, kind) select id, 'log' from tasks limit 1;"
            );
            tokio::task::spawn_blocking(move || store.sql(&sql)).await.unwrap();
        }
    };
    let mut answers = 0;
    let reads = async {
        loop {
            let page = client.get("/api/v1/projects").await;
            let totals = page.at("/items").as_array().unwrap().iter().map(total).sum::<u64>();
            assert_eq!(totals, TASKS as u64, "{}", page.text);
            answers += 1;
        }
    };
    tokio::select! {
        () = async { tokio::join!(over_rest, in_sql); } => {}
        () = reads => {}
    }
    assert!(answers > 5, "the reads came between the writes: {answers}");

    // A deletion, a purge and a replaced row.
    client.delete(&format!("/api/v1/tasks/{}", ids[0])).await;
    client.post("/api/v1/tasks/purge", json!({"status": "errored"})).await;
    app.sql_seen(by_engine(
        "insert or replace into tasks (id, title, project) select id, title, 'new' from tasks limit 2",
        "with gone as (delete from tasks where id in (select id from tasks limit 2) returning id, title)
         insert into tasks (id, title, project) select id, title, 'new' from gone",
    ));
    for _ in 0..2 {
        let page = client.get("/api/v1/projects").await;
        let mut counted: Vec<String> = lines(&page);
        counted.sort();
        assert_eq!(counted.join("\n"), app.sql_seen(COUNTED).trim_end());
        for item in page.at("/items").as_array().unwrap() {
            let name = item["project"].as_str().unwrap();
            let newest = client.get(&format!("/api/v1/tasks?limit=1&project={name}")).await.at("/items/0/changed_at");
            assert_eq!(item["changed_at"], newest);
        }
        app.until_folded().await;
    }
}

/// Each project as in [`lines`], counted from the rows.
const COUNTED: &str =
    "select project || ': ' || count(*) || ' ' || count(case status when 'running' then 1 end) || ' ' ||
    count(case status when 'waiting' then 1 end) || ' ' || count(case status when 'completed' then 1 end) || ' ' ||
    count(case status when 'errored' then 1 end) from tasks group by project order by project";

/// The tasks of a project. They are the sum of the counts by status.
fn total(project: &Value) -> u64 {
    let counts = ["running_tasks", "waiting_tasks", "completed_tasks", "errored_tasks"];
    let sum = counts.map(|name| project[name].as_u64().unwrap()).iter().sum::<u64>();
    assert_eq!(project["total_tasks"], sum);
    sum
}
