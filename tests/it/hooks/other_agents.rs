//! The hooks of an agent that this program does not know. Its hooks have the form of the known ones, and it has a name.

use std::collections::BTreeSet;

use requery::protocol::limits;
use serde_json::{Value, json};

use crate::app::App;
use crate::rest::Client;

/// One session, as an agent of the form of Claude Code reports it: a tool, a question, and the end of the turn.
fn session() -> Vec<Value> {
    let hooks = [
        ("SessionStart", json!({"source": "startup", "model": "coder-plus"})),
        ("UserPromptSubmit", json!({"prompt": "Fix the rounding"})),
        ("PreToolUse", json!({"tool_name": "Bash", "tool_use_id": "t1", "tool_input": {"command": "make"}})),
        (
            "PostToolUse",
            json!({"tool_name": "Bash", "tool_use_id": "t1", "tool_input": {"command": "make"}, "tool_response": "ok"}),
        ),
        ("PermissionRequest", json!({"tool_name": "Bash", "tool_use_id": "t2", "tool_input": {"command": "git push"}})),
        ("Stop", json!({"last_assistant_message": "The totals are right."})),
    ];
    let body = |(hook, more): (&str, Value)| {
        let mut body = json!({"session_id": "s", "cwd": "/home/dev/shop", "hook_event_name": hook});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    hooks.map(body).into()
}

/// The rows of the only task with this source, without ids and times.
async fn rows(client: &Client, source: &str) -> Value {
    let tasks = client.get("/api/v1/tasks").await.at("/items");
    let of_source: Vec<&Value> =
        tasks.as_array().expect("a list").iter().filter(|task| task["source"] == source).collect();
    assert_eq!(of_source.len(), 1, "{tasks}");
    let detail =
        client.get(&format!("/api/v1/tasks/{}", of_source[0]["task_id"].as_str().expect("an id"))).await.json();
    let picked = |row: &Value, fields: &[&str]| fields.iter().map(|field| row[*field].clone()).collect::<Vec<_>>();
    let events = detail["timeline"]["items"].as_array().expect("events").iter();
    json!({
        "task": picked(&detail["task"], &["title", "project", "status", "status_reason", "status_detail", "model"]),
        "sessions": detail["sessions"].as_array().expect("sessions").len(),
        "events": events.map(|row| picked(row, &["kind", "family", "state", "title", "body"])).collect::<Vec<_>>(),
    })
}

#[tokio::test]
async fn an_agent_of_another_name_makes_the_rows_of_its_form() {
    let app = App::start().await;
    let client = Client::of(&app);
    for source in ["claude-code", "qwen-code"] {
        for body in session() {
            let answer = client.post(&format!("/api/v1/hooks/{source}"), body).await;
            assert_eq!(answer.status, 204, "{source}: {}", answer.text);
        }
    }
    // Both sessions have the id `s`: the session of another agent is another task.
    let (known, other) = (rows(&client, "claude-code").await, rows(&client, "qwen-code").await);
    assert_eq!(other, known);
    assert_eq!(other["task"][2], "waiting");
    assert_eq!(other["events"].as_array().map(Vec::len), Some(5), "{other}");
    let agents = client.get("/api/v1/agents").await.at("/items");
    let listed: BTreeSet<&str> =
        agents.as_array().expect("agents").iter().filter_map(|agent| agent["source"].as_str()).collect();
    assert_eq!(listed, BTreeSet::from(["claude-code", "qwen-code"]));
    let heard = client.get("/api/v1/hooks").await.at("/agents/1/agent");
    assert_eq!(heard, "qwen-code");
}

#[tokio::test]
async fn a_name_that_is_no_word_is_refused_with_its_field() {
    let app = App::start().await;
    let client = Client::of(&app);
    let longest = "a".repeat(limits::SOURCE_CHARACTERS);
    for body in session() {
        assert_eq!(client.post(&format!("/api/v1/hooks/{longest}"), body).await.status, 204);
    }
    let too_long = "a".repeat(limits::SOURCE_CHARACTERS + 1);
    for name in ["Qwen", "-qwen", "qwen%20code", "%C3%A9", "qwen%2Fcode", &too_long] {
        let refused = client.post(&format!("/api/v1/hooks/{name}"), session().remove(0)).await;
        assert_eq!(refused.problem(), "422 source", "{name}: {}", refused.text);
        assert!(refused.text.contains("from a-z, 0-9"), "{}", refused.text);
    }
    assert_eq!(app.sql_seen("select count(*) from tasks"), "1");
}
