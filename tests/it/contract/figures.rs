//! The figures of the overview: the triggers only insert, the fold adds up, and a reader sees the same before and
//! after.

use std::sync::Arc;

use requery::server::access::scope::Scope;
use requery::server::change_log::{fold, gone};
use requery::server::database::Database;
use requery::server::read;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::wire::{check_figures, expand, open};
use crate::app::{App, by_engine};
use crate::rest::Client;
use crate::store::Store;

/// Writes of each kind that changes a figure.
fn writes() -> [&'static str; 11] {
    [
        "insert into tasks (id, title, project, source) values ('{a}', 'a', 'p', 'x'), ('{b}', 'b', 'p', 'y')",
        "insert into tasks (id, title, project, parent_task_id) values ('{c}', 'c', 'p', '{a}')",
        "insert into events (task_id, kind) values ('{a}', 'log'), ('{a}', 'log'), ('{c}', 'log')",
        "insert into usage (task_id, answer_id, input_tokens, cost_usd_micros) values ('{a}', 'm1', 5, 7), ('{c}', 'm2', 1, null)",
        "update tasks set status = 'waiting', source = 'z' where id = '{b}'",
        "update tasks set project = 'q' where id = '{b}'",
        "update usage set input_tokens = 9, cost_usd_micros = null where answer_id = 'm1'",
        by_engine(
            "insert or replace into usage (task_id, answer_id, output_tokens) values ('{a}', 'm1', 3)",
            "insert into usage (task_id, answer_id, output_tokens) values ('{a}', 'm1', 3)
         on conflict (task_id, answer_id) do update set output_tokens = 3, input_tokens = 0",
        ),
        by_engine(
            "insert or replace into tasks (id, title, project) values ('{b}', 'b again', 'q')",
            "delete from tasks where id = '{b}'; insert into tasks (id, title, project) values ('{b}', 'b again', 'q')",
        ),
        "delete from usage where answer_id = 'm2'",
        "delete from tasks where id = '{c}'",
    ]
}

/// The database is written without a server, so that no fold runs.
#[tokio::test]
async fn writers_only_insert_deltas_and_the_overview_is_the_same_before_and_after_the_fold() {
    let folder = Arc::new(TempDir::new().unwrap());
    let store = Store::of(folder.path());
    open(folder.path()).await.close("it was made").await;
    let deltas = || store.sql("select count(*) from figure_deltas").parse::<usize>().unwrap();
    for write in writes() {
        let before = deltas();
        store.sql(&expand(write));
        assert!(deltas() > before || write.contains("into events"), "{write}");
        assert_eq!(store.sql("select count(*) from figures"), "0", "{write}");
    }
    let unfolded = overviews(&folder).await;
    assert_eq!(unfolded[0]["stats"]["total_tasks"], 2, "{}", unfolded[0]);
    assert_eq!(unfolded[0]["usage"]["output_tokens"], 3, "{}", unfolded[0]);

    check_figures(&folder, &[]).await;
    // The newest delta of SQLite stays, so that no id is given twice.
    assert_eq!(deltas().to_string(), by_engine("1", "0"));
    assert_eq!(overviews(&folder).await, unfolded);

    // The next delta counts as new.
    store.sql("delete from tasks where title = 'b again'");
    check_figures(&folder, &[]).await;
    assert_eq!(overviews(&folder).await[0]["stats"]["total_tasks"], 1);
}

/// Two thousand projects do not fit into one transaction of the fold.
#[tokio::test]
async fn sums_of_many_projects_are_folded_in_several_transactions() {
    let folder = Arc::new(TempDir::new().unwrap());
    let store = Store::of(folder.path());
    open(folder.path()).await.close("it was made").await;
    store.sql(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000)
         insert into tasks (title, project) select 't', 'p' || i from n",
    );
    check_figures(&folder, &[]).await;
    assert_eq!(store.sql("select count(*) from figure_deltas"), by_engine("1", "0"));
}

const HOUR_MS: i64 = 3_600_000;

/// An import of old events makes no hour of its own: each event counts in the hour in which it happened. An event of
/// the future counts in the hour in which it is logged.
#[tokio::test]
async fn activity_counts_an_event_in_the_hour_in_which_it_happened() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("imported", json!({"project": "p"})).await;
    let now_ms = chrono::Utc::now().timestamp_millis();
    let at = |ms: i64| chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339();
    let event = |ms: i64| json!({"kind": "log", "created_at": at(ms)});
    let hours_ago = |hours: i64| now_ms - hours * HOUR_MS;
    let old = [hours_ago(2), hours_ago(2), hours_ago(20), hours_ago(30), hours_ago(20_000)];
    let events: Vec<_> = old.into_iter().map(event).collect();
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({ "events": events })).await;
    let hour = |ms: i64| at(ms - ms.rem_euclid(HOUR_MS)).replace("+00:00", ".000Z");
    let imported = json!([{"hour": hour(old[2]), "events": 1}, {"hour": hour(old[0]), "events": 2}]);
    assert_eq!(client.get("/api/v1/overview").await.at("/activity"), imported);

    let future = event(now_ms + 48 * HOUR_MS);
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({ "events": [future] })).await;
    let newest = app.sql("select at from changes where kind = 'event.logged' order by id desc limit 1");
    let activity = client.get("/api/v1/overview").await.at("/activity");
    let newest = json!({"hour": hour(newest.parse().unwrap()), "events": 1});
    assert_eq!(activity.as_array().unwrap().last(), Some(&newest), "{activity}");

    drop(client);
    let folder = app.stop().await;
    let unfolded = overviews(&folder).await;
    let (store, database) = (Store::of(folder.path()), open(folder.path()).await);
    fold::fold_all(&database).await.unwrap();
    database.close("it was folded").await;
    drop(database);
    assert_eq!(store.sql("select count(*) from activity where hour < (select max(hour) from activity) - 23"), "0");
    assert_eq!(overviews(&folder).await, unfolded);
}

/// A project that is gone leaves no figure. Its hours go when no overview shows them.
#[tokio::test]
async fn a_project_that_is_gone_leaves_no_figures() {
    let folder = Arc::new(TempDir::new().unwrap());
    let store = Store::of(folder.path());
    let database = open(folder.path()).await;
    let now_ms = chrono::Utc::now().timestamp_millis();
    let rows = |project: &str, source: &str, ms: i64| {
        format!(
            "insert into tasks (title, project, source) values ('t', '{project}', '{source}');
             insert into events (task_id, kind, created_at) select id, 'log', {ms} from tasks where project = '{project}';
             insert into usage (task_id, answer_id, input_tokens) select id, 'm', 5 from tasks where project = '{project}';"
        )
    };
    store.sql(&[rows("p", "x", now_ms - 48 * HOUR_MS), rows("q", "y", now_ms)].concat());
    fold::fold_all(&database).await.unwrap();
    let of_p = "select cast((select count(*) from figures where project = 'p') > 4 as integer),
        (select count(*) from activity where project = 'p')";
    assert_eq!(store.sql(of_p), "1|1");
    let all = read_overview(&database, Scope::All).await["activity"].clone();

    store.sql("delete from tasks where project = 'p'");
    let gone = read_overview(&database, Scope::Of("p".to_owned())).await;
    assert_eq!(gone["activity"], json!([]));
    fold::fold_all(&database).await.unwrap();
    gone::forget_gone_projects(&database).await.unwrap();
    assert_eq!(store.sql("select * from figures where project = 'p' or figure = 'source.x'"), "");
    assert_eq!(store.sql("select project from activity"), "q");
    assert_eq!(read_overview(&database, Scope::Of("p".to_owned())).await, gone);
    assert_eq!(read_overview(&database, Scope::All).await["activity"], all);

    // An overview of all projects still shows the hour of the last project.
    store.sql("delete from tasks");
    fold::fold_all(&database).await.unwrap();
    gone::forget_gone_projects(&database).await.unwrap();
    assert_eq!(store.sql("select count(*) from figures"), "0");
    assert_eq!(read_overview(&database, Scope::All).await["activity"], all);
    database.close("it was read").await;
}

/// The overviews of all projects and of each, read without a server.
async fn overviews(folder: &TempDir) -> Vec<Value> {
    let database = open(folder.path()).await;
    let mut found = Vec::new();
    for scope in [Scope::All, Scope::Of("p".to_owned()), Scope::Of("q".to_owned())] {
        found.push(read_overview(&database, scope).await);
    }
    database.close("it was read").await;
    found
}

async fn read_overview(database: &Database, scope: Scope) -> Value {
    let read = database.snapshot(scope).await.unwrap();
    serde_json::to_value(read::overview::overview(&read).await.unwrap()).unwrap()
}
