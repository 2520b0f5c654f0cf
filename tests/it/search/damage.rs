//! Damage to the search index or its tables: the server repairs it, and only the search fails meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{NONE, all, index_size, titles};
use crate::app::{App, BACKGROUND_PATIENCE, on_sqlite_only, overwrite_first_page, side_by_side, sqlite3};
use crate::rest::Client;

const INDEX: &str = "the tables of the index are those of SQLite";

/// The results for `query` once the search answers. Until then only the search may answer 503.
async fn found_again(client: &Client, query: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let answer = client.get(&format!("/api/v1/search?{query}")).await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
        let other = client.get("/api/v1/tasks").await;
        assert_eq!(other.status, 200, "other reads still answer: {}", other.text);
        if answer.status == 200 && answer.at("/complete") == json!(true) && answer.at("/items/0") != Value::Null {
            return all(client, query).await;
        }
        assert!(began.elapsed() < BACKGROUND_PATIENCE, "the index is not repaired: {}", answer.text);
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
async fn a_damaged_index_is_rebuilt_during_searches() {
    if on_sqlite_only(INDEX) {
        return;
    }
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
        assert_eq!(app.sql(SCHEMA), schema, "the rebuilt tables have the schema of the migration");
    }
}

#[test]
fn a_damaged_index_is_rebuilt_when_the_file_is_opened() {
    if on_sqlite_only(INDEX) {
        return;
    }
    let damages = [
        "delete from search_index_data where id = 10",
        "delete from search_index_config",
        "drop table search_index_config",
        "drop table search_index_data",
    ];
    // Each server waits for its jobs, so the cases run side by side.
    side_by_side(damages, async |damage| {
        let folder = with_alpha().await.stop().await;
        sqlite3(&folder.path().join("requery.db"), damage);
        let client = Client::of(&App::start_in(folder, |_| ()).await);
        assert_eq!(found_again(&client, "q=alpha").await, ALPHA, "{damage}");

        // A file that replaces another one under a running server is checked completely before it is served.
        let app = with_alpha().await;
        let other = app.folder.path().join("other.db");
        app.sql(&format!("vacuum into '{}'", other.display()));
        sqlite3(&other, &format!("insert into tasks (title) values ('gamma'); {damage}"));
        let client = Client::of(&app);
        replace(&app, &other);
        gamma_is_served(&client, damage).await;
        assert_eq!(found_again(&client, "q=gamma").await, ["task gamma"], "{damage}");
        assert_eq!(found_again(&client, "q=alpha").await, ALPHA, "{damage}");
    });
}

/// Renames another file over the file of the server.
fn replace(app: &App, other: &Path) {
    std::fs::rename(other, app.path()).unwrap();
    for beside in ["requery.db-wal", "requery.db-shm"] {
        let _ = std::fs::remove_file(app.folder.path().join(beside));
    }
}

async fn gamma_is_served(client: &Client, damage: &str) {
    let began = Instant::now();
    while !client.get("/api/v1/tasks").await.text.contains("gamma") {
        assert!(began.elapsed() < BACKGROUND_PATIENCE, "the file is not served: {damage}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The index still answers with this damage. Only the integrity check finds it.
#[tokio::test]
async fn damage_that_only_the_integrity_check_finds_is_repaired() {
    if on_sqlite_only(INDEX) {
        return;
    }
    let damage = "update search_index_idx set term = x'7a7a'";
    let damaged = "select count(*) from search_index_idx where term = x'7a7a'";
    let folder = with_alpha().await.stop().await;
    sqlite3(&folder.path().join("requery.db"), damage);
    let app = App::start_in(folder, |_| ()).await;
    let began = Instant::now();
    while app.sql(damaged) != "0" {
        assert!(began.elapsed() < BACKGROUND_PATIENCE, "the index is not repaired");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let client = Client::of(&app);
    assert_eq!(found_again(&client, "q=alpha").await, ALPHA);

    let other = app.folder.path().join("other.db");
    app.sql(&format!("vacuum into '{}'", other.display()));
    sqlite3(&other, &format!("insert into tasks (title) values ('gamma'); {damage}"));
    replace(&app, &other);
    gamma_is_served(&client, damage).await;
    // A rebuild waits for a minute after the last one. Until then an answer is never called complete.
    let found = client.get("/api/v1/search?q=alpha").await;
    assert!(found.status == 503 || found.at("/complete") == json!(false), "{}", found.text);
}

/// With such pages SQLite cannot even drop the table. The search stays off, and all other operations work.
#[test]
fn an_index_that_cannot_be_rebuilt_disables_only_the_search() {
    if on_sqlite_only(INDEX) {
        return;
    }
    // Each server waits for its jobs, so the cases run side by side.
    let tables = ["search_index_data", "search_index_docsize", "search_documents", "search_tasks", "searched"];
    side_by_side(tables, a_table_that_cannot_be_rebuilt_disables_only_the_search);
}

async fn a_table_that_cannot_be_rebuilt_disables_only_the_search(table: &str) {
    let folder = with_alpha().await.stop().await;
    let path = folder.path().join("requery.db");
    overwrite_first_page(&path, table);
    let other = folder.path().join("other.db");
    std::fs::copy(&path, &other).unwrap();
    let app = App::start_in(folder, |_| ()).await;
    let client = Client::of(&app);
    let check_search_is_off = async || {
        let began = Instant::now();
        loop {
            let answer = client.get("/api/v1/search?q=alpha").await;
            assert_eq!(client.get("/readyz").await.status, 204, "{table}");
            assert_eq!(client.get("/api/v1/tasks").await.status, 200, "{table}");
            if answer.status == 503 && answer.text.contains("the search index is damaged") {
                break;
            }
            assert!(matches!(answer.status, 200 | 503), "{table}: {}", answer.text);
            assert!(began.elapsed() < BACKGROUND_PATIENCE, "{table}: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    check_search_is_off().await;
    client.task("beta", json!({})).await;
    // The same for a file that replaces the first one and is checked before it is served.
    let task = "insert into tasks (title) values ('gamma')";
    sqlite3(&other, task);
    replace(&app, &other);
    gamma_is_served(&client, table).await;
    check_search_is_off().await;
    client.task("delta", json!({})).await;
}

/// The other tables are checked even if the index is damaged, or if another program has a damaged index in the file.
#[test]
fn a_damaged_index_does_not_hide_a_damaged_table() {
    if on_sqlite_only(INDEX) {
        return;
    }
    let of_other_program =
        "create virtual table search_index_of_mine using fts5 (a); drop table search_index_of_mine_config";
    // Both tables name one page: dropping the index table would free the page of the bookmarks.
    let shared = "pragma writable_schema = on; update sqlite_schema set rootpage =
        (select rootpage from sqlite_schema where name = 'bookmarks') where name = 'search_index_docsize'";
    // Each case waits for seconds, so the cases run side by side.
    let cases = [
        ("drop table search_index_config", true, true),
        ("delete from search_index_data", true, true),
        (of_other_program, true, true),
        (of_other_program, false, false),
        (shared, false, true),
    ];
    side_by_side(cases, this_damage_does_not_hide_a_damaged_table);
}

async fn this_damage_does_not_hide_a_damaged_table((damage, overwritten, away): (&str, bool, bool)) {
    let folder = with_alpha().await.stop().await;
    let path = folder.path().join("requery.db");
    sqlite3(&path, &format!("insert into tasks (title) values ('gamma'); {damage}"));
    if overwritten {
        overwrite_first_page(&path, "bookmarks");
    }
    let app = App::start_in(folder, |_| ()).await;
    let client = Client::of(&app);
    if !away {
        let other = app.folder.path().join("other.db");
        app.sql(&format!("vacuum into '{}'", other.display()));
        replace(&app, &other);
        gamma_is_served(&client, damage).await;
        return;
    }
    let began = Instant::now();
    while client.get("/readyz").await.status != 503 {
        assert!(began.elapsed() < BACKGROUND_PATIENCE, "the damage is not found: {damage}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The check of the reopened file finds the damage again, so the server stays at 503.
    let again = tokio::time::timeout(Duration::from_secs(2), async {
        while client.get("/readyz").await.status == 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(again.await.is_err(), "the damaged file is served: {damage}");
}

/// While a table of the index is missing the server serves all other operations. Once the table is back the index
/// recovers.
#[tokio::test]
async fn the_index_job_survives_missing_tables() {
    if on_sqlite_only(INDEX) {
        return;
    }
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
