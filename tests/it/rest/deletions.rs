//! Long deletions: they go in steps, and leave the write lock to others in between.

use std::time::Duration;

use requery::protocol::write::Purge;
use requery::server::access::scope::Scope;
use requery::server::database::{Database, DatabaseError, WriteTransaction};
use requery::server::ingest::task::{
    PurgeConditions, PurgeStep, ROWS_AT_ONCE, TASKS_AT_ONCE, TREES_AT_ONCE, delete_left_rows,
};
use serde_json::json;
use tempfile::TempDir;

use super::Client;
use crate::app::{App, BACKGROUND_PATIENCE, by_engine, on_sqlite_only};
use crate::store::{Store, assert_same_cursor};

const AT_ONCE: &str = "Postgres deletes the rows of a task with the task";

const EVENT: &str = "0190b0a0-0000-7000-8000-0000000000e1";
const SESSION: &str = "0190b0a0-0000-7000-8000-0000000000f1";
const BOOKMARK: &str = "0190b0a0-0000-7000-8000-0000000000b1";
const OTHER: &str = "0190b0a0-0000-7000-8000-0000000000a2";

/// The rows that belong to tasks.
const ROWS: &str =
    "select (select count(*) from events) + (select count(*) from usage) + (select count(*) from sessions)
    + (select count(*) from bookmarks) + (select count(*) from leaving)";

/// An empty database that no server has open.
async fn without_server() -> (TempDir, Store, Database) {
    let folder = TempDir::new().unwrap();
    let store = Store::of(folder.path());
    let database = Database::open(store.location()).await.unwrap();
    (folder, store, database)
}

/// A server whose background work does not begin during a test.
async fn without_background_work() -> App {
    App::start_with(|config| config.background_pause = Duration::from_secs(60)).await
}

/// A task with more rows of each table than a request deletes. A bookmark marks one of its events.
async fn large_task(app: &App, client: &Client) -> String {
    let task = client.task("large", json!({"project": "p"})).await;
    let of_task = format!("/api/v1/tasks/{task}");
    client.post(&format!("{of_task}/events"), json!({"event_id": EVENT, "kind": "log"})).await;
    client.post(&format!("{of_task}/sessions"), json!({"session_id": SESSION})).await;
    client.put("/api/v1/bookmarks", json!({"event_id": EVENT, "bookmark_id": BOOKMARK})).await;
    app.sql_seen(&format!(
        "create temp table n as with recursive n (i) as (select 1 union all select i + 1 from n where i < {many})
             select i from n;
         insert into events (task_id, kind) select '{task}', 'log' from n;
         insert into sessions (task_id) select '{task}' from n;
         insert into bookmarks (task_id, event_id) select '{task}', id from events where id <> '{EVENT}';
         insert into usage (task_id, answer_id, input_tokens, cost_usd_micros) select '{task}', i, 2, 3 from n",
        many = ROWS_AT_ONCE + 100
    ));
    task
}

async fn until_no_rows(app: &App) {
    let gone = async {
        while app.sql_seen(ROWS) != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BACKGROUND_PATIENCE, gone).await.unwrap();
}

/// The deletion is one change for every reader and every verb. Its rows go later.
#[tokio::test]
async fn a_large_task_is_gone_at_once_and_its_rows_in_steps() {
    if on_sqlite_only(AT_ONCE) {
        return;
    }
    let app = without_background_work().await;
    let client = Client::of(&app);
    let task = large_task(&app, &client).await;
    let rows = app.sql_seen(ROWS);
    let before = client.get("/api/v1/overview").await;
    assert_eq!(before.at("/usage/input_tokens"), 2 * (ROWS_AT_ONCE + 100), "{}", before.text);
    assert_eq!(client.delete(&format!("/api/v1/tasks/{task}")).await.status, 204);
    assert_eq!(app.sql_seen(&format!("{ROWS} - 1")), rows, "rows were deleted in the transaction of the task");
    assert_eq!(client.get(&format!("/api/v1/tasks/{task}")).await.status, 404);
    assert_eq!(client.get(&format!("/api/v1/tasks/{task}/timeline")).await.status, 404);
    for list in ["", "?project=p", &format!("?task_id={task}")] {
        assert_eq!(client.get(&format!("/api/v1/bookmarks{list}")).await.at("/items"), json!([]), "{list}");
    }
    let overview = client.get("/api/v1/overview").await;
    assert_eq!(overview.at("/stats/total_events"), 0);
    assert_eq!((overview.at("/usage/answers"), overview.at("/usage/input_tokens")), (json!(0), json!(0)));
    assert_eq!(client.delete(&format!("/api/v1/events/{EVENT}")).await.status, 404);
    assert_eq!(client.delete(&format!("/api/v1/bookmarks/{BOOKMARK}")).await.status, 404);
    assert_eq!(client.patch(&format!("/api/v1/sessions/{SESSION}"), json!({"summary": "s"})).await.status, 404);
    drop(client);

    // The next server goes on.
    let folder = app.stop().await;
    let app = App::start_in(folder, |_| ()).await;
    until_no_rows(&app).await;
    let client = Client::of(&app);
    assert_eq!(client.get("/api/v1/overview").await.text, overview.text);
    let after = "select count(*) from changes where id > (select id from changes where kind = 'task.deleted')";
    assert_eq!(app.sql_seen(after), "0");
}

/// Nothing of a deleted task comes back with a task of the same id, and the ids of its rows are free.
#[tokio::test]
async fn a_task_with_the_id_of_a_deleted_one_begins_empty() {
    let app = without_background_work().await;
    let client = Client::of(&app);
    let task = large_task(&app, &client).await;
    assert_eq!(client.delete(&format!("/api/v1/tasks/{task}")).await.status, 204);
    for request in ["patch", "bookmark"] {
        let answer = match request {
            "patch" => client.patch(&format!("/api/v1/events/{EVENT}"), json!({"title": "t"})).await,
            _ => client.put("/api/v1/bookmarks", json!({"event_id": EVENT})).await,
        };
        assert!([404, 422].contains(&answer.status), "{request}: {}", answer.text);
    }
    client.task("other", json!({"task_id": OTHER})).await;
    let of_other = format!("/api/v1/tasks/{OTHER}");
    let answers = [
        client.post(&format!("{of_other}/events"), json!({"event_id": EVENT, "kind": "log"})).await,
        client.post(&format!("{of_other}/sessions"), json!({"session_id": SESSION})).await,
        client.put("/api/v1/bookmarks", json!({"task_id": OTHER, "bookmark_id": BOOKMARK})).await,
        client.put("/api/v1/bookmarks", json!({"event_id": EVENT})).await,
        client.post("/api/v1/tasks", json!({"task_id": task, "title": "again"})).await,
    ];
    assert_eq!(answers.map(|answer| answer.status), [201; 5]);
    let again = client.get(&format!("/api/v1/tasks/{task}")).await;
    assert_eq!((again.at("/figures/events"), again.at("/figures/sessions")), (json!(0), json!(0)));
    assert_eq!(again.at("/usage/answers"), 0);
    assert_eq!(app.sql_seen(ROWS), "4");
    assert_eq!(client.get("/api/v1/overview").await.at("/usage/answers"), 0);
}

/// A step deletes a part of the rows of a large task, or the rows of several small tasks.
#[tokio::test]
async fn a_step_deletes_a_bounded_number_of_rows() {
    if on_sqlite_only(AT_ONCE) {
        return;
    }
    let (_folder, store, database) = without_server().await;
    let step = async |most: u32| {
        let before: u64 = store.sql(ROWS).parse().unwrap();
        let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(delete_left_rows(tx, most).await?);
        let (is_full, _) = database.write(Scope::All, write).await.unwrap().into_parts();
        (is_full, before - store.sql(ROWS).parse::<u64>().unwrap())
    };
    store.sql(
        "insert into tasks (title) select 'small' from (with recursive n (i) as
            (select 1 union all select i + 1 from n where i < 30) select i from n);
         insert into tasks (title) values ('large');
         insert into events (task_id, kind) select id, 'log' from tasks;
         insert into usage (task_id, answer_id) select id, 'one' from tasks;
         insert into bookmarks (task_id) select id from tasks;
         insert into leaving (task_id) select id from tasks where title = 'small';
         delete from tasks where title = 'small'",
    );
    // Ten tasks at a time, each with three rows and its entry in the list.
    assert_eq!(step(45).await, (true, 40));
    assert_eq!(step(250).await, (false, 80));
    assert_eq!(store.sql(ROWS), "3");

    store.sql(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 100)
            insert into events (task_id, kind) select id, 'log' from tasks, n;
         insert into leaving (task_id) select id from tasks; delete from tasks",
    );
    assert_eq!([step(40).await, step(40).await, step(40).await], [(true, 40), (true, 40), (false, 24)]);
    assert_eq!(store.sql(ROWS), "0");
    database.close("it was read").await;
}

/// A tree of 251 tasks on three levels.
fn large_tree(app: &App, status: &str) -> String {
    app.sql_seen(&format!(
        "insert into tasks (title, project, status) values ('top', 'p', '{status}');
         insert into tasks (title, parent_task_id, status) select 'middle', tasks.id, '{status}' from tasks,
            (with recursive n (i) as (select 1 union all select i + 1 from n where i < 50) select i from n) as numbers;
         insert into tasks (title, parent_task_id, status) select 'leaf', tasks.id, '{status}' from tasks,
            (select 1 union all select 2 union all select 3 union all select 4) as four where title = 'middle';
         insert into events (task_id, kind) select id, 'log' from tasks"
    ));
    app.sql_seen("select id from tasks where title = 'top'")
}

/// A trigger of another program that refuses one deletion shows which transactions there were.
#[tokio::test]
async fn a_large_tree_is_deleted_from_its_leaves_in_steps() {
    let app = App::start().await;
    let client = Client::of(&app);
    let top = large_tree(&app, "running");
    app.sql_seen(by_engine(
        "create trigger of_another_program before delete on tasks when old.title = 'top' begin
            select raise(abort, 'refused');
         end",
        "create function of_another_program() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;
         create trigger of_another_program before delete on tasks for each row when (old.title = 'top')
            execute function of_another_program()",
    ));
    assert!(client.delete(&format!("/api/v1/tasks/{top}")).await.status >= 400);
    let left = "select title, count(*) from tasks group by title order by title desc";
    assert_eq!(app.sql_seen(left), "top|1\nmiddle|50");
    assert_eq!(app.sql_seen("select count(*) from changes where kind = 'task.deleted'"), "200");
    app.sql_seen(by_engine("drop trigger of_another_program", "drop trigger of_another_program on tasks"));
    assert_eq!(client.delete(&format!("/api/v1/tasks/{top}")).await.status, 204);
    assert_eq!(client.delete(&format!("/api/v1/tasks/{top}")).await.status, 404);
    assert_eq!(
        app.sql_seen("select count(*), count(distinct task_id) from changes where kind = 'task.deleted'"),
        "251|251"
    );
    assert_eq!(app.sql_seen("select count(*) from tasks"), "0");
    until_no_rows(&app).await;
}

#[tokio::test]
async fn a_purge_deletes_a_large_tree_from_its_leaves_in_steps() {
    let app = App::start().await;
    let client = Client::of(&app);
    large_tree(&app, "completed");
    app.sql_seen(
        "insert into tasks (title, project, status) values ('small', 'p', 'completed'), ('small', 'q', 'errored')",
    );
    let answer = client.post("/api/v1/tasks/purge", json!({})).await;
    assert_eq!(answer.at("/count"), 253, "{}", answer.text);
    let logged = by_engine(
        "select project, count from changes where kind = 'tasks.purged' order by id",
        "select project, count from changes where kind = 'tasks.purged' order by xid, id",
    );
    assert_eq!(app.sql_seen(logged), "p|100\np|100\np|51\np|1\nq|1");
    assert_eq!(app.sql_seen("select (select count(*) from tasks) + (select count(*) from purging)"), "0");
    until_no_rows(&app).await;
}

/// A part of a large tree meets the conditions as a whole, or stays.
#[tokio::test]
async fn a_purge_leaves_a_tree_that_goes_on() {
    let (_folder, store, database) = without_server().await;
    store.sql(
        "insert into tasks (title, status) values ('top', 'completed');
         insert into tasks (title, status, parent_task_id) select 'one', 'completed', id from tasks;
         insert into tasks (title, status, parent_task_id) select 'two', 'errored', id from tasks where title = 'top'",
    );
    let id = |title: &str| store.sql(&format!("select id from tasks where title = '{title}'"));
    let part = PurgeStep::Part { root: id("top"), ids: vec![id("one"), id("two")] };
    let conditions = PurgeConditions::read(Purge::default()).unwrap();
    let purge = async || {
        let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(conditions.purge(tx, &part, 1).await?);
        database.write(Scope::All, write).await.unwrap().into_parts().0
    };
    for (change, back) in [
        (
            "update tasks set status = 'running' where title = 'two'",
            "update tasks set status = 'errored' where title = 'two'",
        ),
        (
            "insert into tasks (title, status, parent_task_id) select 'new', 'completed', id from tasks where title = 'one'",
            "delete from tasks where title = 'new'",
        ),
    ] {
        store.sql(change);
        assert_eq!(purge().await, 0, "{change}");
        store.sql(back);
        assert_eq!(store.sql("select count(*) from tasks"), "3", "{change}");
    }
    assert_eq!(purge().await, 2);
    assert_eq!(store.sql("select title from tasks"), "top");
    assert_eq!(store.sql("select count(*) from purging"), "0");
    database.close("it was read").await;
}

/// A tree that has grown since it was read is left to the next purge, which deletes it in parts.
#[tokio::test]
async fn a_purge_deletes_no_large_tree_in_one_step() {
    let (_folder, store, database) = without_server().await;
    store.sql(
        "insert into tasks (title, status) values ('top', 'completed');
         with recursive n (i) as (select 1 union all select i + 1 from n where i < 250)
         insert into tasks (title, status, parent_task_id) select 'below', 'completed', tasks.id from n, tasks",
    );
    let step = PurgeStep::Trees(vec![store.sql("select id from tasks where title = 'top'")]);
    let conditions = PurgeConditions::read(Purge::default()).unwrap();
    let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(conditions.purge(tx, &step, 1).await?);
    assert_eq!(database.write(Scope::All, write).await.unwrap().into_parts().0, 0);
    assert_eq!(store.sql("select count(*) from tasks"), "251");
    assert_eq!(store.sql("select count(*) from purging"), "0");
    database.close("it was read").await;
}

/// The usage of a deleted task stays in the file for a while, and counts no more.
#[tokio::test]
async fn usage_that_is_deleted_later_changes_no_figure() {
    if on_sqlite_only(AT_ONCE) {
        return;
    }
    let (_folder, store, database) = without_server().await;
    store.sql(
        "insert into tasks (title) values ('a');
         insert into usage (task_id, answer_id, output_tokens) select id, 'one', 5 from tasks;
         insert into leaving (task_id) select id from tasks; delete from tasks;
         update usage set output_tokens = 50",
    );
    assert_eq!(store.sql("select sum(output_tokens) from figure_deltas"), "0");
    database.close("it was read").await;
}

#[tokio::test]
async fn a_purge_deletes_some_trees_at_a_time() {
    let app = App::start().await;
    let client = Client::of(&app);
    assert_eq!(TREES_AT_ONCE * 2, TASKS_AT_ONCE);
    let trees = TREES_AT_ONCE * 2 + 1;
    app.sql_seen(&format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < {trees})
         insert into tasks (title, project, status) select 't', 'p', 'completed' from n;
         insert into tasks (title, parent_task_id, status) select 'below', id, 'errored' from tasks"
    ));
    large_task(&app, &client).await;
    app.sql_seen("update tasks set status = 'completed'");
    let answer = client.post("/api/v1/tasks/purge", json!({"project": "p"})).await;
    assert_eq!(answer.at("/count"), trees * 2 + 1);
    assert_eq!(
        app.sql_seen("select count(*), sum(count) from changes where kind = 'tasks.purged'"),
        format!("3|{}", trees * 2 + 1)
    );
    assert_eq!(app.sql_seen("select (select count(*) from tasks) + (select count(*) from purging)"), "0");
    until_no_rows(&app).await;
}

#[tokio::test]
async fn a_dry_run_counts_and_lists_and_changes_no_row() {
    let app = App::start().await;
    let client = Client::of(&app);
    let done = json!({"project": "p", "status": "completed"});
    let root = client.task("root", done.clone()).await;
    let below = json!({"parent_task_id": root, "status": "errored"});
    client.task("below", below).await;
    let other = client.task("half", done).await;
    client.task("running", json!({"parent_task_id": other})).await;
    app.sql_seen(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 130)
         insert into tasks (title, project, status, status_since) select i, 'q', 'completed', 1000 from n",
    );
    let rows = "select (select count(*) from tasks) || ' ' || (select max(id) from changes) || ' ' ||
        (select count(*) from purging) || ' ' || (select count(*) from purges)";
    let before = app.sql_seen(rows);
    let titles = |answer: &crate::rest::Answer| -> Vec<String> {
        let tasks = answer.at("/tasks").as_array().unwrap().clone();
        tasks.iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect()
    };
    let cursor = client.get("/readyz").await.header("requery-cursor").to_owned();
    let mut stream = app.ws("").await;
    stream.frame().await;
    // The field of the body means the same as the path.
    let would_purge = async |conditions: serde_json::Value| {
        let shown = client.post("/api/v1/tasks/purge/dry_run", conditions.clone()).await;
        let mut asked = conditions.clone();
        asked["dry_run"] = json!(true);
        for answer in [&shown, &client.post("/api/v1/tasks/purge", asked).await] {
            assert_eq!((answer.status, answer.json()), (200, shown.json()), "{conditions}");
            assert_same_cursor(answer.header("requery-cursor"), &cursor, &conditions.to_string());
        }
        shown
    };
    let cases = [
        (json!({"project": "p"}), 2),
        (json!({"project": "q"}), 130),
        (json!({}), 132),
        (json!({"dry_run": false}), 132),
        (json!({"status": "errored"}), 0),
        (json!({"project": "none"}), 0),
        (json!({"older_than": "1970-01-02T00:00:00Z"}), 130),
    ];
    for (conditions, count) in &cases {
        let shown = would_purge(conditions.clone()).await;
        assert_eq!((shown.at("/count"), titles(&shown).len()), (json!(count), 50.min(*count)), "{conditions}");
    }
    assert_eq!(titles(&would_purge(json!({"project": "p"})).await), ["root", "below"]);
    assert_eq!(app.sql_seen(rows), before);
    let wrong = json!({"dry_run": "yes", "status": "running", "older_than": "yesterday"});
    for path in ["/api/v1/tasks/purge", "/api/v1/tasks/purge/dry_run"] {
        assert_eq!(client.post(path, wrong.clone()).await.problem(), "422 status dry_run older_than", "{path}");
    }
    for method in ["GET", "DELETE"] {
        let refused = client.send(method, "/api/v1/tasks/purge/dry_run", None::<String>, &[]).await;
        assert_eq!((refused.problem().as_str(), refused.header("allow")), ("405", "POST"), "{method}");
    }

    // The first frame after all of these is that of the purge.
    let purge = async |conditions: serde_json::Value| client.post("/api/v1/tasks/purge", conditions).await.json();
    assert_eq!(purge(json!({"project": "p", "dry_run": false})).await, json!({"count": 2, "tasks": null}));
    assert_eq!(stream.frame().await["type"], "tasks.purged");
    let none_left = client.post("/api/v1/tasks/purge/dry_run", json!({"project": "p"})).await;
    assert_eq!(none_left.json(), json!({"count": 0, "tasks": []}));
    assert_eq!(purge(json!({})).await, json!({"count": 130, "tasks": null}));
}

/// A tree of more than one step of a purge, and more trees than one look at the roots.
#[tokio::test]
async fn a_dry_run_counts_as_many_tasks_as_the_purge_deletes() {
    let app = App::start().await;
    let client = Client::of(&app);
    let root = client.task("root", json!({"status": "completed"})).await;
    app.sql_seen(&format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 250)
         insert into tasks (title, parent_task_id, status) select 'part ' || i, '{root}', 'completed' from n;
         with recursive n (i) as (select 1 union all select i + 1 from n where i < 120)
         insert into tasks (title, status) select i, 'errored' from n"
    ));
    let shown = client.post("/api/v1/tasks/purge/dry_run", json!({})).await;
    assert_eq!((shown.at("/count"), shown.at("/tasks").as_array().unwrap().len()), (json!(371), 50));
    assert_eq!(client.post("/api/v1/tasks/purge", json!({})).await.at("/count"), json!(371));
}
