//! Adds examples. A reader can try every operation of the page from top to bottom without copying an id.

use serde_json::{Value, json};

use crate::server::http::body::LINES;

const TASK: &str = "0190b0a0-0000-7000-8000-000000000001";
const SESSION: &str = "0190b0a0-0000-7000-8000-000000000002";
const EVENT: &str = "0190b0a0-0000-7000-8000-000000000003";
const BOOKMARK: &str = "0190b0a0-0000-7000-8000-000000000004";
const DELIVERY: &str = "0190b0a0-0000-7000-8000-000000000005";
const TRANSCRIPT: &str = concat!(
    r#"{"type":"user","uuid":"0190b0a0-0000-7000-8000-000000000006","sessionId":"example","cwd":"/home/ada/demo","#,
    r#""timestamp":"2026-01-31T09:30:00.000Z","message":{"role":"user","content":"Make the tests pass"}}"#,
    "\n",
);

/// Adds an example to every body and every id.
pub(super) fn add(document: &mut Value) {
    super::for_each_operation(document, |_, _, operation| {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let required = parameter["required"] == json!(true);
            let example = match parameter["name"].as_str() {
                Some("task_id") if required => TASK,
                Some("source") if required => "qwen-code",
                Some("session_id") => SESSION,
                Some("event_id") => EVENT,
                Some("bookmark_id") => BOOKMARK,
                Some("Requery-Delivery") => DELIVERY,
                Some("q") => "make tests*",
                _ => continue,
            };
            parameter["example"] = json!(example);
        }
        if let Some(body) = operation.get_mut("requestBody")
            && let Some(example) = body_of(&id)
        {
            body["content"]["application/json"]["example"] = example;
        }
        if id == "import_claude_code" {
            operation["requestBody"]["content"][LINES]["example"] = json!(TRANSCRIPT);
        }
    });
}

fn body_of(operation: &str) -> Option<Value> {
    Some(match operation {
        "start_task" => json!({
            "task_id": TASK,
            "title": "Make the tests pass",
            "project": "demo",
            "workspace": "/home/ada/demo",
            "source": "api",
        }),
        "update_task" => json!({ "status": "waiting", "status_reason": "question", "status_detail": "Which port?" }),
        "purge_tasks" | "purge_dry_run" => json!({ "project": "demo", "status": "completed" }),
        "start_session" => json!({ "session_id": SESSION, "runtime_session_id": "run-1" }),
        "update_session" => json!({ "status": "completed", "summary": "All tests pass." }),
        "log_events" => json!({
            "events": [
                { "event_id": EVENT, "kind": "user.message", "title": "Make the tests pass" },
                { "kind": "tool", "family": "terminal", "state": "ok", "title": "cargo test", "metadata": { "exit": 0 } },
            ],
        }),
        "update_event" => json!({ "title": "Make all tests pass" }),
        "save_bookmark" => json!({ "bookmark_id": BOOKMARK, "task_id": TASK, "note": "Show this to the others." }),
        "register_agent" => json!({ "source": "codex", "host": "north", "version": "0.169.0", "hooks": 9 }),
        "hook_claude_code" | "hook_of_source" => json!({
            "hook_event_name": "UserPromptSubmit",
            "session_id": SESSION,
            "cwd": "/home/ada/demo",
            "prompt": "Make the tests pass",
        }),
        "hook_codex" => json!({
            "hook_event_name": "UserPromptSubmit",
            "session_id": SESSION,
            "cwd": "/home/ada/demo",
            "prompt": "Make the tests pass",
        }),
        _ => return None,
    })
}
