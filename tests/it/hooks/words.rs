//! Prompts and answers from public reports of faults, with their right rows.

use requery::agent::runtime::AgentRuntime;

use super::Store;
use crate::home::fixtures;

async fn rows_of(file: &str) -> Vec<requery_entities::event::Model> {
    let store = Store::open().await;
    for line in std::fs::read_to_string(fixtures("field").join(file)).expect("a file").lines() {
        store.take(AgentRuntime::ClaudeCode, line.as_bytes()).await.expect("taken");
    }
    store.events().await
}

#[tokio::test]
async fn a_notice_of_the_client_is_no_message_of_a_person() {
    let rows = rows_of("05-notice-of-the-client-as-a-prompt.hooks.jsonl").await;
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.to_string()).collect();
    assert_eq!(kinds, ["user.message", "tool", "notification"]);
    assert!(rows[2].body.as_deref().is_some_and(|body| body.contains("Background command ended")));
}

#[tokio::test]
async fn pictures_by_other_names_are_told_by_their_size() {
    let rows = rows_of("12-pictures-by-other-names.hooks.jsonl").await;
    let bodies: Vec<_> = rows.iter().map(|row| row.body.as_deref().unwrap_or_default()).collect();
    assert_eq!(
        bodies,
        [
            "(image/png, 4508 bytes)",
            "file:///srv/orchard/a.png (image/png, 4500 bytes)",
            "the tree, from the south\n(image/png, 4500 bytes)"
        ]
    );
}
