//! The words of a text, as a search finds them.

use serde_json::json;

use super::{NONE, all, titles};
use crate::app::{App, on_sqlite_only, sqlite3};
use crate::rest::Client;

#[tokio::test]
async fn words_behind_escape_sequences_and_in_other_spellings_are_found() {
    let client = Client::of(&App::start().await);
    let task = client.task("Straße nach Łódź, đường", json!({})).await;
    let events = format!("/api/v1/tasks/{task}/events");
    let body = "\u{1b}[31mFAIL\u{1b}[39m press_test \u{1b}[1m\u{1b}[46m SUMMARY \u{1b}[0m\u{1b}[32mpassed\u{1b}[0m";
    client.post(&events, json!({"kind": "log", "title": "run", "body": body})).await;
    for word in ["fail", "press_test", "summary", "passed"] {
        assert_eq!(titles(&client, &format!("q={word}")).await, ["event run"], "{word}");
    }
    for word in ["strasse", "STRASSE", "straße", "lodz", "łódź", "duong", "ĐƯỜNG"] {
        assert_eq!(titles(&client, &format!("q={word}")).await, ["task Straße nach Łódź, đường"], "{word}");
    }
    assert_eq!(titles(&client, "q=31mfail").await, NONE);
}

#[tokio::test]
async fn base64_is_not_indexed() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("shot", json!({})).await;
    let picture = "iVBORw0KGgo".to_owned() + &"QUJD".repeat(1_500);
    let body = json!({"kind": "log", "title": "run", "body": format!("before {picture}== after\n{picture}")});
    let event = client.post(&format!("/api/v1/tasks/{task}/events"), body).await;
    assert!(event.text_at("/body").contains(&picture), "the text itself stays");
    assert_eq!(all(&client, "q=before%20after").await, ["event run"]);
    assert_eq!(titles(&client, "q=ivborw0kggo*").await, NONE);
}

/// A change of the rules changes the words of rows that no writer changes.
#[tokio::test]
async fn an_index_by_other_rules_is_made_again() {
    if on_sqlite_only("the tables of the index are those of SQLite") {
        return;
    }
    let app = App::start().await;
    let client = Client::of(&app);
    client.task("alpha", json!({})).await;
    assert_eq!(all(&client, "q=alpha").await, ["task alpha"]);
    let folder = app.stop().await;
    let path = folder.path().join("requery.db");
    let rules = sqlite3(&path, "select words from searched");
    sqlite3(&path, "update searched set words = 1; update search_documents set fingerprint = 0");
    let app = App::start_in(folder, |_| ()).await;
    assert_eq!(all(&Client::of(&app), "q=alpha").await, ["task alpha"]);
    assert_eq!(
        app.sql("select words, (select count(*) from search_documents where fingerprint = 0) from searched"),
        format!("{rules}|0")
    );
}
