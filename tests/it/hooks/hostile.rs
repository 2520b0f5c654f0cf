//! Bodies that no client sends on purpose, over HTTP: each is stored, or refused with the name of the wrong field.

use serde_json::{Value, json};

use super::read;
use crate::app::App;
use crate::rest::Client;

const CLAUDE_CODE: &str = "/api/v1/hooks/claude-code";

#[tokio::test]
async fn hostile_bodies_are_refused_by_field_or_stored_as_text() {
    let app = App::start().await;
    let client = Client::of(&app);
    for (at, line) in read("hostile.jsonl").lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("a line");
        let (raw, why) = (line["raw"].as_str().expect("a body"), &line["why"]);
        let body: Vec<u8> = match line["encoding"].as_str() {
            Some("latin1") => raw.chars().map(|c| u8::try_from(u32::from(c)).expect("one byte")).collect(),
            _ => raw.as_bytes().to_vec(),
        };
        let answer = client.send("POST", CLAUDE_CODE, Some(body), &[]).await;
        match line["expect"].as_str() {
            _ if answer.status == 204 => assert_ne!(line["expect"], "no_rows", "{why}"),
            Some("ingest") => panic!("{why}: {}", answer.text),
            _ => {
                let problem = answer.problem();
                let both = "422 session_id hook_event_name";
                let field =
                    [both, "422 session_id", "422 hook_event_name", "422 body", "400", "413"].contains(&&*problem);
                assert!(field, "{why}: {problem}");
                continue;
            }
        }
        let next = json!({"session_id": format!("next {at}"), "hook_event_name": "Stop"});
        assert_eq!(client.post(CLAUDE_CODE, next).await.status, 204, "{why}");
        // The timeline has the text as it was sent. Only NUL is replaced.
        let Some(sent) = serde_json::from_str::<Value>(raw).ok().filter(|_| line["encoding"].is_null()) else {
            continue;
        };
        if let (Some("UserPromptSubmit"), Some(prompt)) = (sent["hook_event_name"].as_str(), sent["prompt"].as_str()) {
            let session = sent["session_id"].as_str().expect("a session").replace('\'', "''");
            let id = app
                .sql_seen(&format!("select id from tasks where external_id = '{}'", session.replace('\0', "\u{fffd}")));
            let detail = client.get(&format!("/api/v1/tasks/{id}")).await.json();
            let row = &detail["timeline"]["items"][0];
            let expected = prompt.replace('\0', "\u{fffd}");
            if !expected.trim().is_empty() && expected.len() <= 64 * 1024 {
                let whole = row["body"].as_str().unwrap_or_else(|| row["title"].as_str().expect("a title"));
                assert_eq!(whole, expected, "{why}");
            }
        }
    }
}
