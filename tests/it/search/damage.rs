//! What breaks the index, or the tables it is kept in, breaks nothing else, and not for long.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{NONE, all, index_size, titles};
use crate::app::{App, PATIENCE, sqlite3};
use crate::rest::Client;

/// What is found for `query` once there is an answer. Only the search may say meanwhile that it has none.
async fn found_again(client: &Client, query: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let answer = client.get(&format!("/api/v1/search?{query}")).await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
        assert_eq!(client.get("/api/v1/tasks").await.status, 200, "the rest is as good as ever");
        if answer.status == 200 && answer.at("/complete") == json!(true) && answer.at("/items/0") != Value::Null {
            return all(client, query).await;
        }
        assert!(began.elapsed() < PATIENCE, "the index is never mended: {}", answer.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One task and one event with the word `alpha`, indexed.
async fn with_alpha() -> App {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("alpha", json!({})).await;
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({"kind": "log", "title": "alpha"})).await;
    assert_eq!(all(&client, "q=alpha").await, ALPHA);
    app
}

const ALPHA: [&str; 2] = ["event alpha", "task alpha"];
const SCHEMA: &str = "select sql from sqlite_schema where name glob 'search*' order by name";

#[tokio::test]
async fn a_damaged_index_is_made_again_while_it_is_asked() {
    for damage in [
        "delete from search_index_data where id = 10",
        "update search_index_data set block = x'00' where id > 10",
        "delete from search_index_data",
    ] {
        let app = with_alpha().await;
        let client = Client::of(&app);
        let schema = app.sql(SCHEMA);
        app.sql(damage);
        assert_eq!(found_again(&client, "q=alpha").await, ALPHA, "{damage}");
        let task = client.task("beta", json!({})).await;
        assert_eq!(titles(&client, "q=beta").await, ["task beta"], "{damage}");
        client.delete(&format!("/api/v1/tasks/{task}")).await;
        assert_eq!(titles(&client, "q=beta").await, NONE, "{damage}");
        assert_eq!(index_size(&app), "1 2 2");
        assert_eq!(app.sql(SCHEMA), schema, "it is as its migration made it");
    }
}

#[tokio::test]
async fn a_damaged_index_is_made_again_when_the_file_is_opened() {
    let damages = [
        "delete from search_index_data where id = 10",
        "delete from search_index_config",
        "drop table search_index_config",
        "drop table search_index_data",
    ];
    for damage in damages {
        let folder = with_alpha().await.stop().await;
        sqlite3(&folder.path().join("requery.db"), damage);
        let client = Client::of(&App::start_in(folder, |_| ()).await);
        assert_eq!(found_again(&client, "q=alpha").await, ALPHA, "{damage}");
    }
    // In doubt the whole file is looked through before it is served.
    for damage in damages {
        let app = with_alpha().await;
        let other = app.folder.path().join("other.db");
        app.sql(&format!("vacuum into '{}'", other.display()));
        sqlite3(&other, &format!("insert into tasks (title) values ('gamma'); {damage}"));
        std::fs::rename(&other, app.path()).unwrap();
        for beside in ["requery.db-wal", "requery.db-shm"] {
            let _ = std::fs::remove_file(app.folder.path().join(beside));
        }
        let client = Client::of(&app);
        let began = Instant::now();
        while !client.get("/api/v1/tasks").await.text.contains("gamma") {
            assert!(began.elapsed() < PATIENCE, "the file is never served: {damage}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(found_again(&client, "q=gamma").await, ["task gamma"], "{damage}");
        assert_eq!(found_again(&client, "q=alpha").await, ALPHA, "{damage}");
    }
}

/// Whatever becomes of its tables, the server lives on, and the index as soon as it can.
#[tokio::test]
async fn who_keeps_the_index_survives_everything() {
    let app = with_alpha().await;
    let client = Client::of(&app);
    let tables = ["searched", "search_documents", "search_tasks"];
    for table in tables {
        app.sql(&format!("alter table {table} rename to elsewhere"));
        let task = client.task("delta", json!({})).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(client.get(&format!("/api/v1/tasks/{task}")).await.status, 200, "{table}");
        assert!(client.get("/api/v1/search?q=alpha").await.status != 404);
        app.sql(&format!("alter table elsewhere rename to {table}"));
        assert_eq!(found_again(&client, "q=alpha").await, ALPHA, "{table}");
    }
    assert_eq!(found_again(&client, "q=delta").await.len(), tables.len());
}
