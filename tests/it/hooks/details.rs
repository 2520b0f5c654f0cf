//! The detail of a status: the question, the command or the error, in the words of the agent.

use requery::agent::runtime::AgentRuntime;
use serde_json::{Value, json};

use super::Store;

#[tokio::test]
async fn a_status_has_the_words_of_the_hook_that_set_it() {
    let long = "é".repeat(600);
    let cut = format!("{}…", "é".repeat(499));
    let bash = json!({"command": "rm -rf build"});
    let questions = json!({"questions": [{"question": "Which port?"}, {"question": "Which host?"}]});
    let mut cases = vec![
        ("PermissionRequest", json!({"tool_name": "Bash", "tool_input": bash}), "permission Bash: rm -rf build"),
        (
            "PermissionRequest",
            json!({"tool_name": "Edit", "tool_input": {"file_path": "/srv/a.rs"}}),
            "permission Edit /srv/a.rs",
        ),
        (
            "PreToolUse",
            json!({"tool_name": "AskUserQuestion", "tool_input": questions}),
            "question Which port?\nWhich host?",
        ),
        ("PreToolUse", json!({"tool_name": "ExitPlanMode", "tool_input": {"plan": "1. Look"}}), "question 1. Look"),
        ("PreToolUse", json!({"tool_name": "AskUserQuestion", "tool_input": {"questions": "odd"}}), "question -"),
        ("Elicitation", json!({"mcp_server_name": "m", "message": "Your name?"}), "question Your name?"),
        ("Notification", json!({"notification_type": "permission_prompt", "message": " May I? "}), "permission May I?"),
        ("Notification", json!({"notification_type": "idle_prompt", "message": "Waits"}), "idle -"),
        (
            "Stop",
            json!({"last_assistant_message": "All done.\nShall I commit?"}),
            "finished All done.\nShall I commit?",
        ),
        ("Stop", json!({}), "finished -"),
        ("StopFailure", json!({"error": "overloaded", "error_details": "Try later"}), "overloaded Try later"),
        ("StopFailure", json!({"error": "overloaded", "last_assistant_message": "I failed"}), "overloaded I failed"),
        ("SessionEnd", json!({"reason": "exit"}), "- -"),
    ];
    let cut_case = format!("finished {cut}");
    cases.push(("Stop", json!({"last_assistant_message": long}), &cut_case));
    for (at, (hook, fields, expected)) in cases.into_iter().enumerate() {
        let store = Store::open().await;
        let session = format!("s{at}");
        let send = async |hook: &str, fields: &Value| {
            let mut record = json!({"session_id": session, "cwd": "/home/ada/web", "hook_event_name": hook});
            record.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
            store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
            let task = store.task(&session).await.expect("its task");
            let word = |text: Option<&str>| text.unwrap_or("-").to_owned();
            format!("{} {}", word(task.status_reason.as_deref()), word(task.status_detail.as_deref()))
        };
        assert_eq!(send("UserPromptSubmit", &json!({"prompt": "go"})).await, "- -");
        assert_eq!(send(hook, &fields).await, expected, "{hook} {fields}");
        // A later message without a question does not change the detail, and the next prompt removes it.
        assert_eq!(send("UserPromptSubmit", &json!({"prompt": "go on"})).await, "- -", "{hook}");
    }
}

/// Two requests at once: the older one counts until it is answered.
#[tokio::test]
async fn the_detail_is_that_of_the_oldest_open_request() {
    let store = Store::open().await;
    let ask = |command: &str, agent: Option<&str>| {
        json!({
            "session_id": "s", "cwd": "/w", "hook_event_name": "PermissionRequest", "tool_name": "Bash",
            "tool_input": {"command": command}, "agent_id": agent,
        })
    };
    let mut done = ask("make", None);
    done["hook_event_name"] = json!("PostToolUse");
    let mut seen = Vec::new();
    for record in [ask("make", None), ask("make test", Some("sub")), done] {
        store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
        seen.push(store.task("s").await.expect("its task").status_detail.map(String::from).unwrap_or_default());
    }
    assert_eq!(seen, ["Bash: make", "Bash: make", "Bash: make test"]);
}
