//! The agent waits for its hook, so storing a record takes few SQL statements. The test lists each.

use std::sync::{Arc, Mutex};

use requery::agent::runtime::AgentRuntime;
use serde_json::json;

use super::{START, Store};

/// A statement in two words, as in `insert tasks`.
fn verb_and_table(sql: &str) -> String {
    let words: Vec<String> = sql.split_whitespace().map(|word| word.trim_matches('"').to_lowercase()).collect();
    let table = match words[0].as_str() {
        "select" => words.iter().skip_while(|word| *word != "from").nth(1),
        "insert" => words.get(2),
        _ => words.get(1),
    };
    format!("{} {}", words[0], table.map_or("", String::as_str))
}

#[tokio::test]
async fn a_record_costs_four_to_six_statements() {
    let mut store = Store::open().await;
    let statements: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = statements.clone();
    store.db.set_metric_callback(move |info| seen.lock().unwrap().push(verb_and_table(&info.statement.sql)));
    for (number, (hook, expected)) in (1..).zip([
        (
            "UserPromptSubmit",
            "insert deliveries, select tasks, insert tasks, insert sessions, insert agents, insert events",
        ),
        ("PreToolUse", "insert deliveries, select tasks, select events, update tasks, insert events"),
        ("PostToolUse", "insert deliveries, select tasks, select events, update tasks, update events"),
        ("Stop", "insert deliveries, select tasks, update tasks, insert events"),
        ("SessionEnd", "insert deliveries, select tasks, update tasks, update sessions, insert events"),
    ]) {
        let record = json!({"session_id": "s", "hook_event_name": hook, "cwd": "/home/dev/shop", "prompt": "p",
            "tool_use_id": "t", "tool_name": "Bash", "tool_input": {"command": "make"}, "tool_response": "ok"});
        let id = uuid::Uuid::from_u128(number).to_string();
        let body = record.to_string();
        let now_ms = START + number as i64;
        store.deliver(AgentRuntime::ClaudeCode, Some(&id), body.as_bytes(), now_ms).await.expect("taken");
        assert_eq!(statements.lock().unwrap().drain(..).collect::<Vec<_>>().join(", "), expected, "{hook}");
    }
}
