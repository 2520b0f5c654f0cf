//! A picture in the answer of a tool is told by its size, whatever the name of its field.

use requery::agent::runtime::AgentRuntime;
use serde_json::{Value, json};

use super::Store;

#[tokio::test]
async fn pictures_are_told_by_their_type_and_size() {
    let store = Store::open().await;
    let picture = "QUJD".repeat(1_500);
    let printed = format!("iVBORw0KGgo{picture}");
    let answers: [(Value, &str); 8] = [
        (json!({"stdout": printed}), "(image/png, 4508 bytes)"),
        (
            json!([{"type": "resource", "resource": {"uri": "file:///srv/a.png", "mimeType": "image/png", "blob": picture}}]),
            "file:///srv/a.png (image/png, 4500 bytes)",
        ),
        (
            json!([
                {"type": "text", "text": "the tree, from the south"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}},
            ]),
            "the tree, from the south\n(image/png, 4500 bytes)",
        ),
        (
            json!({"content": [{"type": "image", "data": picture, "mimeType": "image/jpeg"}]}),
            "(image/jpeg, 4500 bytes)",
        ),
        (json!([{"type": "resource", "resource": {"uri": "a:b", "text": "words"}}]), "words"),
        (json!({"shot": {"bits": printed}}), "{\n  \"shot\": {\n    \"bits\": \"(image/png, 4508 bytes)\"\n  }\n}"),
        (
            json!(format!("saved as data:image/png;base64,{printed}")),
            "saved as data:image/png;base64,(image/png, 4508 bytes)",
        ),
        (json!({"stdout": "ok", "stderr": printed}), "ok\n(image/png, 4508 bytes)"),
    ];
    for (answer, body) in answers {
        let record = json!({
            "session_id": "g12", "cwd": "/srv/orchard", "hook_event_name": "PostToolUse", "tool_name": "mcp__cam__shoot",
            "tool_input": {}, "tool_response": answer,
        });
        store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
        let last = store.events().await.pop().expect("an event");
        assert_eq!(last.body.as_deref(), Some(body), "{answer}");
    }
}
